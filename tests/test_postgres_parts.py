"""
Tests for the parts of L{txsessions.stores.postgresserver} that need no server.
"""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis.strategies import (
    binary,
    builds,
    characters,
    dictionaries,
    floats,
    integers,
    none,
    text,
)
from twisted.internet.task import Clock
from twisted.python.failure import Failure

from txsessions.errors import StoreTimedOut, StoreUnavailable, StoreUnusable
from txsessions.record import Record
from txsessions.stores.postgresserver import kind
from txsessions.stores.postgresserver.line import Line
from txsessions.stores.postgresserver.outage import LONGEST, PROBE, SHORTEST, Outage
from txsessions.stores.postgresserver.refusal import Refusal, advised
from txsessions.stores.postgresserver.row import fromRow, toRow
from txsessions.stores.servertime import INTERVAL, ServerTime

anyText = text(characters(exclude_categories=()))


class Monotonic:
    """
    Seconds that a test sets.
    """

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@given(anyText)
def test_texts(value: str) -> None:
    """
    Any text becomes one that PostgreSQL can hold, and comes back as it was.
    """
    held = kind.escape(value).encode("utf-8")
    assert b"\0" not in held
    assert kind.readText(held) == value
    assert kind.TEXT.write(value) == held


@given(binary())
def test_bytes(value: bytes) -> None:
    """
    Any bytes become a text that PostgreSQL can hold, and come back as they were.
    """
    held = kind.escapeBytes(value)
    assert "\0" not in held
    assert kind.unescapeBytes(held.encode("utf-8").decode("utf-8")) == value


@given(anyText, anyText)
def test_differentTexts(one: str, other: str) -> None:
    """
    Different texts stay different, those as well that look as if they were escaped.
    """
    assert (kind.escape(one) == kind.escape(other)) == (one == other)
    escaped = kind.escape(one)
    assert kind.unescape(kind.escape(escaped)) == escaped


times = floats(allow_nan=False)


@given(
    builds(
        Record,
        sid=anyText,
        verifier=binary(),
        created=times,
        lastModified=times,
        sessionTimeout=times,
        absoluteTimeout=none() | times,
        sessionKey=none() | anyText,
        attributes=dictionaries(anyText, binary()),
        version=integers(1, 2**63 - 1),
    )
)
def test_rows(record: Record) -> None:
    """
    Every fact of a record comes back from its row as it was.
    """
    time = ServerTime(lambda: None)
    kinds = [kind.TEXT, kind.BYTES, *[kind.FLOAT] * 4, kind.TEXT, kind.JSONB, kind.INTEGER]
    row = tuple(
        None if value is None else kind_.write(value)
        for kind_, value in zip(kinds, toRow(record, time), strict=True)
    )
    assert fromRow(row, time) == record


class TestServerTime:
    """
    The server's time, as the clock of a process reads it.
    """

    @pytest.fixture(autouse=True)
    def clocks(self) -> None:
        """
        A clock, and seconds that never jump.
        """
        self.clock = Clock()
        self.monotonic = Monotonic()
        self.time = ServerTime(lambda: self.clock, self.monotonic)

    def test_agreeing(self) -> None:
        """
        Clocks of which the server's lies between question and answer are taken to agree:
        times pass as they are.
        """
        self.time.compare(1000.0, 1000.001, 1000.002)
        assert self.time.toServer(1000.123456789) == 1000.123456789
        assert self.time.fromServer(1000.123456789) == 1000.123456789

    def test_apart(self) -> None:
        """
        A server whose clock goes before or after ours has its times translated, to the
        microsecond.
        """
        for ahead in (3600.5, -3600.5, 1e9 + 0.1):
            self.time.compare(1000.0, 1000.0 + ahead, 1000.0)
            assert self.time.toServer(1000.25) == 1000.25 + ahead
            assert self.time.fromServer(1000.25 + ahead) == 1000.25
            for moment in (0.0, 1000.1, 999.654321, 1_700_000_000.123456):
                assert self.time.fromServer(self.time.toServer(moment)) == moment

    def test_noFurtherThanNeeded(self) -> None:
        """
        A difference that a comparison does not contradict stays; otherwise it moves as far
        as it must.
        """
        self.time.compare(1000.0, 1010.0, 1000.0)
        assert self.time.toServer(0.0) == 10.0
        self.time.compare(1000.0, 1010.5, 1001.0)
        assert self.time.toServer(0.0) == 10.0
        self.time.compare(1000.0, 1010.5, 1000.2)
        assert self.time.toServer(0.0) == pytest.approx(10.3)
        self.time.compare(1000.0, 1009.0, 1000.2)
        assert self.time.toServer(0.0) == pytest.approx(9.0)

    def test_jumpDuringComparison(self) -> None:
        """
        A comparison during which the clock went back says nothing.
        """
        self.time.compare(1000.0, 1500.0, 900.0)
        assert self.time.toServer(0.0) == 0.0

    def test_stale(self) -> None:
        """
        The clocks are compared at first, after a while, and when there is another clock.
        """
        assert self.time.isStale()
        self.time.compare(1000.0, 1000.0, 1000.0)
        assert not self.time.isStale()
        self.monotonic.now += INTERVAL - 0.001
        assert not self.time.isStale()
        self.monotonic.now += 0.001
        assert self.time.isStale()
        self.time.compare(1000.0, 1000.0, 1000.0)
        self.clock = Clock()
        assert self.time.isStale()


