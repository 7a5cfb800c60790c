"""
Random requests at random moments, with a store that fails and hangs: whatever
happens, everybody is answered, and nothing is left behind.
"""

from __future__ import annotations

from random import Random
from typing import Any

import pytest
from scenes import OPERATIONS, Errors, Scene, SharedStore, finish
from twisted.internet.defer import Deferred
from twisted.internet.error import AlreadyCalled
from twisted.logger import globalLogPublisher

from txsessions import Request
from txsessions.errors import SessionError
from txsessions.stores.memory import MemoryStore
from txsessions.testing import FailingStore, GatedStore, HangingStore

STEPS = 60

SYNCHRONOUS: dict[str, Any] = {
    "set": lambda random, session: session.data.update({f"k{random.randint(0, 3)}": 1}),
    "nest": lambda random, session: session.data.setdefault("list", []).append(1),
    "remove": lambda random, session: session.data.pop("k1", None),
    "touch": lambda random, session: session.touch(),
    "notify": lambda random, session: session.notifyOnExpire(lambda: None),
    "expire": lambda random, session: session.expire(),
}

ASYNCHRONOUS: dict[str, Any] = {
    "logIn": lambda random, session: session.logIn(random.choice(["anna", "bert"])),
    "rework": lambda random, session: session.rework(),
    "logOut": lambda random, session: session.logOut(),
    "commit": lambda random, session: session.commit(),
    "modify": lambda random, session: session.modify(lambda data: data.update(m=1)),
}

OTHERS = ["get", "peek", "wait", "write", "commitSession", "raise"]


