"""
Many calls at the same time, through one handle and through two.
"""

from __future__ import annotations

import pytest

from ...errors import SessionEnded, VersionConflict
from ...lifetime import LOGOUT
from ...record import Change
from .harness import Contract, Store, aMoment, outcomes, promise, touch


class RaceContract(Contract):
    """
    Every operation is one atomic step.
    """

    @promise
    async def test_inOrder(self, store: Store) -> None:
        """
        Calls on one session are treated in their order, without being waited for.
        """
        record = await self.newRecord()
        calls = [store.createSession(record)]
        calls += [
            store.saveSession(Change(record.sid, set={"data:a": b"%d" % n})) for n in range(20)
        ]
        calls += [
            store.loadSession(record.sid),
            store.deleteSession(record.sid, LOGOUT),
            store.loadSession(record.sid),
            store.saveSession(Change(record.sid, set={"data:a": b"20"})),
            store.hasSession(record.sid),
        ]
        created, *versions, loaded, deleted, gone, late, there = await outcomes(*calls)
        assert created is True
        assert versions == list(range(2, 22))
        assert loaded == deleted
        assert loaded.attributes == {"data:a": b"19"}
        assert (type(gone), type(late), there) == (SessionEnded, SessionEnded, False)

    @promise
    async def test_inOrderWhenCancelled(self, store: Store) -> None:
        """
        A save whose caller gave up never overtakes a later one.
        """
        record = await self.newSession(store)
        for number in range(20):
            given = store.saveSession(Change(record.sid, set={"data:a": b"-1"}))
            given.addErrback(lambda failure: None)
            given.cancel()
            await store.saveSession(Change(record.sid, set={"data:a": b"%d" % number}))
            assert (await store.loadSession(record.sid)).attributes == {"data:a": b"%d" % number}
        await aMoment()
        assert (await store.loadSession(record.sid)).attributes == {"data:a": b"19"}

    @promise
    async def test_otherAnswersWhenCancelled(self, store: Store) -> None:
        """
        A caller that gives up shifts nobody else's answer.
        """
        records = [await self.newSession(store) for _ in range(10)]
        calls = [store.loadSession(record.sid) for record in records * 3]
        for call in calls[::3]:
            call.addErrback(lambda failure: None)
            call.cancel()
        answers = await outcomes(*calls)
        for record, answer in list(zip(records * 3, answers, strict=True)):
            assert answer is None or answer == record
        assert [a for n, a in enumerate(answers) if n % 3] == [
            r for n, r in enumerate(records * 3) if n % 3
        ]

    @promise
    async def test_seenByOthers(self, store: Store) -> None:
        """
        What one handle was told is done, another handle sees.
        """
        other = await self.another(store)
        record = await self.newSession(store)
        assert await other.loadSession(record.sid) == record
        await store.saveSession(Change(record.sid, set={"data:a": b"1"}))
        assert (await other.loadSession(record.sid)).attributes == {"data:a": b"1"}
        await other.deleteSession(record.sid)
        assert await store.hasSession(record.sid) is False

    @promise
    async def test_oneCreates(self, store: Store) -> None:
        """
        Of many who create the same session exactly one does, and its record is kept.
        """
        other = await self.another(store)
        for _ in range(5):
            first = await self.newRecord()
            records = [
                await self.newRecord(sid=first.sid, attributes={"data:a": b"%d" % number})
                for number in range(10)
            ]
            calls = [(store, other)[n % 2].createSession(r) for n, r in enumerate(records)]
            answers = await outcomes(*calls)
            assert sorted(answers) == [False] * 9 + [True]
            assert await other.loadSession(first.sid) == records[answers.index(True)]

    @promise
    async def test_differentKeys(self, store: Store) -> None:
        """
        Concurrent saves of different attributes all survive, each as one version.
        """
        other = await self.another(store)
        record = await self.newSession(store)
        saved = {f"data:{number}": b"%d" % number for number in range(40)}
        calls = [
            (store, other)[n % 2].saveSession(Change(record.sid, set={name: saved[name]}))
            for n, name in enumerate(saved)
        ]
        assert sorted(await outcomes(*calls)) == list(range(2, 42))
        loaded = await store.loadSession(record.sid)
        assert loaded.attributes == saved
        assert loaded.version == 41

    @promise
    async def test_changesBesideTouches(self, store: Store) -> None:
        """
        Touches and changes that run at the same time lose nothing of each other.
        """
        other = await self.another(store)
        record = await self.newSession(store)
        calls = []
        for number in range(20):
            calls.append(store.saveSession(touch(record, record.lastModified + number)))
            calls.append(other.saveSession(Change(record.sid, set={f"data:{number}": b"1"})))
            calls.append(other.saveSession(touch(record, record.lastModified + 20 - number)))
        assert [a for a in await outcomes(*calls) if not isinstance(a, int)] == []
        loaded = await store.loadSession(record.sid)
        assert len(loaded.attributes) == 20
        assert loaded.lastModified == record.lastModified + 20
        assert loaded.version == 21

    @promise
    async def test_oneOfEachVersion(self, store: Store) -> None:
        """
        Of many changes that expect one version exactly one is made.
        """
        other = await self.another(store)
        record = await self.newSession(store)
        for version in range(1, 6):
            changes = [
                Change(record.sid, set={"data:a": b"%d" % n}, expectedVersion=version)
                for n in range(10)
            ]
            calls = [(store, other)[n % 2].saveSession(c) for n, c in enumerate(changes)]
            answers = await outcomes(*calls)
            made = [n for n, answer in enumerate(answers) if answer == version + 1]
            assert len(made) == 1
            assert sum(isinstance(answer, VersionConflict) for answer in answers) == 9
            loaded = await store.loadSession(record.sid)
            assert loaded.attributes == {"data:a": b"%d" % made[0]}

    @promise
    async def test_oneOfEachVerifier(self, store: Store) -> None:
        """
        Of many who rework a session at the same time exactly one does.
        """
        other = await self.another(store)
        record = await self.newSession(store)
        calls = [
            (store, other)[n % 2].saveSession(
                Change(record.sid, verifier=b"%032d" % n, expectedVerifier=record.verifier)
            )
            for n in range(10)
        ]
        answers = await outcomes(*calls)
        made = [n for n, answer in enumerate(answers) if answer == 2]
        assert len(made) == 1
        assert (await other.loadSession(record.sid)).verifier == b"%032d" % made[0]

    @promise
    async def test_increments(self, store: Store) -> None:
        """
        N increments that each retry on a conflict make N.
        """
        other = await self.another(store)
        record = await self.newSession(store, attributes={"data:n": b"0"})
        pending = [store, other] * 6
        for _ in range(len(pending)):
            loads = await outcomes(*(handle.loadSession(record.sid) for handle in pending))
            calls = [
                handle.saveSession(
                    Change(
                        record.sid,
                        set={"data:n": b"%d" % (int(loaded.attributes["data:n"]) + 1)},
                        expectedVersion=loaded.version,
                    )
                )
                for handle, loaded in zip(pending, loads, strict=True)
            ]
            answers = await outcomes(*calls)
            pending = [
                handle
                for handle, answer in zip(pending, answers, strict=True)
                if isinstance(answer, VersionConflict)
            ]
        assert pending == []
        assert (await store.loadSession(record.sid)).attributes == {"data:n": b"12"}

    @promise
    async def test_manySessions(self, store: Store) -> None:
        """
        Many sessions at the same time do not get into each other's way.
        """
        other = await self.another(store)
        records = [await self.newRecord() for _ in range(200)]
        assert await outcomes(*(store.createSession(r) for r in records)) == [True] * 200
        changes = [Change(r.sid, set={"data:a": b"%d" % n}) for n, r in enumerate(records)]
        assert await outcomes(*(other.saveSession(c) for c in changes)) == [2] * 200
        loaded = await outcomes(*(store.loadSession(r.sid) for r in records))
        assert [r.attributes["data:a"] for r in loaded] == [b"%d" % n for n in range(200)]
        assert [r.sid for r in loaded] == [r.sid for r in records]

    @promise
    async def test_createAgainstDelete(self, store: Store) -> None:
        """
        A session that is created and ended at the same time is whole or dead.
        """
        other = await self.another(store)
        for number in range(10):
            record = await self.newRecord(attributes={"data:a": b"%d" % number})
            created, deleted = await outcomes(
                store.createSession(record), other.deleteSession(record.sid)
            )
            assert created is True
            assert deleted in (None, record)
            if deleted is None:
                assert await store.loadSession(record.sid) == record
            else:
                with pytest.raises(SessionEnded):
                    await store.loadSession(record.sid)
