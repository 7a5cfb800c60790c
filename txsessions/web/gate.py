"""
The gate: no byte of a response passes before what it says is true.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.internet.defer import Deferred
from twisted.python.failure import Failure


class Gate:
    """
    Holds a response back while its sessions are being saved.

    Whoever holds the response back also pauses its producer, so that what is
    held is what the handler wrote in one go.

    @ivar _commit: Begins to save; returns a L{Deferred}, or C{None} when all is
        saved.
    @ivar _refuse: Called with a L{Failure} when that has failed.
    @ivar _response: Where bytes go when they pass.
    @ivar _begun: What waits for a save that began before there was this gate;
        C{None} when that is being waited for.
    @ivar _held: The bytes that wait; C{None} while the gate is open.
    @ivar _isStale: Whether the handler has said more since the saving began, so
        that there may be more to save.
    @ivar _isFinishing: Whether the end of the response waits behind them.
    @ivar isShut: Whether nothing passes ever again.
    """

    __slots__ = (
        "_begun",
        "_commit",
        "_held",
        "_isFinishing",
        "_isStale",
        "_refuse",
        "_response",
        "isShut",
    )

    def __init__(
        self,
        response: Any,
        commit: Callable[[], Deferred[None] | None],
        refuse: Callable[[Failure], object],
        begun: Deferred[None] | None = None,
    ) -> None:
        self._response = response
        self._commit = commit
        self._refuse = refuse
        self._begun = begun
        self._held: list[bytes] | None = None
        self._isStale = False
        self._isFinishing = False
        self.isShut = False

    @property
    def isHolding(self) -> bool:
        """
        Whether bytes, or the end, wait.
        """
        return self._held is not None

    @property
    def isFinishing(self) -> bool:
        """
        Whether the end waits.
        """
        return self._isFinishing

    def write(self, data: bytes) -> None:
        """
        Let these bytes pass, now or when all is saved.
        """
        self._begin()
        if self._held is not None:
            self._held.append(data)
        elif not self.isShut:
            self._response.passWrite(data)

    def finish(self) -> None:
        """
        Let the end of the response pass, now or when all is saved.
        """
        self._begin()
        if self._held is not None:
            self._isFinishing = True
        elif not self.isShut:
            self._response.passFinish()

    def drop(self) -> None:
        """
        Forget the bytes that wait.
        """
        if self._held is not None:
            self._held = []

    def shut(self) -> None:
        """
        Let nothing pass any more.
        """
        self.isShut = True
        self._held = None

    def _begin(self) -> None:
        """
        Begin to save, and hold what comes if that takes time.
        """
        if self.isShut:
            return
        if self._held is not None:
            self._isStale = True
            return
        waiting = self._saving()
        if waiting is not None:
            self._held = []
            self._response.holdBack()
            self._wait(waiting)

    def _wait(self, waiting: Deferred[None]) -> None:
        """
        Wait until it is saved.
        """
        waiting.addBoth(self._answered)

    def _answered(self, result: object) -> None:
        """
        It is saved, or could not be.
        """
        try:
            if isinstance(result, Failure):
                self._failed(result)
            else:
                self._saved()
        except BaseException:
            self._response.goneWrong(Failure())

    def _saved(self) -> None:
        """
        It is saved; what the handler changed before it said more has to be too.
        What others change in the meantime does not keep this response.
        """
        if self.isShut:
            return
        waiting = None
        if self._isStale:
            self._isStale = False
            waiting = self._saving()
        if waiting is not None:
            self._wait(waiting)
        elif not self.isShut:
            self._open()

    def _open(self) -> None:
        """
        Let pass what was held.
        """
        held, self._held = self._held or [], None
        for data in held:
            self._response.passWrite(data)
        if self.isShut:
            return
        if self._isFinishing:
            self._response.passFinish()
        else:
            self._response.goOn()

    def _failed(self, failure: Failure) -> None:
        """
        It could not be saved.
        """
        if not self.isShut:
            self._held = None
            self._refuse(failure)

    def _saving(self) -> Deferred[None] | None:
        """
        Begin to save.

        @return: What to wait for, if anything.
        """
        waiting, self._begun = self._begun, None
        try:
            if waiting is None:
                waiting = self._commit()
        except Exception:
            self._failed(Failure())
            return None
        if waiting is None or not waiting.called or waiting.paused:
            return waiting
        if isinstance(waiting.result, Failure):
            waiting.addErrback(self._failed)
        return None