class Chaos:
    """
    One site, or two over one store; a few browsers; and no order in anything.
    """

    def __init__(self, seed: int, errors: Errors) -> None:
        self.random = Random(seed)
        isShared = self.random.random() < 0.5
        self.failing: Any = None
        self.hanging: Any = None
        self.it = Scene(errors, SharedStore() if isShared else MemoryStore(), self._wrap)
        self.sites = [self.it.site, *([self.it.makeSite()] if isShared else [])]
        first = self.it.browser()
        self.browsers = [first, self.it.browser()]
        self.browsers += [self.it.browser(site, cookies=first.cookies) for site in self.sites * 2]
        self.waiting: list[Deferred[None]] = []
        self.connections: list[Any] = []
        self.responses: list[Deferred[Any]] = []

    def _wrap(self, store: Any) -> Any:
        self.failing = FailingStore(store)
        self.hanging = HangingStore(self.failing)
        return GatedStore(self.hanging, *OPERATIONS)

    def run(self) -> None:
        """
        Do something or other, many times.
        """
        deeds = [self.send] * 6 + [self.open] * 6 + [self.goOn] * 3
        deeds += [self.disconnect, self.breakStore, self.mend, self.advance]
        for _ in range(STEPS):
            self.random.choice(deeds)()

    def send(self) -> None:
        """
        Send a request.
        """
        connection = self.random.choice(self.browsers).connect()
        response = self.it.ask(
            connection,
            self.handler(),
            method=self.random.choice(["GET", "GET", "HEAD", "POST"]),
            version=self.random.choice([b"HTTP/1.1", b"HTTP/1.1", b"HTTP/1.0"]),
        )
        self.connections.append(connection)
        self.responses.append(response.addErrback(lambda failure: None))

    def open(self) -> None:
        """
        Let an operation of the store happen; those on one session in their order.
        """
        gates = self.it.store.gates
        if gates:
            sid = self.random.choice(gates).call.sid
            next(gate for gate in gates if gate.call.sid == sid).open()

    def goOn(self) -> None:
        """
        Let a handler go on.
        """
        if self.waiting:
            self.waiting.pop(self.random.randrange(len(self.waiting))).callback(None)

    def disconnect(self) -> None:
        """
        Drop a connection.
        """
        if self.connections:
            self.random.choice(self.connections).disconnect()

    def breakStore(self) -> None:
        """
        Let the store fail, or hang.
        """
        if self.random.random() < 0.3:
            self.hanging.hang()
            return
        operations = self.random.choice([(), *[(operation,) for operation in OPERATIONS]])
        self.failing.fail(
            *operations,
            every=self.random.choice([1, 2]),
            answersOnly=self.random.random() < 0.3,
        )

    def mend(self) -> None:
        """
        Let it answer again.
        """
        self.failing.mend()
        self.hanging.release()

    def advance(self) -> None:
        """
        Let time go by.
        """
        self.it.clock.advance(self.random.choice([0.1, 1, 6, 100, 400]))

    def handler(self) -> Any:
        """
        A handler that does a few things.
        """
        random = self.random
        steps = random.choices([*SYNCHRONOUS, *ASYNCHRONOUS, *OTHERS, *OTHERS], k=6)

        async def answer(request: Any) -> bytes | None:
            session = None
            for step in steps:
                try:
                    if step in ("get", "peek"):
                        ask = request.getSession if step == "get" else request.peekSession
                        session = ask()
                    elif session is not None and step in SYNCHRONOUS:
                        SYNCHRONOUS[step](random, session)
                    elif session is not None and step in ASYNCHRONOUS:
                        await self.mayWait(ASYNCHRONOUS[step](random, session))
                    else:
                        await self.other(request, step)
                except (SessionError, AlreadyCalled):
                    if random.random() < 0.5:
                        raise
            if random.random() < 0.3:
                finish(request, b"")
                return None
            return b"body"

        return answer

    async def mayWait(self, done: Deferred[Any]) -> None:
        """
        Wait for something, or do not.
        """
        if self.random.random() < 0.7:
            await done
        else:
            done.addErrback(lambda failure: None)

    async def other(self, request: Any, step: str) -> None:
        """
        What has nothing to do with a certain session.
        """
        if step == "wait":
            self.waiting.append(Deferred())
            await self.waiting[-1]
        elif step == "write":
            request.write(b"written")
        elif step == "commitSession":
            await request.commitSession()
        elif step == "raise" and self.random.random() < 0.2:
            raise ValueError("a mistake of the handler")

    def settle(self) -> None:
        """
        Let all that has begun come to an end.
        """
        self.mend()
        while self.waiting or self.it.store.gates:
            while self.waiting:
                self.waiting.pop().callback(None)
            self.it.store.openAll()
        for _ in range(3):
            self.it.clock.advance(6)
            self.it.store.openAll()

    def stop(self) -> None:
        """
        Stop the sites, and let them save what is left.
        """
        for browser in self.browsers:
            browser.close()
        while self.it.store.gates:
            self.it.store.openAll()
        self.it.clock.advance(60)
        self.it.close()

    def judge(self) -> None:
        """
        Everybody was answered; no request holds a session; what lives here is what
        is stored.
        """
        assert all(response.called for response in self.responses)
        for site in self.sites:
            for session in site.sessions.all():
                assert session.holders == {}
                assert session.endReason is None
                if session.isStored() and session.isExact() and len(self.sites) == 1:
                    record = self.it.memory._records[session.sid]
                    assert session._stored().verifier == record.verifier
                    assert session._stored().attributes == record.attributes


def play(seed: int, kind: Any = Request) -> None:
    """
    One game.
    """
    errors = Errors()
    globalLogPublisher.addObserver(errors)
    try:
        chaos = Chaos(seed, errors)
        for site in chaos.sites:
            site.requestFactory = kind
        chaos.run()
        chaos.settle()
        chaos.judge()
        chaos.stop()
    finally:
        globalLogPublisher.removeObserver(errors)
    for text in errors.texts():
        assert "A request failed" not in text
        assert "The protocol of the site has failed" not in text
        assert "Unhandled error" not in text


@pytest.mark.parametrize("seed", range(40))
def test_chaos(seed):
    """
    Everybody is answered, and nothing is left behind.
    """
    play(seed)


def test_control():
    """
    The game notices a request that does not let go of its sessions.
    """

    class Clinging(Request):
        def _leaveSessions(self) -> None:
            pass

    with pytest.raises(AssertionError):
        for seed in range(10):
            play(seed, Clinging)
