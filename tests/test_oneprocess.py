"""
Tests for L{txsessions.stores.oneprocess}: who is let in while the store of three methods fails,
hangs or waits.
"""

from __future__ import annotations

from typing import Any

import pytest
import pytest_twisted
from judge import isKept
from test_own import DictStore, LateStore
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock

from txsessions.errors import SessionEnded, StoreUnavailable, TooManySessions
from txsessions.interfaces import ISessionStore
from txsessions.limit import REFUSE, SessionLimit
from txsessions.record import Change, Record
from txsessions.stores.occupancy import Occupancy
from txsessions.testing.contract import OwnersContract

SIDS = [f"{number:032x}" for number in range(4)]


class SwitchedStore(DictStore):
    """
    A dictionary that fails, or waits, for certain sessions.
    """

    def __init__(self) -> None:
        super().__init__()
        self.failing: set[str] = set()
        self.waiting: dict[str, Deferred[None]] = {}

    def deleteSession(self, sid: str) -> Any:
        if sid in self.failing:
            raise OSError("broken on purpose")
        super().deleteSession(sid)
        return self.waiting.get(sid)

    def saveSession(self, record: Any) -> Any:
        if record["sid"] in self.failing:
            raise OSError("broken on purpose")
        super().saveSession(record)
        return self.waiting.get(record["sid"])


@pytest.fixture
def store() -> Any:
    """
    Three methods, three sessions of one owner, and one of nobody.
    """
    store = SwitchedStore()
    whole: Any = ISessionStore(store)
    whole.clock = Clock()
    for number, sid in enumerate(SIDS):
        owner = "anna" if number < 3 else None
        whole.createSession(Record(sid, bytes(32), float(number), 0.0, 100.0, sessionKey=owner))
    return store


@pytest.fixture
def whole(store: Any) -> Any:
    """
    The whole store.
    """
    return ISessionStore(store)


def owned(whole: Any) -> list[str]:
    """
    The sessions of the owner.
    """
    found: list[Record] = []
    whole.findSessions("anna").addCallback(found.extend)
    return [record.sid for record in found]


@pytest_twisted.ensureDeferred
async def test_cannotLeave(store: Any, whole: Any) -> None:
    """
    A session that cannot be ended keeps its place and lives on, nobody is let in for it, and
    when the store is mended all is as it was.
    """
    store.failing.add(SIDS[0])
    with pytest.raises(StoreUnavailable):
        await whole.logInSession(Change(SIDS[3], sessionKey="anna"), SessionLimit(3))
    assert owned(whole) == SIDS[:3]
    store.failing.clear()
    answer = await whole.logInSession(Change(SIDS[3], sessionKey="anna"), SessionLimit(3))
    assert [ending.record.sid for ending in answer.evicted] == SIDS[:1]
    assert owned(whole) == SIDS[1:]


@pytest_twisted.ensureDeferred
async def test_expiresAllTheSame(store: Any, whole: Any) -> None:
    """
    A session that had to leave and could not is ended at its deadline.
    """
    store.failing.add(SIDS[0])
    with pytest.raises(StoreUnavailable):
        await whole.logInSession(Change(SIDS[3], sessionKey="anna"), SessionLimit(3))
    store.failing.clear()
    whole.clock.advance(100)
    assert len((await whole.claimExpired(10)).endings) == 4


@pytest_twisted.ensureDeferred
async def test_cannotEnter(store: Any, whole: Any) -> None:
    """
    A session whose log-in could not be saved takes no place.
    """
    store.failing.add(SIDS[3])
    limit = SessionLimit(4, REFUSE)
    with pytest.raises(StoreUnavailable):
        await whole.logInSession(Change(SIDS[3], sessionKey="anna"), limit)
    await whole.createSession(Record("f" * 32, bytes(32), 0.0, 0.0, 100.0))
    assert (await whole.logInSession(Change("f" * 32, sessionKey="anna"), limit)).version == 2
    store.failing.clear()
    with pytest.raises(TooManySessions):
        await whole.logInSession(Change(SIDS[3], sessionKey="anna"), limit)


@pytest_twisted.ensureDeferred
async def test_placeIsTaken(store: Any, whole: Any) -> None:
    """
    A place is taken as soon as a log-in is counted, long before it is stored; and who has to
    leave is gone for everybody as soon.
    """
    await whole.createSession(Record("f" * 32, bytes(32), 0.0, 0.0, 100.0))
    store.waiting[SIDS[0]] = Deferred()
    entering = whole.logInSession(Change(SIDS[3], sessionKey="anna"), SessionLimit(3))
    assert not entering.called
    with pytest.raises(TooManySessions):
        await whole.logInSession(Change("f" * 32, sessionKey="anna"), SessionLimit(3, REFUSE))
    saving = whole.saveSession(Change(SIDS[0], set={"data:a": b"1"}))
    store.waiting.pop(SIDS[0]).callback(None)
    assert [ending.record.sid for ending in (await entering).evicted] == SIDS[:1]
    with pytest.raises(SessionEnded) as caught:
        await saving
    assert caught.value.reason == "evicted"


@pytest_twisted.ensureDeferred
async def test_entersWhileAllEnd(store: Any, whole: Any) -> None:
    """
    A session that is about to log in when all of its owner end, ends with them.
    """
    store.waiting[SIDS[3]] = Deferred()
    entering = whole.logInSession(Change(SIDS[3], sessionKey="anna"))
    ending = whole.endSessions("anna")
    store.waiting.pop(SIDS[3]).callback(None)
    assert (await entering).version == 2
    assert {each.record.sid for each in await ending} == set(SIDS)
    assert owned(whole) == []


@pytest_twisted.ensureDeferred
async def test_leaveEachOther(store: Any, whole: Any) -> None:
    """
    Two sessions that log in again at the same time, where there is but one place, do not wait
    for each other.
    """
    late: Any = ISessionStore(LateStore())
    late.clock = Clock()
    for sid in SIDS[:2]:
        await late.createSession(Record(sid, bytes(32), 0.0, 0.0, 100.0, sessionKey="anna"))
    calls = [
        late.logInSession(Change(sid, sessionKey="anna"), SessionLimit(1)) for sid in SIDS[:2] * 3
    ]
    ended = 0
    for call in calls:
        try:
            await call
        except SessionEnded:
            ended += 1
    assert ended == 3
    assert len(await late.findSessions("anna")) == 1


@pytest_twisted.ensureDeferred
async def test_broken() -> None:
    """
    The suite finds an adapter that counts a session only when it is stored.
    """

    class Late(Occupancy):
        def enter(self, record: Record, sessionKey: str) -> None:
            pass

        def entered(self, sid: str) -> None:
            pass

    class Suite(OwnersContract):
        def makeStore(self) -> Any:
            whole: Any = ISessionStore(LateStore())
            whole.clock = self.clock
            whole._occupancy = Late()
            return whole

    assert not await isKept(Suite(), "test_crowdIsRefused")
    assert await isKept(Suite(), "test_refuses")
