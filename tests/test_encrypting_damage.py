"""
Tests for L{txsessions.stores.encrypting}: values that somebody has changed in the store inside.
"""

from __future__ import annotations

import pytest
import pytest_twisted
from test_encrypting_values import ATTRIBUTES, Scene, sidOf
from twisted.logger import capturedLogs

from txsessions import envelope
from txsessions.envelope import Envelopes, PlainValue
from txsessions.errors import CorruptRecord, SessionEnded, UnknownKey
from txsessions.testing import resultOf


def test_swapped() -> None:
    """
    A value that was copied from another session, or from another key, is refused: once as
    damaged, then the session is none; and the others are as they were.
    """
    scene = Scene(1, 2, 3)
    scene.tamper(1, a=scene.raw(2).attributes["data:a"])
    scene.tamper(3, a=scene.raw(3).attributes["data:b"])
    for number in (1, 3):
        with pytest.raises(CorruptRecord) as caught:
            resultOf(scene.store.loadSession(sidOf(number)))
        assert caught.value.sid == sidOf(number)
        assert resultOf(scene.store.loadSession(sidOf(number), "nothing")) == "nothing"
    assert resultOf(scene.store.loadSession(sidOf(2))) == scene.records[1]


def test_controlOfSwap(monkeypatch: pytest.MonkeyPatch) -> None:
    """
    The same passes where values are bound to nothing (broken on purpose): the look can tell.
    """
    monkeypatch.setattr(envelope, "_associated", lambda sid, name: b"")
    scene = Scene(1)
    scene.tamper(1, a=scene.raw().attributes["data:b"])
    assert resultOf(scene.store.loadSession(sidOf(1))).attributes["data:a"] == b"[1,2]"


def test_reportedOnce() -> None:
    """
    A damaged record is left out of what is found and browsed, with one line in the log however
    often; nothing is changed, and whoever mends it has the session back.
    """
    scene = Scene(1, 2)
    good = scene.raw().attributes["data:a"]
    scene.tamper(1, a=good[:-3] + b'A="')
    with capturedLogs() as events:
        for _ in range(5):
            found = resultOf(scene.store.findSessions("anna"))
            assert [record.sid for record in found] == [sidOf(2)]
            assert resultOf(scene.store.loadSession(sidOf(1))) is None
    assert [event["log_format"] for event in events] == ["{error}"]
    assert sidOf(1) in str(events[0]["error"])
    assert resultOf(scene.inner.hasSession(sidOf(1)))
    scene.tamper(1, a=good)
    assert resultOf(scene.store.loadSession(sidOf(1))).attributes == ATTRIBUTES


@pytest_twisted.ensureDeferred
async def test_browsed() -> None:
    """
    Browsing gives what was stored, without what is damaged.
    """
    scene = Scene(1, 2)
    scene.tamper(1, b=b'"txs1.AAAA"')
    with capturedLogs() as events:
        browsed = {sid: record async for sid, record in scene.store.iterSessions()}
    assert browsed == {sidOf(2): scene.records[1]}
    assert len(events) == 1


def test_endsWithoutWhatIsDamaged() -> None:
    """
    An ending is told without a value that was damaged, with all else, once, and in one line of
    the log for all that end together.
    """
    scene = Scene(*range(10))
    resultOf(scene.store.enrol("audit"))
    for number in range(10):
        scene.tamper(number, a=b'"txs1.AAAA"')
    rest = {name: value for name, value in ATTRIBUTES.items() if name != "data:a"}
    scene.clock.advance(1000)
    for ended in (
        lambda: resultOf(scene.store.claimExpired(10)).endings,
        lambda: resultOf(scene.store.takeEndings("audit", 10, 60.0)),
    ):
        with capturedLogs() as events:
            told = ended()
        assert [each.record.attributes for each in told] == [rest] * 10
        assert [event["count"] for event in events] == [10]
    with pytest.raises(SessionEnded):
        resultOf(scene.store.loadSession(sidOf(1)))


def test_plain() -> None:
    """
    A value that somebody without a key has put there is not taken.
    """
    scene = Scene(1, 2)
    scene.tamper(1, a=b'"forged"')
    with pytest.raises(PlainValue, match="rekey --plain"):
        resultOf(scene.store.loadSession(sidOf(1)))
    assert scene.raw().attributes["data:a"] == b'"forged"'


def test_controlOfPlain(monkeypatch: pytest.MonkeyPatch) -> None:
    """
    The same passes where there is a fallback to plain text (broken on purpose).
    """
    open = Envelopes.open

    def careless(self: Envelopes, sid: str, name: str, value: bytes) -> bytes:
        try:
            return open(self, sid, name, value)
        except UnknownKey:
            return value

    scene = Scene(1)
    scene.tamper(1, a=b'"forged"')
    monkeypatch.setattr(Envelopes, "open", careless)
    assert resultOf(scene.store.loadSession(sidOf(1))).attributes["data:a"] == b'"forged"'
