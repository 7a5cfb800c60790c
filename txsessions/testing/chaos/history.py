"""
All that clients did with one session.
"""

from __future__ import annotations

from .operation import LOGIN, LOGOUT, Operation


class History:
    """
    The requests of one session, in the order in which they were sent.

    @ivar name: What the session is called in its own data; every token that is
        written into it begins with that.
    @ivar sid: Its handle, as the site told it.
    @ivar cookies: The cookies that it had, the first one first.
    @ivar operations: The requests.
    @ivar isOver: Whether nobody uses it any more.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self.sid: str | None = None
        self.cookies: list[str] = []
        self.operations: list[Operation] = []
        self.isOver = False
        self._tokens = 0

    def newToken(self) -> str:
        """
        What nobody else has written or will write.
        """
        self._tokens += 1
        return f"{self.name}.{self._tokens}"

    def of(self, kind: str) -> list[Operation]:
        """
        The requests of one kind.
        """
        return [each for each in self.operations if each.kind == kind]

    @property
    def endings(self) -> list[Operation]:
        """
        The requests that end it, or may do so.
        """
        return [each for each in self.of(LOGOUT) if each.mayHappen]

    @property
    def logIns(self) -> list[Operation]:
        """
        The requests that replace its cookie, or may do so.
        """
        return [each for each in self.of(LOGIN) if each.mayHappen]

    @property
    def isEnded(self) -> bool:
        """
        Whether its end was acknowledged.
        """
        return any(each.isDone for each in self.of(LOGOUT))
