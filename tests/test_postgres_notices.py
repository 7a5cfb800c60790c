"""
Tests for L{txsessions.stores.postgresserver.hearing} and
L{txsessions.stores.postgresserver.listener}.
"""

from __future__ import annotations

import gc
import threading
from collections.abc import Callable
from typing import Any

import pytest
import pytest_twisted
from postgresload import answers, created
from postgresserver import PostgresServer
from servers import pause, until
from twisted.internet import reactor
from twisted.internet.task import LoopingCall
from twisted.logger import globalLogPublisher

from txsessions.errors import StoreUnavailable
from txsessions.record import Record
from txsessions.stores.postgres import PostgresStore
from txsessions.stores.postgresserver import hearing as module
from txsessions.stores.postgresserver.hearing import Hearing
from txsessions.stores.postgresserver.listener import Listener, endingsIn


class Ear:
    """
    Somebody who hears of endings.
    """

    def __init__(self, store: PostgresStore) -> None:
        self.heard: list[tuple[str, str]] = []
        self.missed = 0
        self.stop = store.watchEndings(lambda *given: self.heard.append(given), self._missed)

    def _missed(self) -> None:
        """
        Count it.
        """
        self.missed += 1

    async def hears(self, sid: str) -> None:
        """
        Wait until it hears of the end of that session.
        """
        await until(lambda: sid in dict(self.heard), "it is heard of")


async def listening(store: PostgresStore) -> Ear:
    """
    Somebody who hears from now on.
    """
    ear = Ear(store)
    await until(lambda: ear.missed, "it listens")
    return ear


def listeners(postgres: PostgresServer) -> list[int]:
    """
    The processes of the server by which somebody listens.
    """
    rows = postgres.ask(
        "SELECT pid FROM pg_stat_activity WHERE query LIKE %s AND application_name = 'txsessions'",
        "%LISTEN%",
    )
    return [pid for (pid,) in rows]


def threads() -> int:
    """
    How many threads listen.
    """
    return sum("notices" in thread.name for thread in threading.enumerate())


async def recovers(postgres: PostgresServer, make: Callable[..., PostgresStore]) -> None:
    """
    End the connection that listens; check that later endings are heard of, and that it is
    said that some may have been missed.
    """
    store, other = make(), make()
    ear = await listening(other)
    for count in (1, 2, 3):
        (pid,) = listeners(postgres)
        postgres.ask("SELECT pg_terminate_backend(%s)", pid)
        await until(lambda: ear.missed > count, "some may have been missed", 100)  # noqa: B023
        (record,) = await created(store, 1)
        await store.deleteSession(record.sid, "logout")
        await ear.hears(record.sid)
    ear.stop()


@pytest_twisted.ensureDeferred
async def test_terminated(postgres: PostgresServer, make: Callable[..., PostgresStore]) -> None:
    """
    Whoever listens by a connection that is terminated is told that some endings may have
    been missed, and hears of later ones.
    """
    await recovers(postgres, make)


@pytest_twisted.ensureDeferred
async def test_terminatedForGood(
    postgres: PostgresServer, make: Callable[..., PostgresStore], monkeypatch: pytest.MonkeyPatch
) -> None:
    """
    A listener that does not connect again does not pass for one that does.
    """
    hear = Listener._hear

    def once(self: Listener, connection: Any) -> None:
        try:
            hear(self, connection)
        except StoreUnavailable:
            self._isStopping = True

    monkeypatch.setattr(Listener, "_hear", once)
    with pytest.raises(AssertionError, match="missed"):
        await recovers(postgres, make)


@pytest_twisted.ensureDeferred
async def test_serverRestarts(postgres: PostgresServer, make: Callable[..., PostgresStore]) -> None:
    """
    A server that is down for a while is asked again until it is back; that is logged once.
    """
    store = make()
    ear = await listening(store)
    warnings: list[Any] = []
    observer = lambda event: warnings.append(event) if "late" in str(event) else None  # noqa: E731
    globalLogPublisher.addObserver(observer)
    try:
        await postgres.kill()
        await pause(1.5)
        await postgres.start()
        await until(lambda: ear.missed == 2, "it listens again")
    finally:
        globalLogPublisher.removeObserver(observer)
    assert len(warnings) == 1
    await answers(store)
    (record,) = await created(store, 1)
    await store.deleteSession(record.sid)
    await ear.hears(record.sid)
    ear.stop()


@pytest_twisted.ensureDeferred
async def test_downAtFirst(postgres: PostgresServer, make: Callable[..., PostgresStore]) -> None:
    """
    Who begins to watch while the server is down hears when it is up.
    """
    store = make()
    await store.setup()
    await postgres.kill()
    ear = Ear(store)
    await pause(0.3)
    assert ear.missed == 0
    await postgres.start()
    await until(lambda: ear.missed == 1, "it listens")
    ear.stop()


