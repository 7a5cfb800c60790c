"""
The site that is tried::

    twistd -n txsessions --class txsessions.testing.chaos.pages.Pages
"""

from __future__ import annotations

import json
import os
from collections.abc import MutableMapping
from pathlib import Path
from typing import Any, Final

from twisted.internet.defer import Deferred
from twisted.internet.task import deferLater
from twisted.python.failure import Failure
from twisted.web.resource import Resource
from twisted.web.server import NOT_DONE_YET

from ...errors import SessionNotFound
from .notebook import NAME, Notebook

VARIABLE: Final = "TXSESSIONS_CHAOS_NOTEBOOK"
"""
The environment variable that says where the observer writes.
"""

DATA: Final = ("name", "total")
"""
What is in a session besides what was written.
"""


class Page(Resource):
    """
    A page that answers with JSON.
    """

    isLeaf = True

    def render(self, request: Any) -> int:
        """
        Answer when that is ready.
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

        Deferred.fromCoroutine(self._answer(request)).addCallbacks(send, fail)
        return NOT_DONE_YET

    async def _answer(self, request: Any) -> dict[str, Any]:
        """
        What to answer with; nothing where there is no session, or none any more.
        """
        session = self.sessionOf(request)
        if session is None:
            return {}
        try:
            return await self.answer(request, session)
        except SessionNotFound:
            return {}

    def sessionOf(self, request: Any) -> Any:
        """
        The session of the request, if there is one.
        """
        return request.peekSession()

    async def answer(self, request: Any, session: Any) -> dict[str, Any]:
        """
        Do what is asked for, and tell of it.
        """
        raise NotImplementedError


class Begin(Page):
    """
    Begins a session, and gives it a name.
    """

    def sessionOf(self, request: Any) -> Any:
        """
        A new one, unless there is one.
        """
        return request.getSession()

    async def answer(self, request: Any, session: Any) -> dict[str, Any]:
        """
        See L{Page.answer}.
        """
        session.data["name"] = _argument(request, b"name")
        return {"name": session.data["name"], "sid": session.sid}


class Read(Page):
    """
    All that the session has.
    """

    async def answer(self, request: Any, session: Any) -> dict[str, Any]:
        """
        See L{Page.answer}.
        """
        await _takeTime(request)
        data = dict(session.data)
        found = {key: value for key, value in data.items() if key not in DATA}
        return {"name": data.get("name"), "found": found, "total": data.get("total", 0)}


class Write(Page):
    """
    Sets one key, by C{session.data}.
    """

    async def answer(self, request: Any, session: Any) -> dict[str, Any]:
        """
        See L{Page.answer}.
        """
        await _takeTime(request)
        session.data[_argument(request, b"key")] = _argument(request, b"token")
        return {"name": session.data.get("name")}


class Add(Page):
    """
    Increments the counter, by C{session.modify}.
    """

    async def answer(self, request: Any, session: Any) -> dict[str, Any]:
        """
        See L{Page.answer}.
        """

        def increment(data: MutableMapping[str, Any]) -> int:
            data["total"] = data.get("total", 0) + 1
            return int(data["total"])

        total = await session.modify(increment)
        return {"name": session.data.get("name"), "total": total}


class LogIn(Page):
    """
    Gives the session an owner, and thereby another cookie.
    """

    async def answer(self, request: Any, session: Any) -> dict[str, Any]:
        """
        See L{Page.answer}.
        """
        await session.logIn(_argument(request, b"token"))
        return {"name": session.data.get("name")}


class LogOut(Page):
    """
    Ends the session.
    """

    async def answer(self, request: Any, session: Any) -> dict[str, Any]:
        """
        See L{Page.answer}.
        """
        name = session.data.get("name")
        await session.logOut()
        return {"name": name}


class Ready(Page):
    """
    Answers when the store writes endings down for the observer.
    """

    def sessionOf(self, request: Any) -> Any:
        """
        Nobody's: anything that is there.
        """
        return request

    async def answer(self, request: Any, session: Any) -> dict[str, Any]:
        """
        See L{Page.answer}.
        """
        await request.site.sessionStore.enrol(NAME)
        return {"name": "ready"}


class Pages(Resource):
    """
    The pages.
    """

    def __init__(self) -> None:
        super().__init__()
        self._isWatched = False
        for path, page in {
            b"begin": Begin(),
            b"read": Read(),
            b"write": Write(),
            b"add": Add(),
            b"login": LogIn(),
            b"logout": LogOut(),
            b"ready": Ready(),
        }.items():
            self.putChild(path, page)

    def getChildWithDefault(self, path: bytes, request: Any) -> Any:
        """
        A page.  The first one subscribes the observer, for nobody knows the site
        before.
        """
        if not self._isWatched and VARIABLE in os.environ:
            self._isWatched = True
            request.site.subscribe(Notebook(Path(os.environ[VARIABLE])), name=NAME)
        return super().getChildWithDefault(path, request)


async def _takeTime(request: Any) -> None:
    """
    Wait for as long as the request says.
    """
    delay = float(_argument(request, b"slow") or 0)
    if delay:
        await deferLater(request.site.reactor, delay)


def _argument(request: Any, name: bytes) -> str:
    """
    An argument of the request; empty if there is none.
    """
    return str(request.args.get(name, [b""])[0].decode())
