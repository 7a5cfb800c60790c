"""
Tests for how L{txsessions.stores.json} tells of endings that other processes
make.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import pytest_twisted
from jsontools import SID, newRecord
from test_json_crash import child
from twisted.internet.defer import Deferred, gatherResults
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import Clock, deferLater
from twisted.logger import globalLogPublisher

from txsessions.errors import StoreUnavailable
from txsessions.lifetime import LOGOUT
from txsessions.stores.files import bulletin as bulletinModule
from txsessions.stores.files.bulletin import Bulletin
from txsessions.stores.json import JSONStore
from txsessions.stores.lookout import INTERVAL, Lookout, Watcher

SIDS = [f"{number:02x}{number:030x}" for number in range(100)]


class Ear:
    """
    Somebody who watches.
    """

    def __init__(self, store: JSONStore) -> None:
        self.heard: list[str] = []
        self.missed = 0
        self.stop = store.watchEndings(lambda sid, reason: self.heard.append(sid), self.miss)

    def miss(self) -> None:
        """
        Some may have ended.
        """
        self.missed += 1


class Pair:
    """
    Two stores on the same files, as two processes would have them.
    """

    def __init__(self, path: Path) -> None:
        self.clock = Clock()
        self.one, self.two = (JSONStore(path / "sessions", clock=self.clock) for _ in range(2))

    async def end(self, *sids: str) -> None:
        """
        End sessions in the first process.
        """
        await gatherResults([self.one.createSession(newRecord(sid)) for sid in sids])
        await gatherResults([self.one.deleteSession(sid, LOGOUT) for sid in sids])

    async def look(self) -> None:
        """
        Let the second process look once, and wait until it has.
        """
        self.clock.advance(INTERVAL)
        while self.two._desk._lookout._isLooking:
            await aTurn()


@pytest.fixture
def pair(tmp_path: Path) -> Iterator[Pair]:
    """
    Two stores, made ready, and closed afterwards.
    """
    made = Pair(tmp_path)
    pytest_twisted.blockon(gatherResults([made.one.setup(), made.two.setup()]))
    yield made
    pytest_twisted.blockon(gatherResults([made.one.close(), made.two.close()]))
    assert made.clock.getDelayedCalls() == []


def aTurn() -> Deferred[None]:
    """
    Let the reactor and the threads have their turn.
    """
    from twisted.internet import reactor

    return deferLater(IReactorTime(reactor), 0.001)


class TestOthers:
    """
    What another process ends.
    """

    @pytest_twisted.ensureDeferred
    async def test_onceASecond(self, pair: Pair) -> None:
        """
        It is heard of at the next look, which comes after a second and not
        before; there is one delayed call for all who watch.
        """
        ears = [Ear(pair.two), Ear(pair.two)]
        await pair.end(SID)
        pair.clock.advance(INTERVAL - 0.001)
        await aTurn()
        assert ears[0].heard == []
        assert len(pair.clock.getDelayedCalls()) == 1
        pair.clock.advance(0.001)
        await pair.look()
        assert [ear.heard for ear in ears] == [[SID], [SID]]
        await pair.look()
        assert [ear.heard for ear in ears] == [[SID], [SID]]
        for ear in ears:
            ear.stop()

    @pytest_twisted.ensureDeferred
    async def test_process(self, tmp_path: Path) -> None:
        """
        A real process is heard of on the reactor's clock.
        """
        store = JSONStore(tmp_path / "sessions")
        await gatherResults([store.createSession(newRecord(sid)) for sid in SIDS])
        ear = Ear(store)
        await child(store, "endAll", *SIDS)
        for _ in range(3000):
            if len(ear.heard) == len(SIDS):
                break
            await aTurn()
        assert sorted(ear.heard) == SIDS
        ear.stop()
        await store.close()

    @pytest_twisted.ensureDeferred
    async def test_silent(self, pair: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
        """
        The same finds a process that does not say what it ends.
        """
        monkeypatch.setattr(Bulletin, "_append", lambda self, endings: None)
        ear = Ear(pair.two)
        await pair.end(SID)
        await pair.look()
        assert ear.heard == []
        ear.stop()

    @pytest_twisted.ensureDeferred
    async def test_fromNowOn(self, pair: Pair) -> None:
        """
        What has ended before somebody began to watch is not heard of, also when
        others did not watch for a while; what ends at once after it is.
        """
        await pair.end(SIDS[0])
        first = Ear(pair.two)
        await pair.end(SIDS[1])
        await pair.look()
        first.stop()
        await pair.end(SIDS[2])
        second = Ear(pair.two)
        await pair.end(SIDS[3])
        await pair.look()
        assert (first.heard, second.heard) == ([SIDS[1]], [SIDS[3]])
        second.stop()

    @pytest_twisted.ensureDeferred
    async def test_manyFiles(self, pair: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
        """
        Files that are full are followed by others and then removed, and whoever
        looks in time hears of all, a piece at a time.
        """
        monkeypatch.setattr(bulletinModule, "FULL", 2000)
        monkeypatch.setattr(bulletinModule, "PIECE", 300)
        ear = Ear(pair.two)
        for start in range(0, 100, 10):
            await pair.end(*SIDS[start : start + 10])
            await pair.look()
        assert sorted(ear.heard) == SIDS
        assert ear.missed == 0
        names = os.listdir(Path(pair.one.path, "notices"))
        assert len(names) <= 3
        assert "0" not in names
        ear.stop()

    @pytest_twisted.ensureDeferred
    async def test_missed(self, pair: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
        """
        Whoever could not look for so long that files are gone is told so once,
        and hears of what comes then.
        """
        monkeypatch.setattr(bulletinModule, "FULL", 500)
        ear = Ear(pair.two)
        await pair.end(SIDS[0])
        await pair.look()
        for start in range(10, 90, 10):
            await pair.end(*SIDS[start : start + 10])
        await pair.look()
        assert ear.missed == 1
        await pair.end(SID)
        await pair.look()
        assert (ear.missed, ear.heard[0], ear.heard[-1]) == (1, SIDS[0], SID)
        ear.stop()

    @pytest_twisted.ensureDeferred
    async def test_rubbish(self, pair: Pair) -> None:
        """
        What a crash may leave in a file hinders nothing that comes after it.
        """
        ear = Ear(pair.two)
        await pair.end(SIDS[0])
        path = Path(pair.one.path, "notices", "0")
        rubbish = (b"\0" * 500, b"\xff\xfe x y z", b"a b", b"x 1e999 y {", b"x nan y 5")
        with open(path, "ab") as file:
            file.write(b"\n".join(rubbish) + b"\nhalf")
        await pair.look()
        await pair.end(SIDS[1])
        await pair.end(SIDS[2])
        await pair.look()
        # The one that was written into half a line may be lost.
        assert (ear.heard[0], ear.heard[-1], ear.missed) == (SIDS[0], SIDS[2], 0)
        ear.stop()

    @pytest_twisted.ensureDeferred
    async def test_away(self, pair: Pair) -> None:
        """
        While the store cannot be reached nothing is heard, and nothing lost when
        it is back.
        """
        ear = Ear(pair.two)
        await pair.end(SIDS[0])
        await pair.look()
        await pair.end(SIDS[1])
        os.rename(pair.one.path, pair.one.path + ".away")
        await pair.look()
        with pytest.raises(StoreUnavailable):
            await pair.two.hasSession(SID)
        os.rename(pair.one.path + ".away", pair.one.path)
        await pair.look()
        assert (ear.heard, ear.missed) == (SIDS[:2], 0)
        ear.stop()

    @pytest_twisted.ensureDeferred
    async def test_noRoom(self, pair: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
        """
        A session ends although there is no room to say so to others.
        """

        def fail(self: Bulletin, endings: Any) -> None:
            raise OSError(28, "No space left on device")

        monkeypatch.setattr(Bulletin, "_append", fail)
        ear = Ear(pair.one)
        await pair.end(SID)
        assert ear.heard == [SID]
        ear.stop()


class TestOwn:
    """
    What the process itself ends.
    """

    @pytest_twisted.ensureDeferred
    async def test_before(self, pair: Pair) -> None:
        """
        It is heard of when it is on the disk, before the caller knows, and once.
        """
        ear = Ear(pair.one)
        await pair.one.createSession(newRecord())
        ended = pair.one.deleteSession(SID)
        heard = ended.addCallback(lambda record: list(ear.heard))
        assert ear.heard == []
        assert await heard == [SID]
        assert await pair.two.hasSession(SID) is False
        pair.clock.advance(INTERVAL)
        await pair.one.hasSession(SID)
        assert ear.heard == [SID]
        ear.stop()

    @pytest_twisted.ensureDeferred
    async def test_notMade(self, pair: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
        """
        An ending that could not be made is not heard of.
        """
        ear = Ear(pair.one)
        await pair.one.createSession(newRecord())

        def fail(*arguments: Any) -> None:
            raise OSError(28, "No space left on device")

        monkeypatch.setattr("txsessions.stores.files.shard.Shard.write", fail)
        with pytest.raises(StoreUnavailable):
            await pair.one.deleteSession(SID)
        assert ear.heard == []
        ear.stop()

    @pytest_twisted.ensureDeferred
    async def test_closed(self, pair: Pair) -> None:
        """
        A store that is closed looks for nothing, and again from its next
        operation on.
        """
        ear = Ear(pair.two)
        await pair.two.close()
        assert pair.clock.getDelayedCalls() == []
        await pair.end(SID)
        pair.clock.advance(5)
        assert await pair.two.hasSession(SID) is False
        await pair.look()
        assert ear.heard == [SID]
        ear.stop()


class TestLookout:
    """
    Those who watch.
    """

    def test_raises(self) -> None:
        """
        Whoever raises is logged, and the others hear.
        """
        clock = Clock()
        lookout = Lookout(lambda since: Deferred())
        heard: list[str] = []
        stops = [
            lookout.watch(Watcher(ended, lambda: None), clock)
            for ended in (fail, lambda sid, reason: heard.append(sid))
        ]
        events: list[Any] = []
        globalLogPublisher.addObserver(events.append)
        lookout.tell([(SID, LOGOUT)])
        globalLogPublisher.removeObserver(events.append)
        assert heard == [SID]
        assert [type(event["log_failure"].value) for event in events] == [ZeroDivisionError]
        for stop in stops:
            stop()
        assert clock.getDelayedCalls() == []

    def test_oneLook(self) -> None:
        """
        While a look is under way no other is begun, however long it takes.
        """
        clock = Clock()
        looks: list[Deferred[Any]] = []

        def look(since: float) -> Deferred[Any]:
            looks.append(Deferred())
            return looks[-1]

        lookout = Lookout(look)
        stop = lookout.watch(Watcher(fail, fail), clock)
        clock.pump([INTERVAL] * 5)
        assert len(looks) == 1
        looks[0].errback(StoreUnavailable("away"))
        clock.advance(INTERVAL)
        assert len(looks) == 2
        stop()
        assert clock.getDelayedCalls() == []


def fail(*arguments: Any) -> None:
    """
    Raise.
    """
    raise ZeroDivisionError
