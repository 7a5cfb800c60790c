"""
Tests for what L{txsessions.stores.json} does with files that are none of its
own.
"""

from __future__ import annotations

import os
import random
from pathlib import Path
from typing import Any

import pytest
import pytest_twisted
from twisted.internet.task import Clock
from twisted.logger import LogLevel, globalLogPublisher

from txsessions.errors import CorruptRecord, SessionEnded, StoreUnusable
from txsessions.record import Change, Record
from txsessions.stores.files import text
from txsessions.stores.files.text import Damaged, End, decode, encodeEnd, encodeRecord
from txsessions.stores.json import JSONStore

SID = "0123456789abcdef" * 2


def newRecord(sid: str = SID, **facts: Any) -> Record:
    """
    A record.
    """
    usual: dict[str, Any] = {
        "sid": sid,
        "verifier": bytes(range(32)),
        "created": 1.5,
        "lastModified": 2.25,
        "sessionTimeout": 1800.0,
        "absoluteTimeout": 1e6,
        "sessionKey": "anna",
        "attributes": {"data:a": b'{"b":[1,2.50]}'},
        "version": 3,
    }
    return Record(**{**usual, **facts})


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


class TestText:
    """
    The text of a file.
    """

    def test_roundTrip(self) -> None:
        """
        What is written is what is read, for a record and for an end.
        """
        record = newRecord()
        assert decode(SID, encodeRecord(record)) == record
        end = End(SID, "logout", 5.25)
        assert decode(SID, encodeEnd(end)) == end

    @pytest.mark.parametrize("written", [encodeRecord(newRecord()), encodeEnd(End(SID, "x", 1))])
    def test_everyBit(self, written: bytes) -> None:
        """
        A flipped bit anywhere makes a damaged text, and nothing else.
        """
        for place in range(len(written) - 1):
            for bit in range(8):
                changed = bytearray(written)
                changed[place] ^= 1 << bit
                with pytest.raises(Damaged):
                    decode(SID, bytes(changed))

    def test_everyLength(self) -> None:
        """
        A text that was cut short anywhere is damaged.
        """
        written = encodeRecord(newRecord())
        for length in range(len(written) - 1):
            with pytest.raises(Damaged):
                decode(SID, written[:length])

    def test_withoutTheCheck(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """
        The check is what finds the flipped bit: without it another value would
        be taken for the true one.
        """
        monkeypatch.setattr(text, "_check", lambda format, kind, body: "fits")
        written = encodeRecord(newRecord()).replace(b"anna", b"anne")
        assert decode(SID, written).sessionKey == "anne"  # type: ignore[union-attr]

    def test_anotherSession(self) -> None:
        """
        The text of another session is damaged in this one's place.
        """
        with pytest.raises(Damaged):
            decode("f" * 32, encodeRecord(newRecord()))

    def test_strangeTexts(self) -> None:
        """
        Whatever else may be in a file is damaged, and takes no time.
        """
        for strange in (
            b"",
            b"\0" * 4096,
            b"null",
            b"[]",
            b"{}",
            b"\x80\x04\x95pickle",
            b"[" * 100_000,
            b'{"format":1e999,"check":"","kind":"session","body":{}}',
            b'{"a":' * 50_000,
            random.Random(1).randbytes(5000),
        ):
            with pytest.raises(Damaged):
                decode(SID, strange)

    def test_newer(self) -> None:
        """
        A text of a later format is no damaged one, if its check fits; this
        version cannot use it.
        """
        body = b'{"other":1}'
        check = text._check(2, "session", body)
        newer = b'{"format":2,"check":"%s","kind":"session","body":%s}'
        with pytest.raises(StoreUnusable, match="newer version"):
            decode(SID, newer % (check.encode(), body))
        with pytest.raises(Damaged):
            decode(SID, newer % (b"00000000", body))


def empty(path: str) -> None:
    """
    Nothing in it.
    """
    Path(path).write_bytes(b"")


def foreign(path: str) -> None:
    """
    Something of somebody else.
    """
    Path(path).write_bytes(b"<html>")


def another(path: str) -> None:
    """
    The record of another session.
    """
    Path(path).write_bytes(encodeRecord(newRecord("f" * 32)))


def directory(path: str) -> None:
    """
    A directory.
    """
    os.unlink(path)
    os.mkdir(path)


def link(path: str) -> None:
    """
    A link to a good record.
    """
    os.rename(path, path + ".elsewhere")
    os.symlink(path + ".elsewhere", path)


def pipe(path: str) -> None:
    """
    A pipe, from which nothing ever comes.
    """
    os.unlink(path)
    os.mkfifo(path)


def huge(path: str) -> None:
    """
    More than fits into memory.
    """
    os.truncate(path, 1 << 40)


class TestQuarantine:
    """
    A damaged file is put aside once.
    """

    @pytest_twisted.ensureDeferred
    @pytest.mark.parametrize("damage", [empty, foreign, another, directory, link, pipe, huge])
    async def test_everyKind(self, damage: Any, tmp_path: Path, errors: list[Any]) -> None:
        """
        Whatever is found in the place of a record is moved aside, told to who
        asked, logged once, and absent afterwards.
        """
        store = JSONStore(str(tmp_path / "sessions"))
        record = newRecord()
        await store.createSession(record)
        path = os.path.join(store.path, SID[:2], f"{SID}.json")
        damage(path)
        with pytest.raises(CorruptRecord, match="quarantine"):
            await store.loadSession(SID)
        assert await store.loadSession(SID) is None
        assert await store.hasSession(SID) is False
        assert len(os.listdir(os.path.join(store.path, "quarantine"))) == 1
        assert [event["sid"] for event in errors] == [SID]
        assert not os.path.lexists(path)
        assert await store.createSession(record) is True
        assert await store.loadSession(SID) == record
        await store.close()

    @pytest_twisted.ensureDeferred
    async def test_keepsAll(self, tmp_path: Path) -> None:
        """
        A second damaged file of the same session does not replace the first.
        """
        store = JSONStore(str(tmp_path / "sessions"))
        for number in range(3):
            await store.createSession(newRecord())
            Path(store.path, SID[:2], f"{SID}.json").write_bytes(b"%d" % number)
            with pytest.raises(CorruptRecord):
                await store.loadSession(SID)
        kept = {path.read_bytes() for path in Path(store.path, "quarantine").iterdir()}
        assert kept == {b"0", b"1", b"2"}
        await store.close()

    @pytest_twisted.ensureDeferred
    async def test_amongMany(self, tmp_path: Path, errors: list[Any]) -> None:
        """
        Of many sessions with some damaged, a sweep that nobody asked for a
        certain one ends the others and reports each damaged one once.
        """
        clock = Clock()
        store = JSONStore(str(tmp_path / "sessions"), clock=clock)
        source = random.Random(2)
        sids = [f"{source.getrandbits(128):032x}" for _ in range(200)]
        for sid in sids:
            await store.createSession(newRecord(sid, lastModified=0.0))
        damaged = sids[::5]
        for sid in damaged:
            Path(store.path, sid[:2], f"{sid}.json").write_bytes(source.randbytes(200))
        clock.advance(1800)
        ended: list[str] = []
        for _ in range(20):
            claim = await store.claimExpired(50)
            ended += [ending.record.sid for ending in claim.endings]
        assert sorted(ended) == sorted(set(sids) - set(damaged))
        assert claim.nextDeadline is None
        assert sorted(event["sid"] for event in errors) == sorted(damaged)
        await store.close()

    @pytest_twisted.ensureDeferred
    async def test_damagedEnd(self, tmp_path: Path) -> None:
        """
        A damaged end brings nothing back to life.
        """
        store = JSONStore(str(tmp_path / "sessions"))
        await store.createSession(newRecord())
        await store.deleteSession(SID)
        with pytest.raises(SessionEnded):
            await store.loadSession(SID)
        os.truncate(os.path.join(store.path, SID[:2], f"{SID}.json"), 20)
        with pytest.raises(CorruptRecord):
            await store.saveSession(Change(SID, set={"data:a": b"1"}))
        assert await store.hasSession(SID) is False
        await store.close()

    @pytest_twisted.ensureDeferred
    async def test_newerIsLeftAlone(self, tmp_path: Path) -> None:
        """
        A file that a newer version wrote is neither changed nor put aside, a
        search says that it could not read it, and a sweep ends the others.
        """
        clock = Clock()
        store = JSONStore(str(tmp_path / "sessions"), clock=clock)
        await store.createSession(newRecord())
        body = b'{"other":1}'
        check = text._check(2, "session", body).encode()
        newer = b'{"format":2,"check":"%s","kind":"session","body":%s}' % (check, body)
        path = Path(store.path, SID[:2], f"{SID}.json")
        path.write_bytes(newer)
        beside = SID[:2] + "f" * 30
        await store.createSession(newRecord(beside, lastModified=0.0))
        for answer in (
            store.loadSession(SID),
            store.saveSession(Change(SID, set={"data:a": b"1"})),
            store.createSession(newRecord()),
            store.deleteSession(SID),
            store.findSessions("anna"),
        ):
            with pytest.raises(StoreUnusable, match="newer version"):
                await answer
        clock.advance(1800)
        (ending,) = (await store.claimExpired(10)).endings
        assert ending.record.sid == beside
        assert path.read_bytes() == newer
        await store.close()
