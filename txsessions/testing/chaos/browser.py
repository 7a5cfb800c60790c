"""
A browser with a few tabs, which share a cookie.
"""

from __future__ import annotations

from collections.abc import Callable
from random import Random
from typing import Any, Final
from urllib.parse import urlencode

from twisted.internet.defer import Deferred, gatherResults
from twisted.internet.task import deferLater

from .client import UNANSWERED, UNSENT, Answer, Client
from .history import History
from .operation import (
    ADD,
    BEGIN,
    DONE,
    FAILED,
    LOGIN,
    LOGOUT,
    NONE,
    PROBE,
    READ,
    REFUSED,
    WRITE,
    Operation,
)
from .site import Site

PATHS: Final = {
    BEGIN: "begin",
    READ: "read",
    WRITE: "write",
    ADD: "add",
    LOGIN: "login",
    LOGOUT: "logout",
    PROBE: "read",
}

WEIGHTS: Final = {READ: 25, WRITE: 35, ADD: 20, PROBE: 8, LOGIN: 6, LOGOUT: 10}
"""
How often a tab does what.  Only the first tab of a browser logs in and out: of two
cookies that two log-ins bring, one is dead, which nobody could tell from a mistake.
"""

KEYS: Final = 6
"""
How many keys there are in a session.
"""

SLOW: Final = (0.05, 1.5)
"""
How long a slow request takes, in seconds.
"""

SLOWLY: Final = 0.1
"""
How many of the reads and writes are slow.
"""

RETRY: Final = 0.1
"""
How long a tab waits before it asks another worker, in seconds.
"""


class Tab:
    """
    A client: does one request after the other, each at the next worker.
    """

    def __init__(self, number: int, site: Site, random: Random) -> None:
        self._number = number
        self._site = site
        self._random = random
        self._clients = [Client(site.reactor, port) for port in site.ports]
        self._next = number

    async def ask(self, history: History, kind: str, **arguments: Any) -> Operation:
        """
        Do a request with the newest cookie of a session, at the next worker.
        """
        return await self._ask(history, kind, len(history.cookies) - 1, arguments)

    async def probe(self, history: History) -> Operation:
        """
        Read with any cookie that the session had.
        """
        return await self._ask(history, PROBE, self._random.randrange(len(history.cookies)), {})

    def close(self) -> None:
        """
        Close its connections.
        """
        for client in self._clients:
            client.close()

    async def _ask(
        self, history: History, kind: str, cookie: int, arguments: dict[str, Any]
    ) -> Operation:
        """
        Do a request, and note what comes of it.
        """
        worker = self._next % len(self._clients)
        self._next += 1
        operation = self._site.begin(
            Operation(0, self._number, worker, kind, cookie, 0.0, **_noted(arguments))
        )
        history.operations.append(operation)
        path = f"{PATHS[kind]}?{urlencode(arguments)}"
        try:
            sent = history.cookies[cookie] if cookie >= 0 else None
            answer = await self._clients[worker].ask(path, sent)
        except UNSENT:
            history.operations.remove(operation)
            self._site.unsent()
            await deferLater(self._site.reactor, RETRY)
        except UNANSWERED:
            self._site.end(operation)
        else:
            self._note(history, operation, answer)
        return operation

    def _note(self, history: History, operation: Operation, answer: Answer) -> None:
        """
        An answer has come.
        """
        operation.status = answer.status
        operation.hasCookie = answer.cookie is not None
        content = answer.content
        operation.outcome = _outcome(answer.status, content)
        operation.name = content.get("name")
        operation.total = content.get("total")
        operation.found = content.get("found")
        if operation.isDone and operation.kind in (BEGIN, LOGIN) and answer.cookie is not None:
            history.cookies.append(answer.cookie)
            history.sid = content.get("sid", history.sid)
        self._site.end(operation)


