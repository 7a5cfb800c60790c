"""
The rules of L{txsessions.record.apply}, kept by the store.
"""

from __future__ import annotations

from random import Random
from typing import Any

import pytest

from ...errors import SessionEnded, SessionError, VersionConflict
from ...lifetime import ABSOLUTE, IDLE
from ...record import Change, Record, apply
from .harness import TIMEOUT, Contract, Store, promise, touch

OTHER = b"o" * 32
"""
Another verifier than that of the record.
"""


class ChangeContract(Contract):
    """
    A save is one delta, applied to what the store holds at that moment.
    """

    @promise
    async def test_version(self, store: Store) -> None:
        """
        Each change of content counts one version up, and the save says to which.
        """
        record = await self.newSession(store)
        changes = (
            Change(record.sid, set={"data:a": b"1"}),
            Change(record.sid, unset=frozenset({"data:a"})),
            Change(record.sid, sessionKey="anna"),
            Change(record.sid, verifier=OTHER),
            Change(record.sid, sessionTimeout=60.0),
            Change(record.sid, absoluteTimeout=3600.0),
            Change(record.sid, set={"data:a": b"1"}, lastModified=record.lastModified),
        )
        for version, change in enumerate(changes, 2):
            assert await store.saveSession(change) == version
            assert (await store.loadSession(record.sid)).version == version

    @promise
    async def test_touch(self, store: Store) -> None:
        """
        A touch moves lastModified, and neither counts nor changes anything else.
        """
        record = await self.newSession(store, sessionKey="anna", attributes={"data:a": b"1"})
        await self.advance(10)
        now = await self.now()
        assert await store.saveSession(touch(record, now)) == 1
        assert await store.loadSession(record.sid) == apply(record, touch(record, now))

    @promise
    async def test_touchNeverGoesBack(self, store: Store) -> None:
        """
        A touch that is older than the record's own changes nothing.
        """
        record = await self.newSession(store)
        assert await store.saveSession(touch(record, record.lastModified - 10)) == 1
        assert await store.loadSession(record.sid) == record

    @promise
    async def test_changeNeverGoesBack(self, store: Store) -> None:
        """
        A change of content with an older touch is made, and the touch is not.
        """
        record = await self.newSession(store)
        change = Change(
            record.sid, set={"data:a": b"1"}, lastModified=record.lastModified - TIMEOUT
        )
        assert await store.saveSession(change) == 2
        loaded = await store.loadSession(record.sid)
        assert loaded.lastModified == record.lastModified
        assert loaded.attributes == {"data:a": b"1"}

    @promise
    async def test_touchBeforeDeadline(self, store: Store) -> None:
        """
        A touch in the last moment is in time.
        """
        record = await self.newSession(store)
        moment = record.lastModified + TIMEOUT - 1
        assert await store.saveSession(touch(record, moment)) == 1
        assert (await store.loadSession(record.sid)).lastModified == moment

    @promise
    async def test_touchAtDeadline(self, store: Store) -> None:
        """
        A touch at the deadline or after it fails, and revives nothing.
        """
        for late in (0, 1, TIMEOUT):
            record = await self.newSession(store)
            moment = record.lastModified + TIMEOUT + late
            with pytest.raises(SessionEnded) as caught:
                await store.saveSession(touch(record, moment))
            assert (caught.value.sid, caught.value.reason) == (record.sid, IDLE)
            assert await store.loadSession(record.sid) == record

    @promise
    async def test_touchAtAbsoluteDeadline(self, store: Store) -> None:
        """
        However often it was touched, a session cannot be at its absolute limit.
        """
        record = await self.newSession(store, absoluteTimeout=2 * TIMEOUT)
        end = record.created + 2 * TIMEOUT
        await store.saveSession(touch(record, record.created + TIMEOUT - 1))
        await store.saveSession(touch(record, end - 2))
        before = await store.loadSession(record.sid)
        with pytest.raises(SessionEnded) as caught:
            await store.saveSession(touch(record, end))
        assert caught.value.reason == ABSOLUTE
        assert await store.loadSession(record.sid) == before

    @promise
    async def test_lateChange(self, store: Store) -> None:
        """
        A change that comes with a touch which is too late changes nothing.
        """
        record = await self.newSession(store, sessionKey="anna")
        late = Change(
            record.sid,
            set={"data:a": b"1"},
            sessionKey="bert",
            sessionTimeout=10 * TIMEOUT,
            lastModified=record.lastModified + TIMEOUT,
        )
        with pytest.raises(SessionEnded):
            await store.saveSession(late)
        assert await store.loadSession(record.sid) == record

    @promise
    async def test_expectedVersion(self, store: Store) -> None:
        """
        A change for a certain version is made to that version and to no other.
        """
        record = await self.newSession(store)
        change = Change(record.sid, set={"data:a": b"1"}, expectedVersion=1)
        assert await store.saveSession(change) == 2
        before = await store.loadSession(record.sid)
        for version in (0, 1, 3):
            for conflicting in (
                Change(record.sid, set={"data:a": b"2"}, expectedVersion=version),
                Change(record.sid, expectedVersion=version),
            ):
                with pytest.raises(VersionConflict) as caught:
                    await store.saveSession(conflicting)
                assert caught.value.sid == record.sid
        assert await store.loadSession(record.sid) == before

    @promise
    async def test_touchKeepsExpectedVersion(self, store: Store) -> None:
        """
        A touch does not stand in the way of a change that expects a version.
        """
        record = await self.newSession(store)
        await store.saveSession(touch(record, record.lastModified + 1))
        change = Change(record.sid, set={"data:a": b"1"}, expectedVersion=1)
        assert await store.saveSession(change) == 2

    @promise
    async def test_expectedVerifier(self, store: Store) -> None:
        """
        A change for a certain verifier is made while it is that, and not after.
        """
        record = await self.newSession(store)
        rework = Change(record.sid, verifier=OTHER, expectedVerifier=record.verifier)
        assert await store.saveSession(rework) == 2
        before = await store.loadSession(record.sid)
        assert before.verifier == OTHER
        for conflicting in (
            rework,
            Change(record.sid, set={"data:a": b"1"}, expectedVerifier=record.verifier),
            Change(record.sid, expectedVerifier=record.verifier),
            Change(record.sid, set={"data:a": b"1"}, expectedVersion=1, expectedVerifier=OTHER),
        ):
            with pytest.raises(VersionConflict):
                await store.saveSession(conflicting)
        assert await store.loadSession(record.sid) == before

    @promise
    async def test_factsChangeAlone(self, store: Store) -> None:
        """
        Each fact of a record can be changed, and leaves the others as they are.
        """
        record = await self.newSession(
            store, sessionKey="anna", absoluteTimeout=7200.0, attributes={"data:a": b"1"}
        )
        facts: tuple[dict[str, Any], ...] = (
            {"sessionKey": "bert"},
            {"sessionKey": ""},
            {"sessionKey": None},
            {"verifier": OTHER},
            {"sessionTimeout": 60.5},
            {"absoluteTimeout": 3600.5},
            {"absoluteTimeout": None},
            {"set": {"data:b": b"2"}},
            {"unset": frozenset({"data:a"})},
        )
        for fact in facts:
            change = Change(record.sid, **fact)
            record = apply(record, change)
            assert await store.saveSession(change) == record.version
            assert await store.loadSession(record.sid) == record

    @promise
    async def test_merge(self, store: Store) -> None:
        """
        A save sets and unsets what it names, and keeps every other attribute.
        """
        record = await self.newSession(store, attributes={"data:a": b"1", "data:b": b"2"})
        change = Change(
            record.sid,
            set={"data:b": b"3", "data:c": b"4"},
            unset=frozenset({"data:a", "data:never"}),
        )
        assert await store.saveSession(change) == 2
        loaded = await store.loadSession(record.sid)
        assert loaded.attributes == {"data:b": b"3", "data:c": b"4"}

    @promise
    async def test_nothing(self, store: Store) -> None:
        """
        A change of nothing changes nothing, and says which version there is.
        """
        record = await self.newSession(store, version=3)
        assert await store.saveSession(Change(record.sid)) == 3
        assert await store.loadSession(record.sid) == record

    @promise
    async def test_asApplyDoes(self, store: Store) -> None:
        """
        Whatever changes come, the store ends up where C{apply} does.
        """
        random = Random(20)
        for _ in range(5):
            record = await self.newSession(store, absoluteTimeout=4 * TIMEOUT)
            for _ in range(30):
                change = randomChange(random, record)
                expected: Any
                try:
                    after = apply(record, change)
                except SessionError as e:
                    expected = (type(e), str(e))
                else:
                    record, expected = after, after.version
                try:
                    answer: Any = await store.saveSession(change)
                except SessionError as e:
                    answer = (type(e), str(e))
                assert answer == expected, change
                assert await store.loadSession(record.sid) == record


def randomChange(random: Random, record: Record) -> Change:
    """
    Any change, more often one that can be made than one that cannot.
    """
    names = [f"data:{name}" for name in "abcdef"]
    facts: dict[str, Any] = {
        "set": {name: b"%d" % random.randrange(1000) for name in random.sample(names, 2)},
        "unset": frozenset(random.sample(names, 2)),
        "lastModified": record.lastModified + random.randrange(-60, int(TIMEOUT * 1.1)),
        "sessionKey": random.choice([None, "", "anna", "bert"]),
        "verifier": random.choice([record.verifier, OTHER]),
        "sessionTimeout": TIMEOUT + random.randrange(-600, 600),
        "absoluteTimeout": random.choice([None, 4 * TIMEOUT, 30 * TIMEOUT]),
        "expectedVersion": record.version + random.choice([0, 0, 0, -1, 1]),
        "expectedVerifier": random.choice([record.verifier, record.verifier, OTHER]),
    }
    chosen = random.sample(sorted(facts), random.randrange(4))
    return Change(record.sid, **{name: facts[name] for name in chosen})
