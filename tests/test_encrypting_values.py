"""
Tests for L{txsessions.stores.encrypting}: what is in the store inside.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import attrs
import pytest
import pytest_twisted
from twisted.internet.task import Clock
from twisted.web.resource import Resource

import txsessions
from txsessions.keys import KeyRing
from txsessions.lifetime import LOGOUT
from txsessions.limit import SessionLimit
from txsessions.record import AUTHENTICATED, Change, Record, timeText
from txsessions.stores.encrypting import EncryptingStore
from txsessions.stores.json import JSONStore
from txsessions.stores.memory import MemoryStore
from txsessions.stores.sqlite import SQLiteStore
from txsessions.testing import RecordingStore, resultOf

CANARY = "canary-4711"

RING = KeyRing(os.urandom(32))

ATTRIBUTES = {
    "data:a": b'"' + CANARY.encode() + b'"',
    "data:b": b"[1,2]",
    "component:cart": b'{"owner": "' + CANARY.encode() + b'"}',
    AUTHENTICATED: b"5.0",
}


def sidOf(number: int) -> str:
    """
    A handle.
    """
    return f"{number:032x}"


def newRecord(number: int = 1, **facts: Any) -> Record:
    """
    A session with something of each kind.
    """
    usual: dict[str, Any] = {"created": 0.0, "lastModified": 0.0, "sessionTimeout": 900.0}
    usual |= {"sessionKey": "anna", "attributes": ATTRIBUTES}
    return Record(**{"sid": sidOf(number), "verifier": bytes(32), **usual, **facts})


class Scene:
    """
    An encrypting store around one in memory.
    """

    def __init__(self, *numbers: int, **options: Any) -> None:
        """
        @param numbers: The sessions that there are.
        """
        self.clock = Clock()
        self.inner = MemoryStore(self.clock)
        self.asked = RecordingStore(self.inner)
        self.store = EncryptingStore(self.asked, RING, **options)
        self.records = [newRecord(number) for number in numbers]
        for record in self.records:
            assert resultOf(self.store.createSession(record))

    def raw(self, number: int = 1) -> Record:
        """
        What the store inside has.
        """
        found: Record = resultOf(self.inner.loadSession(sidOf(number)))
        return found

    def tamper(self, number: int, **values: bytes) -> None:
        """
        Change values behind the encrypting store's back.
        """
        named = {f"data:{key}": value for key, value in values.items()}
        resultOf(self.inner.saveSession(Change(sidOf(number), set=named)))


def test_nothingReadable() -> None:
    """
    Values are encrypted; names, owner, times and facts are not.
    """
    scene = Scene(1)
    raw = scene.raw()
    assert CANARY not in repr(attrs.asdict(raw))
    assert attrs.evolve(raw, attributes={}) == attrs.evolve(scene.records[0], attributes={})
    assert raw.attributes.keys() == ATTRIBUTES.keys()
    assert raw.attributes[AUTHENTICATED] == b"5.0"
    assert raw.authenticatedAt == 5.0


@pytest.mark.parametrize(
    "make",
    [lambda place, clock: SQLiteStore(place / "s.db", clock=clock), lambda *a: JSONStore(a[0])],
)
@pytest_twisted.ensureDeferred
async def test_dump(tmp_path: Path, make: Callable[..., Any]) -> None:
    """
    Nothing that an application keeps is in the files of a store, though it comes back.
    """
    found = {}
    for name, wrap in (
        ("plain", lambda each: each),
        ("closed", lambda s: EncryptingStore(s, RING)),
    ):
        place = tmp_path / name
        place.mkdir()
        store = wrap(make(place, Clock()))
        await store.setup()
        for number in range(20):
            await store.createSession(newRecord(number))
            await store.saveSession(
                Change(sidOf(number), set={"data:a": b'"%s"' % CANARY.encode()})
            )
        await store.deleteSession(sidOf(0))
        assert (await store.loadSession(sidOf(1))).attributes == ATTRIBUTES
        await store.close()
        dump = b"".join(file.read_bytes() for file in place.rglob("*") if file.is_file())
        found[name] = CANARY.encode() in dump
    assert found == {"plain": True, "closed": False}


def test_deltaStaysDelta() -> None:
    """
    A save of one key is a save of one key, to the version and with the facts that it had.
    """
    scene = Scene(1)
    before = scene.raw()
    change = Change(
        sidOf(1),
        set={"data:b": b"3", AUTHENTICATED: timeText(9.0)},
        unset=frozenset({"component:cart"}),
        lastModified=4.0,
        expectedVersion=1,
    )
    assert resultOf(scene.store.saveSession(change)) == 2
    passed = scene.asked.calls[-1].arguments[0]
    assert attrs.evolve(passed, set=change.set) == change
    assert passed.set.keys() == change.set.keys()
    after = scene.raw()
    assert after.attributes["data:a"] == before.attributes["data:a"]
    assert after.attributes["data:b"] != before.attributes["data:b"]
    loaded = resultOf(scene.store.loadSession(sidOf(1)))
    assert loaded.attributes == {
        "data:a": ATTRIBUTES["data:a"],
        "data:b": b"3",
        AUTHENTICATED: b"9.0",
    }


def test_modify() -> None:
    """
    A session that changes one of its keys again and again has that one encrypted, each time
    once, and no touch encrypts anything.
    """
    made: list[int] = []

    def entropy(count: int) -> bytes:
        made.append(count)
        return os.urandom(count)

    clock = Clock()
    store = EncryptingStore(MemoryStore(clock), RING, entropy=entropy)
    site = txsessions.Site(Resource(), sessionStore=store, reactor=clock)
    session = site.makeSession()
    session.data.update(big=["x" * 1000], count=0)
    resultOf(session.commit())
    assert len(made) == 2

    def increment(data: Any) -> None:
        data["count"] += 1

    for _ in range(10):
        resultOf(session.modify(increment))
    assert len(made) == 12
    clock.advance(300)
    session.touch()
    resultOf(session.commit())
    assert len(made) == 12
    resultOf(site.stopSessions())


def test_default() -> None:
    """
    What to give where there is none is given as it is, a record too.
    """
    scene = Scene()
    for default in (None, "nothing", newRecord(7)):
        assert resultOf(scene.store.loadSession(sidOf(1), default)) is default


def test_named() -> None:
    """
    An operation may be called with named arguments.
    """
    scene = Scene(1)
    resultOf(
        scene.store.logInSession(change=Change(sidOf(1), set={"data:a": b"7"}, sessionKey="zoe"))
    )
    assert scene.raw().attributes["data:a"] != b"7"
    assert resultOf(scene.store.findSessions(sessionKey="zoe"))[0].attributes["data:a"] == b"7"


def test_endingsComeBack() -> None:
    """
    Whatever ends sessions gives their last data.
    """
    scene = Scene(1, 2, 3, 4)
    assert resultOf(scene.store.deleteSession(sidOf(1), LOGOUT)) == scene.records[0]
    change = Change(sidOf(2), sessionKey="anna", set={"data:a": b"1"})
    evicted = resultOf(scene.store.logInSession(change, SessionLimit(2))).evicted
    assert [ending.record for ending in evicted] == [scene.records[2]]
    (ending,) = resultOf(scene.store.endSessions("anna", "revoked", sidOf(2)))
    assert ending.record == scene.records[3]
    scene.clock.advance(1000)
    (ending,) = resultOf(scene.store.claimExpired(10)).endings
    assert ending.record.attributes == {**ATTRIBUTES, "data:a": b"1"}


def test_journal() -> None:
    """
    A journal keeps what is encrypted, and gives what it was.
    """
    scene = Scene(1)
    resultOf(scene.store.enrol("audit"))
    resultOf(scene.store.deleteSession(sidOf(1)))
    assert CANARY not in repr(vars(scene.inner))
    (entry,) = resultOf(scene.store.takeEndings("audit", 10, 60.0))
    assert entry.record == scene.records[0]
    resultOf(scene.store.acknowledge("audit", [entry.eventID]))
    scene.clock.advance(61)
    assert resultOf(scene.store.takeEndings("audit", 10, 60.0)) == []


def test_entropy() -> None:
    """
    Where there is no randomness nothing is stored, and the operation says so.
    """

    def fails(count: int) -> bytes:
        raise OSError("no randomness")

    scene = Scene(entropy=fails)
    failed = scene.store.createSession(newRecord())
    with pytest.raises(OSError, match="no randomness"):
        resultOf(failed)
    assert resultOf(scene.inner.loadSession(sidOf(1))) is None
