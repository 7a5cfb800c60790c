"""
Tests for L{txsessions.copying}.
"""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Callable
from itertools import pairwise
from pathlib import Path
from random import Random
from typing import Any

import attrs
import pytest
import pytest_twisted
from servers import RedisServer
from twisted.internet import reactor
from twisted.internet.defer import Deferred, gatherResults, succeed
from twisted.internet.task import Clock

from txsessions import copying
from txsessions.comparison import Verdict, compare
from txsessions.copying import (
    COPIED,
    DELETED,
    ENDED,
    EXTRA,
    FAILED,
    NEWER,
    PRESENT,
    REMOVED,
    UPDATED,
    Copy,
)
from txsessions.errors import (
    CorruptRecord,
    InvalidSessionData,
    SessionEnded,
    SessionNotFound,
    StoreUnavailable,
    StoreUnusable,
)
from txsessions.interfaces import IConnectedStore
from txsessions.lifetime import IDLE, LOGOUT
from txsessions.record import Change, Record
from txsessions.stores.json import JSONStore
from txsessions.stores.memory import MemoryStore
from txsessions.stores.migrating import MOVED, MigratingStore
from txsessions.stores.redis import RedisStore
from txsessions.stores.sqlite import SQLiteStore
from txsessions.testing import FailingStore, GatedStore, WrappingStore, resultOf

NOW = time.time()

MANY = 300


def sidOf(number: int) -> str:
    """
    A handle.
    """
    return f"{number:032x}"


def newRecord(number: int = 1, **facts: Any) -> Record:
    """
    A session of some kind: with and without an owner, an absolute time-out, text
    of all sorts.
    """
    return Record(
        **{
            "sid": sidOf(number),
            "verifier": bytes([number % 256]) * 32,
            "created": NOW - 100 - number % 7,
            "lastModified": NOW - 50 - number % 7,
            "sessionTimeout": 1800.0 + number % 3,
            "absoluteTimeout": None if number % 2 else 86400.0,
            "sessionKey": None if number % 5 == 0 else f"Zoë {number % 4}",
            "attributes": {"data:n": b"%d" % number, "data:é\0": b'{"a": [1.0, "\\u0000"]}'},
            "version": 1 + number % 3,
            **facts,
        }
    )


async def fill(store: Any, records: list[Record]) -> None:
    """
    Create records.
    """
    await store.setup()
    for start in range(0, len(records), MANY):
        some = records[start : start + MANY]
        assert all(await gatherResults([store.createSession(record) for record in some]))


async def content(store: Any) -> dict[str, Record]:
    """
    All that is in a store.
    """
    return {sid: record async for sid, record in store.iterSessions()}


async def copied(source: Any, target: Any, **options: Any) -> dict[str, int]:
    """
    Copy; the fates that there were.
    """
    troubles: list[str] = options.pop("troubles", [])
    work = Copy(source, target, reactor, troubles.append, **options)
    await work.run()
    return {fate: count for fate, count in work.counts.items() if count}


def isLike(copies: dict[str, Record], records: list[Record]) -> bool:
    """
    Whether these are copies of these records, of all of them, and nothing else.
    """
    return copies.keys() == {record.sid for record in records} and all(
        compare(record, copies[record.sid]) is Verdict.SAME for record in records
    )


