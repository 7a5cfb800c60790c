"""
Tests for what L{txsessions.stores.sqlite} keeps when processes share a file, are
killed, may not write, or have no room.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import pytest_twisted
from sqlitetools import SID, newRecord, run, sidOf
from twisted.internet.defer import ensureDeferred, gatherResults
from twisted.internet.task import Clock
from twisted.python.runtime import seconds

from txsessions.stores.sqlite import SQLiteStore

COUNT = 40
NAMES = ("a", "b", "c")


async def child(command: str, *arguments: str) -> Any:
    """
    What another process gets.
    """
    return json.loads(await run("sqlitechild.py", command, *arguments))


async def increments(path: Path, variant: str) -> Any:
    """
    What is stored when processes increment one attribute, and each of them sets
    others; and how often they met.
    """
    store = SQLiteStore(path)
    await store.createSession(newRecord(attributes={"data:n": b"0"}))
    rest = (str(len(NAMES)), str(COUNT), variant)
    conflicts = await gatherResults(
        [ensureDeferred(child("increment", str(path), name, *rest)) for name in NAMES]
    )
    record = await store.loadSession(SID)
    await store.close()
    return record, sum(conflicts)


class TestShared:
    """
    Processes that use one file.
    """

    @pytest_twisted.ensureDeferred
    async def test_increments(self, tmp_path: Path) -> None:
        """
        N increments make N, and no change of another attribute is lost.
        """
        record, conflicts = await increments(tmp_path / "sessions.db", "careful")
        assert int(record.attributes["data:n"]) == COUNT * len(NAMES)
        names = {f"data:{name}-{number}" for name in NAMES for number in range(COUNT)}
        assert set(record.attributes) == {"data:n", *names}
        assert record.version == 1 + 2 * COUNT * len(NAMES)
        assert conflicts > 0

    @pytest_twisted.ensureDeferred
    async def test_blindIncrements(self, tmp_path: Path) -> None:
        """
        The same finds processes that do not look at the version.
        """
        record, _ = await increments(tmp_path / "sessions.db", "blind")
        assert int(record.attributes["data:n"]) < COUNT * len(NAMES)

    @pytest_twisted.ensureDeferred
    async def test_openTogether(self, tmp_path: Path) -> None:
        """
        Ten processes that open a new file at once make it once, without an error.
        """
        for attempt in range(3):
            path = tmp_path / f"{attempt}.db"
            assert await child("openTogether", str(path)) == ["True"] * 10
            store = SQLiteStore(path)
            found = [sid async for sid, _ in store.iterSessions()]
            assert sorted(found) == [sidOf(number) for number in range(10)]
            await store.close()


class TestKilled:
    """
    Processes that are killed.
    """

    @pytest_twisted.ensureDeferred
    async def test_whileSaving(self, record_property: Any) -> None:
        """
        Nothing that was acknowledged is lost, and no batch is torn.
        """
        found = await run("killsqlite.py", "--kills", "40", "--seed", "1")
        record_property("figures", found.strip())
        assert ", 0 troubles" in found

    @pytest_twisted.ensureDeferred
    async def test_hasty(self) -> None:
        """
        The same finds a store that acknowledges before it commits.
        """
        await run("killsqlite.py", "--kills", "12", "--variant", "hasty", status=1)

    @pytest_twisted.ensureDeferred
    async def test_whileOpening(self) -> None:
        """
        A file that was being made when its maker was killed can be opened.
        """
        arguments = ("--task", "open", "--kills", "40", "--seed", "1")
        assert ", 0 troubles" in await run("killsqlite.py", *arguments)


class TestTold:
    """
    Endings that are told of while processes are killed.
    """

    @pytest_twisted.ensureDeferred
    async def test_whileTelling(self, record_property: Any) -> None:
        """
        Each ending is in the journal until it was told, and none is told that
        never was, however processes are killed.
        """
        found = await run("sqlitejournalkills.py", "--kills", "40", "--seed", "1")
        record_property("figures", found.strip())
        assert ", 0 troubles" in found
        assert not re.search(r"\b0 (ended|told|left)", found)

    @pytest_twisted.ensureDeferred
    async def test_torn(self) -> None:
        """
        The same finds endings that are written down in another transaction.
        """
        arguments = ("--kills", "25", "--variant", "torn", "--seed", "1")
        assert "were lost" in await run("sqlitejournalkills.py", *arguments, status=1)

    @pytest_twisted.ensureDeferred
    async def test_takenOver(self, tmp_path: Path) -> None:
        """
        What a process was given that was killed comes to another one when the
        lease has run out, and not before; what nobody had comes at once.
        """
        path = tmp_path / "sessions.db"
        clock = Clock()
        clock.advance(seconds())
        store = SQLiteStore(path, clock=clock)
        await store.enrol("mail")
        for number in range(5):
            await store.createSession(newRecord(sidOf(number)))
            await store.deleteSession(sidOf(number))
        taken = json.loads(await run("sqlitechild.py", "takeAndDie", str(path), "600", status=-9))
        assert len(taken) == 3
        free = await store.takeEndings("mail", 9, 3600.0)
        assert [entry.record.sid for entry in free] == [sidOf(3), sidOf(4)]
        clock.advance(590)
        assert await store.takeEndings("mail", 9, 60.0) == []
        clock.advance(seconds() - clock.seconds() + 600)
        over = await store.takeEndings("mail", 9, 60.0)
        assert [(entry.eventID, entry.attempt) for entry in over] == [(each, 2) for each in taken]
        await store.acknowledge("mail", taken)
        clock.advance(61)
        assert await store.takeEndings("mail", 9, 60.0) == []
        await store.close()


class TestLimits:
    """
    Processes that may not do all.
    """

    @pytest_twisted.ensureDeferred
    async def test_size(self, tmp_path: Path) -> None:
        """
        When files may not grow a save fails and nothing is lost; when they may
        again, the same store works.
        """
        found = await child("limited", str(tmp_path / "sessions.db"))
        assert found["saved"] > 1
        assert found["error"].startswith("StoreUnavailable: ")
        assert found["whileFull"] == found["saved"]
        assert found["again"] == found["saved"] + 2
        assert found["kept"] == found["saved"] + 1

    @pytest.fixture
    def place(self) -> Iterator[Path]:
        """
        A directory that every user can reach.
        """
        place = Path(tempfile.mkdtemp())
        place.chmod(0o777)
        if not all(parent.stat().st_mode & 0o001 for parent in place.parents):
            pytest.skip("no user but this one can reach the temporary directory")
        yield place
        (place / "directory").chmod(0o700)
        shutil.rmtree(place)

    @pytest_twisted.ensureDeferred
    async def test_permissions(self, place: Path) -> None:
        """
        What a user may not read or write is refused, with what to do.
        """
        (place / "directory").mkdir()
        for name in ("directory/old.db", "unwritable.db", "unreadable.db"):
            store = SQLiteStore(place / name)
            await store.createSession(newRecord())
            await store.close()
            for end in ("", "-lock"):
                os.chmod(f"{place / name}{end}", 0o666)
        (place / "unwritable.db").chmod(0o444)
        (place / "unreadable.db").chmod(0o200)
        (place / "directory").chmod(0o555)
        found = await child("unprivileged", str(place))
        assert len(found) == 4
        for text in found.values():
            assert text.startswith("StoreUnusable: ")
            assert "this user may not" in text