class TestOutage:
    """
    A server that is down is asked by one, now and then.
    """

    @pytest.fixture(autouse=True)
    def outage(self) -> None:
        """
        An outage that has just begun.
        """
        self.monotonic = Monotonic()
        self.down = Outage(self.monotonic)
        assert self.down.admits()
        self.down.begin(StoreUnavailable("it is down"))

    def test_one(self) -> None:
        """
        Nobody asks at first, then one, and when that has failed nobody for longer.
        """
        pause = SHORTEST
        for _ in range(8):
            self.monotonic.now += pause - 0.001
            assert not self.down.admits()
            assert not self.down.mayTry()
            self.monotonic.now += 0.002
            assert [self.down.admits() for _ in range(5)] == [True, False, False, False, False]
            assert self.down.mayTry()
            self.down.begin(StoreUnavailable("it is down"))
            pause = min(2 * pause, LONGEST)

    def test_end(self) -> None:
        """
        When it answers everybody may ask, and the next outage begins from the start.
        """
        self.monotonic.now += SHORTEST
        assert self.down.admits()
        self.down.end()
        assert [self.down.admits() for _ in range(5)] == [True] * 5
        self.down.begin(StoreUnavailable("it is down"))
        self.monotonic.now += SHORTEST
        assert self.down.admits()

    def test_silentProbe(self) -> None:
        """
        When the one who asks is never heard of again, another may.
        """
        self.monotonic.now += SHORTEST
        assert self.down.admits()
        self.monotonic.now += PROBE - 0.001
        assert not self.down.admits()
        self.monotonic.now += 0.001
        assert self.down.admits()

    def test_error(self) -> None:
        """
        Who is not admitted gets the error, each one of his own.
        """
        self.down.begin(StoreUnusable("mend it"))
        one, other = self.down.error(), self.down.error()
        assert one is not other
        assert (type(one), str(one)) == (StoreUnusable, "mend it")


class HungPipeline:
    """
    A connection that has hung.
    """

    trouble = StoreTimedOut("it hung")

    def __init__(self) -> None:
        self.isOpen = True

    def isUsable(self) -> bool:
        """
        Whether it is open.
        """
        return self.isOpen

    def run(self, units: list[Any]) -> list[Any]:
        """
        Give up on all of them.
        """
        self.isOpen = False
        return [self.trouble] * len(units)

    def close(self) -> None:
        """
        Nothing is left to do.
        """


def test_batchBehindAHungOne() -> None:
    """
    What waits behind a batch that a hanging server has held up does not wait as well.
    """
    made: list[HungPipeline] = []

    def connect() -> Any:
        made.append(HungPipeline())
        return made[-1]

    def nothing() -> Any:
        yield from ()

    def operation() -> Any:
        yield "unit"

    line = Line(connect, nothing, lambda: None, Outage(Monotonic()))
    for _ in range(3):
        (result,) = line.perform([operation()])
        assert isinstance(result, Failure)
        assert result.check(StoreTimedOut)
    assert len(made) == 1


def test_advice() -> None:
    """
    A refusal that only somebody can mend says what to do, and any other is passed on.
    """
    error = Refusal("no table")
    error.state = "42P01"
    assert isinstance(advised(error), StoreUnusable)
    assert "run the setup" in str(advised(error))
    error.state = "40P01"
    assert advised(error) is error