class CopyContract:
    """
    What holds from a store of any kind to one of the same kind.
    """

    @pytest_twisted.async_yield_fixture
    async def pair(self, makeStore: Callable[[str], Any]) -> AsyncIterator[tuple[Any, Any]]:
        """
        A source and a target.
        """
        stores = makeStore("source"), makeStore("target")
        yield stores
        for store in stores:
            if IConnectedStore.providedBy(store):
                await store.close()

    @pytest_twisted.ensureDeferred
    async def test_copied(self, pair: Any) -> None:
        """
        Every session is in the target as it was in the source, to the last byte
        of its data; the source is as it was; a second run changes nothing.
        """
        source, target = pair
        records = [newRecord(number) for number in range(MANY)]
        await fill(source, records)
        assert await copied(source, target) == {COPIED: MANY}
        copies = await content(target)
        assert isLike(copies, records) and isLike(await content(source), records)
        assert [copies[record.sid].version for record in records] == [r.version for r in records]
        assert await copied(source, target) == {PRESENT: MANY}
        assert await content(target) == copies

    @pytest_twisted.ensureDeferred
    async def test_updated(self, pair: Any) -> None:
        """
        A second run brings up to date what was changed in the source since:
        data, owner, token, time-outs; and what was only touched.
        """
        source, target = pair
        await fill(source, [newRecord(number) for number in range(5)])
        await copied(source, target)
        changes = [
            Change(sidOf(1), lastModified=NOW),
            Change(sidOf(2), set={"data:b": b"[]"}, unset=frozenset({"data:n"}), lastModified=NOW),
            Change(sidOf(3), verifier=b"x" * 32, sessionKey="new", lastModified=NOW),
            Change(sidOf(4), sessionTimeout=60.0, absoluteTimeout=None),
        ]
        for change in changes:
            await source.saveSession(change)
        assert await copied(source, target) == {PRESENT: 1, UPDATED: 4}
        assert isLike(await content(target), list((await content(source)).values()))

    @pytest_twisted.ensureDeferred
    async def test_late(self, pair: Any) -> None:
        """
        A copy whose deadline has passed because it was told of no touches is
        brought up to date.
        """
        source, target = pair
        await fill(source, [newRecord(created=NOW - 9000, lastModified=NOW)])
        await fill(target, [newRecord(created=NOW - 9000, lastModified=NOW - 9000)])
        assert await copied(source, target) == {UPDATED: 1}
        assert isLike(await content(target), list((await content(source)).values()))

    @pytest_twisted.ensureDeferred
    async def test_ended(self, pair: Any) -> None:
        """
        What has ended in the target is not revived; what has ended in the source
        since a first copy is ended in the target.
        """
        source, target = pair
        await fill(source, [newRecord(number) for number in range(4)])
        await copied(source, target)
        await target.deleteSession(sidOf(1), LOGOUT)
        await source.deleteSession(sidOf(2), LOGOUT)
        assert await copied(source, target) == {PRESENT: 2, ENDED: 1, REMOVED: 1}
        assert set(await content(target)) == {sidOf(0), sidOf(3)}
        with pytest.raises(SessionEnded) as caught:
            await target.loadSession(sidOf(2))
        assert caught.value.reason == LOGOUT


class TestMemory(CopyContract):
    """
    From memory to memory.
    """

    @pytest.fixture
    def makeStore(self) -> Callable[[str], Any]:
        return lambda name: MemoryStore()


class TestFiles(CopyContract):
    """
    From files to files.
    """

    @pytest.fixture
    def makeStore(self, tmp_path: Path) -> Callable[[str], Any]:
        return lambda name: JSONStore(tmp_path / name)


class TestSQLite(CopyContract):
    """
    From SQLite to SQLite.
    """

    @pytest.fixture
    def makeStore(self, tmp_path: Path) -> Callable[[str], Any]:
        return lambda name: SQLiteStore(tmp_path / name)


class TestRedis(CopyContract):
    """
    From Redis to Redis.
    """

    @pytest_twisted.async_fixture
    async def makeStore(self, tmp_path: Path, run: Any) -> Callable[[str], Any]:
        server = await run(RedisServer(tmp_path))
        return lambda name: RedisStore(port=server.port, prefix=name)


class TestPostgres(CopyContract):
    """
    From PostgreSQL to PostgreSQL.
    """

    @pytest.fixture
    def makeStore(self, make: Any) -> Callable[[str], Any]:
        number = time.monotonic_ns()
        return lambda name: make(schema=f"{name}{number}")


@pytest_twisted.ensureDeferred
async def test_aroundTheHouses(tmp_path: Path, run: Any, make: Any) -> None:
    """
    What has gone through all kinds of stores is what it was.
    """
    server = await run(RedisServer(tmp_path / "redis"))
    stores = [
        MemoryStore(),
        JSONStore(tmp_path / "json"),
        RedisStore(port=server.port),
        SQLiteStore(tmp_path / "sqlite"),
        make(),
        MemoryStore(),
    ]
    records = [newRecord(number) for number in range(50)]
    await fill(stores[0], records)
    for source, target in pairwise(stores):
        assert await copied(source, target) == {COPIED: len(records)}
    assert isLike(await content(stores[-1]), records)
    for store in stores[1:4]:
        await store.close()


