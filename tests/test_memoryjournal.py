"""
Tests for L{txsessions.stores.memoryjournal}, beside the contract that all journals keep.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from time import process_time
from typing import Any

import pytest
from twisted.internet.task import Clock
from twisted.logger import globalLogPublisher

from txsessions.lifetime import IDLE, LOGOUT
from txsessions.record import Record
from txsessions.stores.journal import RETENTION, eventIDOf
from txsessions.stores.memory import MemoryStore
from txsessions.stores.memoryjournal import AT_ONCE, QUIET, MemoryJournal
from txsessions.testing import resultOf


def newRecord(number: int) -> Record:
    """
    A record.
    """
    return Record(f"{number:032x}", bytes(32), 0.0, 0.0, 100.0)


def writeSome(journal: MemoryJournal, numbers: Any, now: float = 0.0) -> None:
    """
    Write some endings that come at that moment.
    """
    for number in numbers:
        journal.write(newRecord(number), LOGOUT, now)


def numbersOf(entries: Any) -> list[int]:
    """
    Which those are.
    """
    return [int(entry.record.sid, 16) for entry in entries]


@pytest.fixture
def dropped() -> Iterator[list[int]]:
    """
    How many were said to be dropped, each time.
    """
    said: list[int] = []

    def observe(event: Any) -> None:
        if "dropped" in event:
            said.append(event["dropped"])

    globalLogPublisher.addObserver(observe)
    yield said
    globalLogPublisher.removeObserver(observe)


def test_maximum(dropped: list[int]) -> None:
    """
    Of more endings than a journal holds the oldest are dropped, for each observer by itself,
    and it is logged how many: once in a while, and when the observer comes again.
    """
    journal = MemoryJournal(maximum=10)
    journal.enrol("mail")
    journal.enrol("audit")
    writeSome(journal, range(8))
    audit = journal.take("audit", 0.0, 8, 60.0)
    journal.acknowledge("audit", [entry.eventID for entry in audit])
    writeSome(journal, range(8, 15))
    assert dropped == [1]
    writeSome(journal, range(15, 17), QUIET)
    assert dropped == [1, 5]
    writeSome(journal, range(17, 18), QUIET)
    assert numbersOf(journal.take("mail", QUIET, 100, 60.0)) == list(range(8, 18))
    assert dropped == [1, 5, 2]
    assert numbersOf(journal.take("audit", QUIET, 100, 60.0)) == list(range(8, 18))
    assert dropped == [1, 5, 2]


def test_maximumWithLeases(dropped: list[int]) -> None:
    """
    What somebody has taken counts, and is not dropped: he may be just about to acknowledge it.
    """
    journal = MemoryJournal(maximum=10)
    journal.enrol("mail")
    writeSome(journal, range(10))
    taken = journal.take("mail", 0.0, 4, 60.0)
    writeSome(journal, range(10, 13))
    assert numbersOf(journal.take("mail", 0.0, 100, 60.0)) == list(range(7, 13))
    journal.acknowledge("mail", [entry.eventID for entry in taken])
    writeSome(journal, range(13, 17))
    assert sum(dropped) == 3
    assert numbersOf(journal.take("mail", 60.0, 100, 60.0)) == list(range(7, 17))


def test_acknowledgedUntaken() -> None:
    """
    What is acknowledged that nobody has taken leaves nothing behind, however much it is.
    """
    journal = MemoryJournal(maximum=10)
    journal.enrol("mail")
    for number in range(1000):
        journal.acknowledge("mail", [eventIDOf(newRecord(number).sid, 0.0)])
        writeSome(journal, [number])
        journal.acknowledge("mail", [eventIDOf(newRecord(number).sid, 0.0)])
    backlog = journal._backlogs["mail"]
    assert len(backlog._waiting) <= 10 and not backlog._entries
    assert journal.take("mail", 0.0, 100, 60.0) == []


def test_retention(dropped: list[int]) -> None:
    """
    What is too old is dropped, a bit at a time, by whoever writes or takes, and logged.
    """
    journal = MemoryJournal()
    journal.enrol("mail")
    count = AT_ONCE + 100
    writeSome(journal, range(count))
    writeSome(journal, [count], 10.0)
    backlog = journal._backlogs["mail"]
    writeSome(journal, [count + 1], RETENTION)
    assert len(backlog._entries) == count
    assert numbersOf(journal.take("mail", RETENTION, 100, 60.0))[:2] == [count - 98, count - 97]
    assert sum(dropped) == AT_ONCE + 2


def test_idle() -> None:
    """
    While nobody is enrolled nothing is kept, and not even an entry is made.
    """
    journal = MemoryJournal()
    writeSome(journal, range(10))
    journal.write(None, IDLE, 0.0)  # type: ignore[arg-type]  # it does not look
    journal.enrol("mail")
    journal.dismiss("mail")
    journal.write(None, IDLE, 0.0)  # type: ignore[arg-type]  # it does not look
    assert journal._backlogs == {}


def test_dismissMany() -> None:
    """
    What a dismissed observer had still to be told is let go of in many turns of the reactor,
    whether somebody has it or not; who enrols meanwhile begins anew.
    """
    clock, left = Clock(), []

    class Watched(MemoryStore):
        async def _turn(self) -> None:
            left.append(len(backlog._entries))
            await super()._turn()

    store = Watched(clock)
    resultOf(store.enrol("mail"))
    writeSome(store._journal, range(6 * AT_ONCE))
    backlog = store._journal._backlogs["mail"]
    assert len(resultOf(store.takeEndings("mail", AT_ONCE + 1, 60.0))) == AT_ONCE + 1
    dismissing = store.dismiss("mail")
    assert not dismissing.called
    resultOf(store.enrol("mail"))
    clock.advance(0)
    resultOf(dismissing)
    sizes = [6 * AT_ONCE, *left, len(backlog._entries)]
    assert all(0 < a - b <= 2 * AT_ONCE for a, b in pairwise(sizes)) and sizes[-1] == 0
    writeSome(store._journal, [7])
    assert numbersOf(resultOf(store.takeEndings("mail", 10, 60.0))) == [7]


def test_many() -> None:
    """
    A hundred thousand sessions that end in one second, with two observers and a watcher,
    hold nobody up: each batch of a sweep, and what is taken and acknowledged of it, takes no
    more than a fiftieth of a second on the average, and the last as little as the first.
    """
    clock = Clock()
    store = MemoryStore(clock)
    heard: list[str] = []
    stop = store.watchEndings(lambda sid, reason: heard.append(sid), lambda: None)
    for name in ("mail", "audit"):
        store.enrol(name)
    for number in range(100_000):
        store.createSession(newRecord(number))
    clock.advance(100)
    times = []
    for _ in range(200):
        began = process_time()
        assert len(resultOf(store.claimExpired(500)).endings) == 500
        entries = resultOf(store.takeEndings("mail", 500, 60.0))
        assert len(entries) == 500
        store.acknowledge("mail", [entry.eventID for entry in entries])
        times.append(process_time() - began)
    stop()
    assert len(heard) == 100_000
    assert len(store._journal._backlogs["audit"]._entries) == 100_000
    assert not store._journal._backlogs["mail"]._entries
    assert sum(times) / 200 < 0.02
    assert sum(times[100:]) < 3 * sum(times[:100])