class Browser:
    """
    Some tabs with one session at a time.
    """

    def __init__(self, tabs: list[Tab], site: Site, random: Random, rest: float) -> None:
        """
        @param rest: How long a tab waits between two requests, in seconds.
        """
        self._tabs = tabs
        self._site = site
        self._random = random
        self._rest = rest
        self._history: History | None = None

    async def use(self, isGoingOn: Callable[[], bool]) -> None:
        """
        Let all tabs do requests for a while.
        """
        await gatherResults(
            [Deferred.fromCoroutine(self._useTab(tab, isGoingOn)) for tab in self._tabs],
            consumeErrors=True,
        )

    async def leave(self, patience: float) -> None:
        """
        Look at the session at each worker, and log out.

        @param patience: For how long to try, in seconds.
        """
        history, tab = self._history, self._tabs[0]
        if history is None:
            return
        end = self._site.reactor.seconds() + patience
        for _ in self._site.ports:
            await self._insist(tab, history, READ, end)
        if not history.isOver:
            await self._insist(tab, history, LOGOUT, end)
        for _ in self._site.ports:
            await tab.probe(history)
        self._retire(history)

    def close(self) -> None:
        """
        Close all connections.
        """
        for tab in self._tabs:
            tab.close()

    async def _useTab(self, tab: Tab, isGoingOn: Callable[[], bool]) -> None:
        """
        Let one tab do requests for a while.
        """
        while isGoingOn():
            await deferLater(self._site.reactor, self._random.uniform(0, 2 * self._rest))
            if self._history is None:
                if tab is self._tabs[0]:
                    await self._begin(tab)
                continue
            await self._act(tab, self._history)

    async def _begin(self, tab: Tab) -> None:
        """
        Begin a session.
        """
        history = self._site.newHistory()
        begun = await tab.ask(history, BEGIN, name=history.name)
        if begun.isDone and history.cookies:
            self._history = history
        else:
            # If there is a session now, nobody can ever open it.
            self._site.retire(history)

    async def _act(self, tab: Tab, history: History) -> None:
        """
        Do something or other.
        """
        (kind,) = self._random.choices(list(WEIGHTS), list(WEIGHTS.values()))
        if kind in (LOGIN, LOGOUT) and tab is not self._tabs[0]:
            kind = READ
        if kind == PROBE:
            await tab.probe(self._site.anyBuried() or history)
            return
        arguments: dict[str, Any] = {}
        if kind == WRITE:
            key = f"key-{self._random.randrange(KEYS)}"
            arguments = {"key": key, "token": history.newToken()}
        elif kind == LOGIN:
            arguments = {"token": f"owner of {history.name}"}
        if kind in (READ, WRITE) and self._random.random() < SLOWLY:
            arguments["slow"] = round(self._random.uniform(*SLOW), 3)
        self._after(history, await tab.ask(history, kind, **arguments))

    async def _insist(self, tab: Tab, history: History, kind: str, end: float) -> None:
        """
        Ask until there is an answer, or it is too late.
        """
        while self._site.reactor.seconds() < end:
            operation = await tab.ask(history, kind)
            self._after(history, operation)
            if operation.outcome in (DONE, NONE):
                return

    def _after(self, history: History, operation: Operation) -> None:
        """
        Give the session up when it has ended.
        """
        isGone = operation.outcome == NONE and operation.cookie == len(history.cookies) - 1
        if isGone or (operation.kind == LOGOUT and operation.isDone):
            self._retire(history)

    def _retire(self, history: History) -> None:
        """
        Use a session no more.
        """
        if self._history is history:
            self._history = None
        if not history.isOver:
            history.isOver = True
            self._site.retire(history)


def _noted(arguments: dict[str, Any]) -> dict[str, Any]:
    """
    What of a request's arguments stands in the history.
    """
    return {name: arguments[name] for name in ("key", "token", "slow") if name in arguments}


def _outcome(status: int, content: dict[str, Any]) -> str:
    """
    What an answer says.
    """
    if status == 503:
        return REFUSED
    if status != 200:
        return FAILED
    return DONE if content.get("name") is not None else NONE
