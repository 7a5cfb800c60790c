"""
Tests for L{txsessions.stores.own}, with the example in the documentation.
"""

from __future__ import annotations

import json
import runpy
from collections import deque
from pathlib import Path
from typing import Any

import pytest
import pytest_twisted
from twisted.internet import reactor
from twisted.internet.defer import CancelledError, Deferred, ensureDeferred, fail, succeed
from twisted.internet.task import Clock, deferLater
from twisted.logger import LogLevel, globalLogPublisher
from zope.interface import implementer
from zope.interface.verify import verifyObject

from txsessions.errors import (
    CorruptRecord,
    InvalidSessionData,
    SessionEnded,
    SessionNotFound,
    StoreUnavailable,
)
from txsessions.interfaces import (
    ISessionIndex,
    ISessionJournal,
    ISessionNotices,
    ISessionOwners,
    ISessionStore,
    ISessionStoreAdministration,
    ISessionSweep,
)
from txsessions.record import Change, Record
from txsessions.stores.lines import Lines
from txsessions.stores.own import ISimpleSessionStore, SessionStore
from txsessions.stores.plain import plainOf, recordOf
from txsessions.testing.contract import (
    AdministrationContract,
    AvailabilityContract,
    ConnectedContract,
    CorruptionContract,
    DurabilityContract,
    IndexContract,
    JournalContract,
    NoticesContract,
    OwnersContract,
    StoreContract,
    SweepContract,
    promise,
)
from txsessions.testing.contract.harness import outcomes, staysDead

EXAMPLE = runpy.run_path(str(Path(__file__).parents[1] / "examples" / "own_store.py"))
SID = "0123456789abcdef" * 2


class DictStore(SessionStore):
    """
    Three methods and a dictionary.
    """

    def __init__(self) -> None:
        self.records: dict[str, Any] = {}
        self.calls: list[str] = []

    def loadSession(self, sid: str, default: Any = None) -> Any:
        self.calls.append("load")
        return self.records.get(sid, default)

    def saveSession(self, record: Any) -> Any:
        self.calls.append("save")
        self.records[record["sid"]] = record

    def deleteSession(self, sid: str) -> Any:
        self.calls.append("delete")
        self.records.pop(sid, None)


class LateStore(DictStore):
    """
    Each method takes a while, and different calls take different whiles.
    """

    pauses = deque([0.0, 0.002, 0.001])

    async def loadSession(self, sid: str, default: Any = None) -> Any:
        found = super().loadSession(sid, default)
        await self._pause()
        return found

    def saveSession(self, record: Any) -> Any:
        return self._pause().addCallback(lambda _: super(LateStore, self).saveSession(record))

    async def deleteSession(self, sid: str) -> Any:
        await self._pause()
        super().deleteSession(sid)

    async def iterSessions(self) -> Any:
        for record in list(self.records.values()):
            await self._pause()
            yield record

    def _pause(self) -> Any:
        self.pauses.rotate()
        return deferLater(reactor, self.pauses[0])


class OwnContract(
    StoreContract,
    SweepContract,
    IndexContract,
    OwnersContract,
    JournalContract,
    NoticesContract,
    AdministrationContract,
    ConnectedContract,
):
    """
    What any store of three methods owes once it is adapted.
    """

    def adapted(self, store: SessionStore) -> Any:
        """
        The whole store.
        """
        whole = ISessionStore(store)
        whole.clock = self.clock
        return whole


class TestDictStore(OwnContract):
    """
    A dictionary is a whole store within one process.
    """

    def makeStore(self) -> Any:
        """
        An empty store.
        """
        return self.adapted(DictStore())


class TestLateStore(OwnContract):
    """
    A store whose methods return Deferreds or are coroutines is one as well.
    """

    def makeStore(self) -> Any:
        """
        An empty store.
        """
        return self.adapted(LateStore())


