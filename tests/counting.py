"""
A site that counts in its visitors' sessions, for the proofs under real load::

    twistd -n txsessions --class counting.Counting
"""

from __future__ import annotations

import json
from collections.abc import MutableMapping
from typing import Any

from twisted.internet.defer import Deferred
from twisted.python.failure import Failure
from twisted.web.resource import Resource
from twisted.web.server import NOT_DONE_YET


class Page(Resource):
    """
    A page that answers with JSON.
    """

    isLeaf = True

    def render(self, request: Any) -> int:
        """
        Answer, now or when the Deferred of L{answer} fires.
        """
        left: list[object] = []
        request.notifyFinish().addErrback(left.append)

        def send(content: Any) -> None:
            if not left:
                body = json.dumps(content).encode()
                request.setHeader(b"content-length", b"%d" % len(body))
                request.write(body)
                request.finish()

        def fail(failure: Failure) -> None:
            if not left:
                request.processingFailed(failure)

        Deferred.fromCoroutine(self.answer(request)).addCallbacks(send, fail)
        return NOT_DONE_YET

    async def answer(self, request: Any) -> Any:
        """
        What to answer with.
        """
        raise NotImplementedError


class Read(Page):
    """
    All that the session has.
    """

    async def answer(self, request: Any) -> Any:
        """
        See L{Page.answer}.
        """
        return dict(request.getSession().data)


class Put(Page):
    """
    Sets one key, by C{session.data}.
    """

    async def answer(self, request: Any) -> Any:
        """
        See L{Page.answer}.
        """
        data = request.getSession().data
        key, number = arguments(request)
        data[key] = number
        return {"name": data.get("name")}


class Add(Page):
    """
    Increments one key, by C{session.modify}.
    """

    async def answer(self, request: Any) -> Any:
        """
        See L{Page.answer}.
        """
        session = request.getSession()

        def increment(data: MutableMapping[str, Any]) -> int:
            data["total"] = data.get("total", 0) + 1
            return data["total"]

        total = await session.modify(increment)
        return {"name": session.data.get("name"), "total": total}


class Begin(Page):
    """
    Gives the session a name.
    """

    async def answer(self, request: Any) -> Any:
        """
        See L{Page.answer}.
        """
        name, _ = arguments(request)
        request.getSession().data["name"] = name
        return {"name": name}


class Hold(Page):
    """
    Sets one key, and answers, when it is let go.
    """

    def __init__(self, held: dict[str, Deferred[None]]) -> None:
        super().__init__()
        self._held = held

    async def answer(self, request: Any) -> Any:
        """
        See L{Page.answer}.
        """
        session = request.getSession()
        key, number = arguments(request)
        self._held[key] = Deferred()
        await self._held[key]
        session.data[key] = number
        return {"name": session.data.get("name")}


class LetGo(Page):
    """
    Lets L{Hold} answer.
    """

    def __init__(self, held: dict[str, Deferred[None]]) -> None:
        super().__init__()
        self._held = held

    async def answer(self, request: Any) -> Any:
        """
        See L{Page.answer}.
        """
        self._held.pop(arguments(request)[0]).callback(None)
        return True


class Held(Page):
    """
    Whether L{Hold} holds somebody.
    """

    def __init__(self, held: dict[str, Deferred[None]]) -> None:
        super().__init__()
        self._held = held

    async def answer(self, request: Any) -> Any:
        """
        See L{Page.answer}.
        """
        return arguments(request)[0] in self._held


class LogOut(Page):
    """
    Ends the session.
    """

    async def answer(self, request: Any) -> Any:
        """
        See L{Page.answer}.
        """
        await request.getSession().logOut()
        return True


class Peek(Page):
    """
    The name of the session, if there is one; begins none.
    """

    async def answer(self, request: Any) -> Any:
        """
        See L{Page.answer}.
        """
        session = request.peekSession()
        return {"name": None if session is None else session.data.get("name")}


class Counting(Resource):
    """
    The pages.
    """

    def __init__(self) -> None:
        super().__init__()
        held: dict[str, Deferred[None]] = {}
        for path, page in {
            b"": Read(),
            b"put": Put(),
            b"add": Add(),
            b"begin": Begin(),
            b"hold": Hold(held),
            b"held": Held(held),
            b"letgo": LetGo(held),
            b"logout": LogOut(),
            b"peek": Peek(),
        }.items():
            self.putChild(path, page)


def arguments(request: Any) -> tuple[str, int]:
    """
    The key, and the number, that a request is about.
    """
    return request.args[b"key"][0].decode(), int(request.args.get(b"number", [b"0"])[0])