@pytest.fixture
def pair() -> tuple[MemoryStore, MemoryStore]:
    """
    A source with ten sessions, and a target with none.
    """
    source, target = MemoryStore(), MemoryStore()
    for number in range(10):
        source.createSession(newRecord(number))
    return source, target


def copyNow(source: Any, target: Any, **options: Any) -> dict[str, int]:
    """
    Copy, where nothing has to be waited for.
    """
    return resultOf(Deferred.fromCoroutine(copied(source, target, **options)))


def contentNow(store: Any) -> dict[str, Record]:
    """
    All that is in a store in memory.
    """
    return resultOf(Deferred.fromCoroutine(content(store)))


def test_newer(pair):
    """
    What an application has changed in the target stays as it is.
    """
    source, target = pair
    copyNow(source, target)
    target.saveSession(Change(sidOf(1), set={"data:n": b"99"}, lastModified=NOW))
    target.saveSession(Change(sidOf(2), lastModified=NOW))
    before = contentNow(target)
    assert copyNow(source, target) == {NEWER: 1, PRESENT: 9}
    assert contentNow(target) == before


def test_extra(pair):
    """
    What only the target has is counted and left alone, unless it was asked to
    be ended.
    """
    source, target = pair
    target.createSession(newRecord(77))
    assert copyNow(source, target) == {COPIED: 10, EXTRA: 1}
    assert resultOf(target.hasSession(sidOf(77)))
    assert copyNow(source, target, deletes=True) == {PRESENT: 10, DELETED: 1}
    assert contentNow(target).keys() == contentNow(source).keys()


def test_emptySource(pair):
    """
    A source without sessions is rather a mistake than a reason to end all of the
    target's.
    """
    full, empty = pair
    assert copyNow(empty, full, deletes=True) == {EXTRA: 10}
    assert len(contentNow(full)) == 10


@pytest.mark.parametrize("reason", [IDLE, MOVED])
def test_expiredInTheSource(pair, reason):
    """
    What has expired in the source, or has moved, is left to its copy's own
    deadline: somebody may have touched the copy.
    """
    source, target = pair
    copyNow(source, target)
    source.deleteSession(sidOf(1), reason)
    copyNow(source, target)
    assert resultOf(target.hasSession(sidOf(1)))


def test_differing(pair):
    """
    What is another session under the same handle, or differs without saying when,
    is a failure that is told, and left alone; the others are copied.
    """
    source, target = pair
    target.createSession(newRecord(1, created=NOW - 5000))
    target.createSession(newRecord(2, attributes={}))
    before = contentNow(target)
    troubles = []
    assert copyNow(source, target, troubles=troubles) == {COPIED: 8, FAILED: 2}
    assert before.items() <= contentNow(target).items()
    assert sorted(troubles) == [
        f"session {sidOf(number)}: the target has something else under its handle"
        for number in (1, 2)
    ]


class Lying(WrappingStore):
    """
    Acknowledges what it has not stored, or has stored otherwise.
    """

    def createSession(self, record: Record) -> Deferred[bool]:
        if record.sid == sidOf(3):
            return succeed(True)
        if record.sid == sidOf(4):
            record = attrs.evolve(record, attributes={})
        return super().createSession(record)


def test_verified(pair):
    """
    A target that says what is not true is found out; without verifying it is not
    (the control).
    """
    source, target = pair
    troubles = []
    assert copyNow(source, Lying(target), troubles=troubles) == {COPIED: 8, FAILED: 2}
    assert sorted(troubles) == [
        f"session {sidOf(number)}: the target has taken it, and does not have it"
        for number in (3, 4)
    ]
    assert copyNow(source, Lying(MemoryStore()), verifies=False) == {COPIED: 10}


class Refusing(WrappingStore):
    """
    Cannot keep one session.
    """

    def createSession(self, record: Record) -> Deferred[bool]:
        if record.sid == sidOf(3):
            raise InvalidSessionData("it is\ntoo odd")
        return super().createSession(record)


class Damaged(WrappingStore):
    """
    Has a session that cannot be read.
    """

    def loadSession(self, sid: str, default: Any = None) -> Deferred[Any]:
        if sid == sidOf(3):
            raise CorruptRecord(sid, "its check does not fit")
        return super().loadSession(sid, default)