class TestExample(OwnContract, DurabilityContract, AvailabilityContract, CorruptionContract):
    """
    The example of the documentation keeps the promises.
    """

    @pytest.fixture(autouse=True)
    def place(self, tmp_path: Path) -> None:
        """
        A directory for each test.
        """
        self.directory = tmp_path / "sessions"

    def makeStore(self) -> Any:
        """
        An empty store.
        """
        return self.adapted(EXAMPLE["FileStore"](self.directory))

    async def reopen(self, store: Any) -> Any:
        """
        Another process, after the first.
        """
        return self.makeStore()

    async def breakStore(self, store: Any) -> None:
        """
        Put something else where the directory was.
        """
        self.directory.rename(self.directory.with_name("away"))
        self.directory.write_text("no directory")

    async def mendStore(self, store: Any) -> None:
        """
        Put the directory back.
        """
        self.directory.unlink()
        self.directory.with_name("away").rename(self.directory)

    async def damageSession(self, store: Any, sid: str) -> None:
        """
        Let the file say something else.
        """
        (self.directory / sid).write_text('{"sid": 5}')

    @promise
    async def test_keepsEnds(self, store: Any) -> None:
        """
        After a restart a session that had ended is gone for good; why is not
        known any more.
        """
        record = await self.newSession(store)
        await store.deleteSession(record.sid)
        store = await self.reopened(store)
        assert await store.loadSession(record.sid) is None
        await staysDead(store, record, await self.now())

    @promise
    async def test_isReadable(self, store: Any) -> None:
        """
        What the store gets is a plain dictionary with texts for attributes.
        """
        record = await self.newSession(store, attributes={"data:a": b'["\xc3\xa4"]'})
        found = json.loads((self.directory / record.sid).read_text())
        assert found["attributes"] == {"data:a": '["ä"]'}
        assert recordOf(record.sid, found) == record

    def test_isShort(self) -> None:
        """
        A store takes about twenty lines.
        """
        source = Path(EXAMPLE["__file__"]).read_text().partition("class FileStore")[2]
        assert len(source.splitlines()) <= 26


@pytest.fixture
def store() -> DictStore:
    """
    Three methods and a dictionary.
    """
    return DictStore()


@pytest.fixture
def errors() -> Any:
    """
    What is logged as an error.
    """
    events: list[Any] = []

    def observe(event: Any) -> None:
        if event["log_level"] >= LogLevel.error:
            events.append(event)

    globalLogPublisher.addObserver(observe)
    yield events
    globalLogPublisher.removeObserver(observe)


def newRecord(**facts: Any) -> Record:
    """
    A record.
    """
    usual: dict[str, Any] = {"created": 0.0, "lastModified": 0.0, "sessionTimeout": 100.0}
    return Record(**{"sid": SID, "verifier": bytes(32), **usual, **facts})


