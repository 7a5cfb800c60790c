"""
Tests for L{txsessions.stores.keycheck}: single sessions that cannot be decrypted.
"""

from __future__ import annotations

import pytest
from test_encrypting_values import ATTRIBUTES, sidOf
from test_keycheck import NEW, OLD, Scene
from twisted.logger import capturedLogs

from txsessions.errors import UnknownKey
from txsessions.record import Change
from txsessions.stores.encrypting import EncryptingStore
from txsessions.stores.keycheck import MAXIMUM_STRANGE
from txsessions.testing import resultOf


def mixed(scene: Scene) -> EncryptingStore:
    """
    A process with the old key, that has done something before another one with a new key in
    front has changed one of the sessions.
    """
    worker = scene.worker(OLD)
    assert resultOf(worker.loadSession(sidOf(1)))
    resultOf(scene.worker(NEW, OLD).saveSession(Change(sidOf(1), set={"data:b": b"7"})))
    return worker


def test_met() -> None:
    """
    A process that has met a session which it cannot decrypt ends nothing any more that nobody
    has looked at, and changes nothing in that session; the others go on.
    """
    scene = Scene()
    worker = mixed(scene)
    before = scene.content()
    with pytest.raises(UnknownKey):
        resultOf(worker.loadSession(sidOf(1)))
    scene.clock.advance(1000)
    sid = sidOf(1)
    for operation in (
        lambda: worker.claimExpired(10),
        lambda: worker.endSessions("anna"),
        lambda: worker.deleteOldSessions(0),
        lambda: worker.saveSession(Change(sid, set={"data:a": b"1"})),
        lambda: worker.saveSession(Change(sid, lastModified=5.0)),
        lambda: worker.logInSession(Change(sid, sessionKey="zoe")),
        lambda: worker.deleteSession(sid),
    ):
        with pytest.raises(UnknownKey):
            resultOf(operation())
    assert scene.content() == before
    assert resultOf(worker.saveSession(Change(sidOf(2), set={"data:b": b"1"}))) == 2
    assert resultOf(worker.deleteSession(sidOf(0))) == scene.records[0]


def test_metInTheBeginning() -> None:
    """
    That is so from the beginning where the first look has met it.
    """
    scene = Scene()
    mixed(scene)
    scene.clock.advance(1000)
    worker = scene.worker(OLD)
    with pytest.raises(UnknownKey):
        resultOf(worker.claimExpired(10))
    assert resultOf(worker.loadSession(sidOf(0))) == scene.records[0]


@pytest.mark.parametrize("way", ["ended", "encrypted anew", "damaged"])
def test_goneAgain(way: str) -> None:
    """
    When that session has ended, or can be decrypted again, all goes on as before.
    """
    scene = Scene()
    worker = mixed(scene)
    with pytest.raises(UnknownKey):
        resultOf(worker.loadSession(sidOf(1)))
    if way == "ended":
        resultOf(scene.inner.deleteSession(sidOf(1)))
    else:
        value = resultOf(scene.inner.loadSession(sidOf(0))).attributes["data:b"]
        if way == "encrypted anew":
            resultOf(scene.right.loadSession(sidOf(0)))
            value = scene.right._cipher.closeChange(Change(sidOf(1), set={"data:b": b"7"})).set[
                "data:b"
            ]
        resultOf(scene.inner.saveSession(Change(sidOf(1), set={"data:b": value})))
    scene.clock.advance(1000)
    with capturedLogs():
        ended = resultOf(worker.claimExpired(10)).endings
    assert len(ended) == (2 if way == "ended" else 3)


def test_manyStrange() -> None:
    """
    However many sessions cannot be decrypted, so many are remembered and no more.
    """
    scene = Scene(1)
    check = scene.worker(OLD)._check
    for number in range(MAXIMUM_STRANGE + 50):
        check.met(sidOf(number))
    assert len(check._strange) == MAXIMUM_STRANGE


def test_endedBeforeItWasMet() -> None:
    """
    If a session is ended of which a part cannot be decrypted, because another process has just
    written that part, the ending is told without it, and says so in the log.
    """
    scene = Scene()
    worker = mixed(scene)
    scene.clock.advance(1000)
    with capturedLogs() as events:
        told = {e.record.sid: e.record for e in resultOf(worker.claimExpired(10)).endings}
    assert told.keys() == {record.sid for record in scene.records}
    rest = {name: value for name, value in ATTRIBUTES.items() if name != "data:b"}
    assert told[sidOf(1)].attributes == rest
    assert told[sidOf(0)] == scene.records[0]
    assert [event["count"] for event in events] == [1]


def test_journalWaits() -> None:
    """
    A durable observer is never told of an ending without its data because of a key: the entry
    waits for a process that has the key, and holds up no other.
    """
    scene = Scene()
    resultOf(scene.right.enrol("audit"))
    worker = mixed(scene)
    for record in scene.records:
        resultOf(scene.inner.deleteSession(record.sid))
    told = resultOf(worker.takeEndings("audit", 10, 60.0))
    assert {entry.record.sid for entry in told} == {sidOf(0), sidOf(2)}
    resultOf(worker.acknowledge("audit", [entry.eventID for entry in told]))
    scene.clock.advance(61)
    with pytest.raises(UnknownKey):
        resultOf(worker.takeEndings("audit", 10, 60.0))
    scene.clock.advance(61)
    (entry,) = resultOf(scene.worker(NEW, OLD).takeEndings("audit", 10, 60.0))
    assert entry.record.attributes == {**ATTRIBUTES, "data:b": b"7"}
    assert entry.attempt == 3