@pytest.mark.parametrize(
    ("broken", "said"),
    [
        (Refusing, f"session {sidOf(3)}: it is too odd"),
        (Damaged, f"the record of session {sidOf(3)} is damaged: its check does not fit"),
    ],
)
def test_oneFails(pair, broken, said):
    """
    A session that the target cannot keep, or not give back, harms no other, and
    is told in one line.
    """
    source, target = pair
    troubles = []
    assert copyNow(source, broken(target), troubles=troubles) == {COPIED: 9, FAILED: 1}
    assert troubles == [said]


def test_allFail(monkeypatch, pair):
    """
    When very many fail it gives up, and says so.
    """
    monkeypatch.setattr(copying, "MAXIMUM_FAILED", 3)
    failing = FailingStore(pair[1])
    failing.fail("createSession", error=lambda: InvalidSessionData("it is too odd"))
    with pytest.raises(StoreUnusable, match="more than 3 sessions could not be copied"):
        copyNow(pair[0], failing)


def test_damagedInTheSource(pair):
    """
    So is one that the source had when it was browsed, and cannot read any more.
    """
    source, target = pair
    assert copyNow(Damaged(source), target) == {COPIED: 10, FAILED: 1}


@pytest.mark.parametrize("every", range(1, 25, 3))
def test_resumed(pair, every):
    """
    Wherever a store stops answering, what was copied is whole, and a second run
    copies the rest.
    """
    source, target = pair
    failing = FailingStore(target)
    failing.fail(every=every)
    with pytest.raises(StoreUnavailable):
        copyNow(source, failing)
    copies = contentNow(target)
    assert isLike(copies, [newRecord(number) for number in range(10) if sidOf(number) in copies])
    fates = copyNow(source, target)
    assert fates.get(PRESENT, 0) == len(copies)
    assert fates.get(PRESENT, 0) + fates.get(COPIED, 0) == 10
    assert isLike(contentNow(target), [newRecord(number) for number in range(10)])


def test_notBrowsed():
    """
    A store that cannot be browsed is told in one line.
    """

    class Closed:
        pass

    with pytest.raises(StoreUnusable, match=r"^Closed cannot be browsed$"):
        copyNow(Closed(), MemoryStore())


class Meddled(WrappingStore):
    """
    Does something else before each operation of one name.
    """

    def __init__(self, store: Any, operation: str, meddle: Callable[[str], object]) -> None:
        super().__init__(store)
        self._operation = operation
        self._meddle = meddle

    def around(self, call: Any, proceed: Any) -> Deferred[Any]:
        if call.name == self._operation:
            self._meddle(call.sid)
        return proceed()


def test_changedMeanwhile(pair):
    """
    What changes in the source after it was browsed, and before the copy is there,
    is brought up to date in the same run; what ends then is ended.
    """
    source, target = pair

    def meddle(sid: str) -> None:
        if sid == sidOf(4):
            source.deleteSession(sid, LOGOUT)
        else:
            source.saveSession(Change(sid, set={"data:late": b"1"}, lastModified=NOW))

    fates = copyNow(source, Meddled(target, "createSession", meddle))
    assert fates == {COPIED: 10, UPDATED: 9, REMOVED: 1}
    assert isLike(contentNow(target), list(contentNow(source).values()))
    assert len(contentNow(target)) == 9


def test_changedInTheTargetMeanwhile(pair):
    """
    What somebody changes in the target while it is being brought up to date is
    not overwritten; what is changed there again and again is a failure.
    """
    source, target = pair
    copyNow(source, target)
    source.saveSession(Change(sidOf(1), set={"data:a": b"1"}, lastModified=NOW))
    later = iter([NOW + 10])

    def meddle(sid: str) -> None:
        for moment in later:
            target.saveSession(Change(sid, set={"data:n": b"0"}, lastModified=moment))

    meddled = Meddled(target, "saveSession", meddle)
    assert copyNow(source, meddled) == {NEWER: 1, PRESENT: 9}
    assert resultOf(target.loadSession(sidOf(1))).attributes["data:n"] == b"0"
    source.saveSession(Change(sidOf(2), set={"data:a": b"1"}, lastModified=NOW))

    def again(sid: str) -> None:
        target.saveSession(Change(sid, set={"data:n": b"0"}))

    troubles = []
    fates = copyNow(source, Meddled(target, "saveSession", again), troubles=troubles)
    assert fates == {NEWER: 1, PRESENT: 8, FAILED: 1}
    assert "changes it in the target all the time" in troubles[0]