class TestAdapter:
    """
    How a store of three methods becomes a whole one.
    """

    def test_provides(self, store: DictStore) -> None:
        """
        The adapter provides all interfaces of a store, and the store its own.
        """
        assert verifyObject(ISimpleSessionStore, store)
        for interface in (
            ISessionStore,
            ISessionSweep,
            ISessionIndex,
            ISessionOwners,
            ISessionJournal,
            ISessionNotices,
            ISessionStoreAdministration,
        ):
            assert verifyObject(interface, interface(store))

    def test_isOne(self, store: DictStore) -> None:
        """
        A store has one adapter, whatever it is adapted to and however often.
        """
        assert ISessionStore(store) is ISessionSweep(store) is ISessionStore(ISessionIndex(store))

    def test_needsThreeMethods(self) -> None:
        """
        A class that lacks a method cannot be used, and its author is told which.
        """

        class Incomplete(SessionStore):
            def loadSession(self, sid: str, default: Any = None) -> Any:
                return default

        with pytest.raises(TypeError, match="deleteSession"):
            Incomplete()  # type: ignore[abstract]

    def test_flags(self, store: DictStore) -> None:
        """
        It is neither safe for processes nor for threads unless its author says so.
        """
        whole = ISessionStoreAdministration(store)
        assert (whole.isMultiprocessSafe, whole.isThreadSafe) == (False, False)
        safe = DictStore()
        safe.isMultiprocessSafe = True
        assert ISessionStoreAdministration(safe).isMultiprocessSafe is True

    @pytest_twisted.ensureDeferred
    async def test_withoutTheBaseClass(self) -> None:
        """
        What provides the small interface is adapted, whatever its base class.
        """

        @implementer(ISimpleSessionStore)
        class Bare:
            isMultiprocessSafe = isThreadSafe = False
            records: dict[str, Any] = {}

            def loadSession(self, sid: str, default: Any = None) -> Any:
                return self.records.get(sid, default)

            def saveSession(self, record: Any) -> Any:
                self.records[record["sid"]] = record

            def deleteSession(self, sid: str) -> Any:
                del self.records[sid]

            def setup(self) -> Any:
                pass

            def iterSessions(self) -> Any:
                return self.records.values()

            def close(self) -> Any:
                pass

        whole = ISessionStore(Bare())
        await whole.createSession(newRecord())
        assert await whole.loadSession(SID) == newRecord()

    @pytest_twisted.ensureDeferred
    async def test_hostileSids(self, store: DictStore) -> None:
        """
        Only what has the form of a public handle reaches the store.
        """
        whole = ISessionStore(store)
        for sid in ("", "../x", "A" * 32, "a" * 33, "a" * 31 + "\0", None):
            assert await whole.loadSession(sid, "nothing") == "nothing"
            assert await whole.hasSession(sid) is False
            assert await whole.deleteSession(sid) is None
            with pytest.raises(SessionNotFound):
                await whole.saveSession(Change(sid))
            with pytest.raises(ValueError):
                await whole.createSession(newRecord(sid=sid))
        assert store.calls == []

    @pytest_twisted.ensureDeferred
    async def test_raising(self, store: DictStore, errors: list[Any]) -> None:
        """
        What a method raises is logged, makes the store unavailable, and shows
        no value to whoever asked.
        """
        whole = ISessionStore(store)
        await whole.createSession(newRecord())
        for method in ("loadSession", "saveSession", "deleteSession"):
            errors.clear()
            setattr(store, method, lambda *_: 1 / 0)
            getattr(store, method).__name__ = method
            with pytest.raises(StoreUnavailable) as caught:
                if method == "deleteSession":
                    await whole.deleteSession(SID)
                else:
                    await whole.saveSession(Change(SID, set={"data:a": b'"canary"'}))
            expected = f"DictStore.{method} failed (ZeroDivisionError); see the log"
            assert str(caught.value) == expected
            assert len(errors) == 1
            delattr(store, method)
        assert await whole.hasSession(SID) is True

    @pytest_twisted.ensureDeferred
    async def test_sessionErrorsPass(self, store: DictStore, errors: list[Any]) -> None:
        """
        A method may itself say that the store is unavailable, in its own words.
        """
        store.loadSession = lambda sid, default=None: fail(StoreUnavailable("gone fishing"))  # type: ignore[method-assign]
        with pytest.raises(StoreUnavailable, match="gone fishing"):
            await ISessionStore(store).loadSession(SID)
        assert errors == []

    @pytest_twisted.ensureDeferred
    async def test_damaged(self, store: DictStore, errors: list[Any]) -> None:
        """
        What is no record is told once, reported once, left where it is, and
        absent afterwards.
        """
        whole = ISessionStore(store)
        good = plainOf(newRecord())
        for damaged in (5, [], {}, {**good, "sid": "f" * 32}, {**good, "verifier": "x"}):
            errors.clear()
            store.records[SID] = damaged
            with pytest.raises(CorruptRecord):
                await whole.loadSession(SID)
            assert await whole.loadSession(SID) is None
            assert await whole.hasSession(SID) is False
            assert store.records[SID] is damaged
            assert [event["sid"] for event in errors] == [SID]
            assert await whole.createSession(newRecord()) is True
            assert await whole.loadSession(SID) == newRecord()
            store.records.clear()
            await whole.loadSession(SID)

    @pytest_twisted.ensureDeferred
    async def test_formerTimes(self, store: DictStore) -> None:
        """
        A new process ends what expired before it began, and finds the sessions
        of an owner, if the store tells what it has kept.
        """
        clock = Clock()
        record = newRecord(sessionKey="anna")
        store.records = {SID: plainOf(record), "other": 5, "f" * 32: {"sid": "f" * 32}}
        store.iterSessions = lambda: succeed(list(store.records.values()))  # type: ignore[method-assign]
        whole: Any = ISessionStore(store)
        whole.clock = clock
        assert await whole.findSessions("anna") == [record]
        assert [sid async for sid, _ in whole.iterSessions()] == [SID]
        clock.advance(100)
        (ending,) = (await whole.claimExpired(10)).endings
        assert ending.record == record

    @pytest_twisted.ensureDeferred
    async def test_withoutIterSessions(self, store: DictStore) -> None:
        """
        Without that, a session of former times is known from when it is asked for.
        """
        clock = Clock()
        store.records = {SID: plainOf(newRecord(sessionKey="anna"))}
        whole: Any = ISessionStore(store)
        whole.clock = clock
        assert await whole.findSessions("anna") == []
        assert await whole.hasSession(SID) is True
        assert len(await whole.findSessions("anna")) == 1
        clock.advance(100)
        assert len((await whole.claimExpired(10)).endings) == 1

    @pytest_twisted.ensureDeferred
    async def test_triesAgain(self, store: DictStore, errors: list[Any]) -> None:
        """
        An end that the store could not make comes up again, and hurts no other.
        """
        clock = Clock()
        whole: Any = ISessionStore(store)
        whole.clock = clock
        await whole.createSession(newRecord())
        await whole.createSession(newRecord(sid="f" * 32))
        clock.advance(100)
        delete = store.deleteSession
        store.deleteSession = lambda sid: 1 / 0 if sid == SID else delete(sid)  # type: ignore[method-assign,func-returns-value,assignment]
        store.deleteSession.__name__ = "deleteSession"
        claim = await whole.claimExpired(10)
        assert [ending.record.sid for ending in claim.endings] == ["f" * 32]
        assert claim.nextDeadline == 110
        clock.advance(10)
        with pytest.raises(StoreUnavailable):
            await whole.claimExpired(10)
        store.deleteSession = delete  # type: ignore[method-assign]
        clock.advance(10)
        assert len((await whole.claimExpired(10)).endings) == 1

    @pytest_twisted.ensureDeferred
    async def test_notToBeKept(self, store: DictStore) -> None:
        """
        An attribute that is no text is refused, and the old record stays.
        """
        whole = ISessionStore(store)
        await whole.createSession(newRecord())
        with pytest.raises(InvalidSessionData):
            await whole.saveSession(Change(SID, set={"data:a": b"\xff"}))
        assert await whole.loadSession(SID) == newRecord()

    @pytest_twisted.ensureDeferred
    async def test_broken(self) -> None:
        """
        The suite finds an adapter that lets the calls for one session overtake
        each other: keys get lost.
        """
        late = LateStore()
        whole: Any = ISessionStore(late)
        whole._lines = Unordered()
        await whole.createSession(newRecord())
        changes = [Change(SID, set={f"data:{number}": b"1"}) for number in range(20)]
        await outcomes(*(whole.saveSession(change) for change in changes))
        assert len((await whole.loadSession(SID)).attributes) < 20

    @pytest_twisted.ensureDeferred
    async def test_deletedBehindItsBack(self, store: DictStore) -> None:
        """
        A record that the application removed from its own store is absent, and
        a save does not bring it back.
        """
        whole: Any = ISessionStore(store)
        await whole.createSession(newRecord(sessionKey="anna"))
        store.records.clear()
        with pytest.raises(SessionNotFound) as caught:
            await whole.saveSession(Change(SID, set={"data:a": b"1"}))
        assert not isinstance(caught.value, SessionEnded)
        assert await whole.findSessions("anna") == []
        assert store.records == {}