@pytest_twisted.ensureDeferred
async def test_onlyWhileWatched(
    postgres: PostgresServer, make: Callable[..., PostgresStore]
) -> None:
    """
    There is one connection more as long as somebody watches, however many do, and none
    before and after.
    """
    store = make()
    await store.setup()
    assert listeners(postgres) == []
    ears = [await listening(store), Ear(store), Ear(store)]
    assert len(listeners(postgres)) == 1
    for ear in ears[:2]:
        ear.stop()
    assert len(listeners(postgres)) == 1
    ears[2].stop()
    ears[2].stop()
    await until(lambda: not listeners(postgres) and not threads(), "the connection is closed")
    ear = await listening(store)
    await store.close()
    await until(lambda: not listeners(postgres) and not threads(), "the connection is closed")
    ear.stop()
    again = await listening(store)
    again.stop()


@pytest_twisted.ensureDeferred
async def test_closeWhileHanging(
    postgres: PostgresServer, make: Callable[..., PostgresStore]
) -> None:
    """
    A store can be closed at once, whether the connection that listens waits, hangs or is
    being made.
    """
    store, other = make(), make()
    await store.setup()
    await listening(store)
    began = reactor.seconds()
    await store.close()
    assert reactor.seconds() - began < 1
    await listening(store)
    postgres.freeze()
    try:
        Ear(other)
        await pause(0.1)
        began = reactor.seconds()
        await store.close()
        assert reactor.seconds() - began < 1
        await other.close()
        # As long as it may take to connect.
        assert reactor.seconds() - began < 5
    finally:
        postgres.thaw()
    await until(lambda: not threads(), "the threads have ended")


@pytest_twisted.ensureDeferred
async def test_sweepOfMany(make: Callable[..., PostgresStore]) -> None:
    """
    Each of ten thousand endings that come at once is heard of, with the reason, and that
    does not hold the reactor.
    """
    store, other = make(timeout=5.0), make(timeout=5.0)
    records: list[Record] = []
    for _ in range(20):
        records += await created(store, 500, created=1.0, lastModified=1.0, sessionTimeout=5.0)
    ear = await listening(other)
    gaps: list[float] = []
    last = [reactor.seconds()]

    def beat() -> None:
        gaps.append(reactor.seconds() - last[0])
        last[0] = reactor.seconds()

    gc.collect()
    heart = LoopingCall(beat)
    last[0] = reactor.seconds()
    heart.start(0.005)
    while (await store.claimExpired(500)).endings:
        pass
    await until(lambda: len(ear.heard) >= 10000, "all are heard of")
    heart.stop()
    assert set(ear.heard) == {(record.sid, "expired-idle") for record in records}
    assert max(gaps) < 0.2
    ear.stop()


@pytest_twisted.ensureDeferred
async def test_tooMany(make: Callable[..., PostgresStore], monkeypatch: pytest.MonkeyPatch) -> None:
    """
    When more wait to be told than there is room for, it is said that some were missed.
    """
    monkeypatch.setattr(module, "MAXIMUM", 20)
    monkeypatch.setattr(module, "BATCH", 5)
    store = make()
    ear = await listening(store)
    hearing: Hearing = store._hearing
    assert hearing._listener is not None
    hearing._heard(hearing._listener, [(f"{number:032x}", "logout") for number in range(15)])
    assert (len(ear.heard), ear.missed) == (5, 1)
    hearing._heard(hearing._listener, [(f"{number:032x}", "logout") for number in range(15)])
    assert (len(ear.heard), ear.missed) == (5, 2)
    (record,) = await created(store, 1)
    await store.deleteSession(record.sid)
    await ear.hears(record.sid)
    ear.stop()


@pytest_twisted.ensureDeferred
async def test_otherSchemas(postgres: PostgresServer, make: Callable[..., PostgresStore]) -> None:
    """
    What ends in another schema of the same database is not heard of.
    """
    store, other = make(), make(schema="another")
    ear = await listening(store)
    for each in (other, store):
        (record,) = await created(each, 1)
        await each.deleteSession(record.sid)
    await ear.hears(record.sid)
    assert [sid for sid, _ in ear.heard] == [record.sid]
    ear.stop()
    postgres.ask("DROP SCHEMA another CASCADE")


@pytest_twisted.ensureDeferred
async def test_longReasons(make: Callable[..., PostgresStore]) -> None:
    """
    A reason of any length ends a session, or any number of them; a notice carries the
    beginning of it.
    """
    store = make()
    ear = await listening(store)
    reason = "\U0001f600" * 9000
    records = await created(store, 100, sessionKey="anna")
    await store.deleteSession(records[0].sid, reason)
    assert len(await store.endSessions("anna", reason)) == 99
    await until(lambda: len(ear.heard) == 100, "all are heard of")
    assert {reason for _, reason in ear.heard} == {"\U0001f600" * 40}
    ear.stop()


def test_endingsIn() -> None:
    """
    A notice holds one ending or several, with reasons of any kind.
    """
    assert endingsIn(b"a logout") == [("a", "logout")]
    assert endingsIn(b"a logout\nb so it is") == [("a", "logout"), ("b", "so it is")]
    assert endingsIn("a \x1a0000ö".encode()) == [("a", "\0ö")]
    assert endingsIn(b"\xff") == [("\ufffd", "")]