def test_endedMeanwhile(pair):
    """
    What somebody ends in the target while it is being brought up to date stays
    dead; so does what is ended right after it was copied.
    """
    source, target = pair
    copyNow(source, target)
    source.saveSession(Change(sidOf(1), set={"data:a": b"1"}, lastModified=NOW))
    meddled = Meddled(target, "saveSession", target.deleteSession)
    assert copyNow(source, meddled) == {ENDED: 1, PRESENT: 9}
    other = MemoryStore()
    assert copyNow(source, Meddled(other, "loadSession", other.deleteSession)) == {COPIED: 10}
    assert contentNow(other) == {}


class Application:
    """
    Uses sessions while they are copied.

    @ivar known: What was acknowledged: for each session the data that is in it.
    @ivar ended: The sessions whose end was acknowledged.
    """

    def __init__(self, store: Any, random: Random, sids: list[str]) -> None:
        self._store = store
        self._random = random
        self._count = 0
        self.known: dict[str, dict[str, bytes]] = {sid: {} for sid in sids}
        self.ended: set[str] = set()

    async def run(self, steps: int) -> None:
        """
        Do some random things, one after the other.
        """
        for _ in range(steps):
            sid = self._random.choice(list(self.known))
            try:
                if self._random.random() < 0.2:
                    await self._store.deleteSession(sid, LOGOUT)
                    self.ended.add(sid)
                else:
                    await self._change(sid)
            except SessionNotFound:
                assert sid in self.ended

    async def _change(self, sid: str) -> None:
        """
        Set one key.
        """
        self._count += 1
        change = {f"data:{self._count % 3}": b"%d" % self._count}
        await self._store.saveSession(Change(sid, set=change, lastModified=NOW + self._count))
        self.known[sid].update(change)

    def isKept(self, store: Any) -> bool:
        """
        Whether a store has what was acknowledged.
        """
        copies = contentNow(store)
        return copies.keys() == self.known.keys() - self.ended and all(
            self.known[sid].items() <= copies[sid].attributes.items() for sid in copies
        )


def migrated(seed: int) -> bool:
    """
    Copy while an application migrates, in a random order of all that the stores
    do; whether the new store alone has all that was acknowledged.
    """
    random = Random(seed)
    old, new = MemoryStore(Clock()), MemoryStore(Clock())
    sids = [sidOf(number) for number in range(4)]
    for number in range(4):
        old.createSession(newRecord(number, sessionTimeout=1e6, absoluteTimeout=None))
    gated = [GatedStore(new), GatedStore(old)]
    application = Application(MigratingStore(*gated), random, sids)
    work = Copy(gated[1], gated[0], Clock(), print)
    done = gatherResults(
        [Deferred.fromCoroutine(application.run(12)), Deferred.fromCoroutine(work.run())],
        consumeErrors=True,
    )
    while not done.called:
        random.choice([gate for store in gated for gate in store.gates]).open()
    resultOf(done)
    return application.isKept(new)


def test_migrated():
    """
    Under a migrating store a copy may run while the application goes on: then the
    new store alone has every change that was acknowledged, and nothing that has
    ended, in whatever order things happen.
    """
    assert all(migrated(seed) for seed in range(150))


@pytest.mark.parametrize("broken", ["overwriting", "reviving"])
def test_brokenCopy(monkeypatch, broken):
    """
    The same finds a copy that overwrites what is newer, and one that takes a
    session for absent that has ended.
    """
    if broken == "overwriting":
        monkeypatch.setattr(copying, "compare", lambda record, copy: Verdict.OLDER)
        monkeypatch.setattr(copying, "TRIES", 1000)
        monkeypatch.setattr(Copy, "_verify", lambda self, record: succeed(None))
    else:
        create = MemoryStore.createSession

        def createSession(self: MemoryStore, record: Record) -> Deferred[bool]:
            self._ends._reasons.pop(record.sid, None)
            return create(self, record)

        monkeypatch.setattr(MemoryStore, "createSession", createSession)
    assert not all(migrated(seed) for seed in range(150))
