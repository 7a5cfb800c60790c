"""
Tests for L{txsessions.web.missed}: endings of which nobody has said a word.
"""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from listening import TurningClock
from scenes import SharedStore, stored
from twisted.internet.defer import succeed

from txsessions.testing import FailingStore, RecordingStore
from txsessions.web.missed import Missed


class DeafStore(SharedStore):
    """
    A store of which nobody hears what ends.
    """

    def watchEndings(self, ended: Any, missed: Any) -> Any:
        """
        Tell nothing.
        """
        return lambda: None


def watched(it: Any) -> tuple[Any, list[int]]:
    """
    A live session, and what its callback has noted.
    """
    session, told = stored(it), []
    session.notifyOnExpire(lambda: told.append(1))
    return session, told


def test_asked(scene):
    """
    When endings may have been missed, the store is asked about the live sessions that
    have somebody to be told, and those that have ended run their callbacks.
    """
    it = scene(DeafStore())
    session, told = watched(it)
    it.memory.deleteSession(session.sid, "evicted")
    it.site.endingsMissed()
    it.clock.advance(0)
    assert (told, session.endReason) == ([1], "evicted")


def test_notAsked(scene):
    """
    It is not asked about those of which all there is is in the record.
    """
    it = scene(DeafStore(), wrap=RecordingStore)
    stored(it)
    it.store.calls.clear()
    it.site.endingsMissed()
    it.clock.advance(0)
    assert it.store.calls == []


def test_askedAgain(scene):
    """
    A store that cannot answer yet is asked again, long before the deadline of the
    session, until it can.
    """
    it = scene(DeafStore(), wrap=FailingStore)
    session, told = watched(it)
    it.memory.deleteSession(session.sid)
    it.store.fail("loadSession")
    it.site.endingsMissed()
    for _ in range(5):
        it.clock.advance(1)
    assert told == []
    it.store.mend()
    it.clock.advance(1)
    assert told == [1]


def test_livesOn(scene):
    """
    A session that has not ended lives on, and is asked about once.
    """
    it = scene(DeafStore(), wrap=RecordingStore)
    session, told = watched(it)
    it.store.calls.clear()
    it.site.endingsMissed()
    it.site.endingsMissed()
    for _ in range(5):
        it.clock.advance(1)
    assert [call.name for call in it.store.calls] == ["loadSession"]
    assert (told, session.endReason) == ([], None)


def test_stopped(scene):
    """
    A site that is stopped asks about nothing any more.
    """
    it = scene(DeafStore(), wrap=FailingStore)
    _, told = watched(it)
    it.store.fail("loadSession")
    it.site.endingsMissed()
    it.clock.advance(0)
    it.site.sessionsMissed.stop()
    it.clock.advance(60)
    assert told == []
    it.store.mend()
    it.site.sessionsMissed.start()
    it.clock.advance(60)
    it.site.sessionsMissed.stop()


def test_bounded():
    """
    However many they are, a part of them is asked about in one turn of the reactor.
    """
    clock, asked = TurningClock(), []
    sessions = {str(number): SimpleNamespace(sid=str(number)) for number in range(1000)}
    missed = Missed(clock, sessions.get, lambda each: succeed(asked.append(each) is None))
    for session in sessions.values():
        missed.add(session)
    turns = []
    while clock.turn():
        turns.append(len(asked))
    assert turns[0] < 500 <= turns[-1] == 1000