class TestClose:
    """
    The end of a process.
    """

    @pytest_twisted.ensureDeferred
    async def test_waits(self) -> None:
        """
        The store is closed when all calls on it are done, also those whose
        callers gave up.
        """
        store = LateStore()
        store.close = lambda: store.calls.append("close")  # type: ignore[method-assign,func-returns-value]
        whole: Any = ISessionStore(store)
        create = whole.createSession(newRecord())
        create.addErrback(lambda failure: None)
        create.cancel()
        await whole.close()
        assert store.calls == ["load", "save", "close"]


class Unordered:
    """
    Broken on purpose: lines in which nobody waits.
    """

    def call(self, sid: str, function: Any) -> Any:
        """
        Call at once.
        """
        return ensureDeferred(function())


class TestLines:
    """
    Calls that wait in line.
    """

    @pytest_twisted.ensureDeferred
    async def test_order(self) -> None:
        """
        Calls for one name are made one after the other, also when their callers
        gave up, and those for another name do not wait for them.
        """
        lines = Lines()
        gates = [Deferred[None]() for _ in range(3)]
        begun: list[int] = []
        answers = []
        for number, gate in enumerate(gates):
            answers.append(
                lines.call("a", lambda number=number, gate=gate: begun.append(number) or gate)
            )
        lines.call("b", lambda: begun.append(9))
        assert begun == [0, 9]
        answers[0].cancel()
        with pytest.raises(CancelledError):
            await answers[0]
        assert begun == [0, 9]
        gates[0].callback(None)
        assert begun == [0, 9, 1]
        gates[2].callback(None)
        gates[1].callback(None)
        assert begun == [0, 9, 1, 2]
        await answers[2]
        assert lines._lines == {}

    @pytest_twisted.ensureDeferred
    async def test_raising(self) -> None:
        """
        A call that raises fails alone.
        """
        lines = Lines()
        first, second = lines.call("a", lambda: 1 / 0), lines.call("a", lambda: 5)
        with pytest.raises(ZeroDivisionError):
            await first
        assert await second == 5

    @pytest_twisted.ensureDeferred
    async def test_bounded(self) -> None:
        """
        More calls than can be answered in time are refused at once, and any
        number that waits is made without running out of stack.
        """
        lines = Lines()
        gate: Deferred[None] = Deferred()
        answers = [lines.call("a", lambda: gate)]
        answers += [lines.call("a", lambda: succeed(None)) for _ in range(1999)]
        with pytest.raises(StoreUnavailable):
            await lines.call("b", lambda: None)
        gate.callback(None)
        assert all([await answer is None for answer in answers])
        assert await lines.call("b", lambda: 5) == 5
