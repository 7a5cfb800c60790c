"""
Tests for L{txsessions.clock}.
"""

from __future__ import annotations

from typing import Any

import pytest
from twisted.internet import reactor as realReactor
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import Clock
from zope.interface.verify import verifyObject

from txsessions.clock import SteadyClock, steady
from txsessions.duties import Duties
from txsessions.errors import StoreTimedOut
from txsessions.patience import Patience

HOUR = 3600.0


class Machine:
    """
    A machine whose system clock can be set.
    """

    def __init__(self) -> None:
        self.reactor = Clock()
        self.reactor.advance(1e9)
        self.monotonic = 50.0
        self.clock = SteadyClock(self.reactor, lambda: self.monotonic)

    def pass_(self, seconds: float, steps: int = 1) -> None:
        """
        Let time pass; in so many turns of the reactor.
        """
        for _ in range(steps):
            self.monotonic += seconds / steps
            self.reactor.advance(seconds / steps)

    def set(self, seconds: float) -> None:
        """
        Set the system's clock forward, or back.
        """
        self.reactor.rightNow += seconds
        self.reactor.advance(0)


@pytest.fixture
def machine() -> Machine:
    """
    A machine of its own for each test.
    """
    return Machine()


JUMPS = pytest.mark.parametrize("jump", [HOUR, -HOUR], ids=["forward", "back"])


def test_provides(machine: Machine) -> None:
    """
    It is a clock as the reactor is.
    """
    assert verifyObject(IReactorTime, machine.clock)
    call = machine.clock.callLater(1, lambda: None)
    assert machine.clock.getDelayedCalls() == [call]


@JUMPS
def test_timeGoesOn(machine: Machine, jump: float) -> None:
    """
    It begins with the wall time, and goes on steadily when that jumps.
    """
    assert machine.clock.seconds() == 1e9
    machine.pass_(10)
    machine.set(jump)
    assert machine.clock.seconds() == 1e9 + 10
    machine.pass_(10)
    assert machine.clock.seconds() == 1e9 + 20


@JUMPS
def test_delayedCalls(machine: Machine, jump: float) -> None:
    """
    After a jump that somebody noticed, a delayed call comes at its time.
    """
    called: list[float] = []
    machine.clock.callLater(100, lambda: called.append(machine.clock.seconds()))
    machine.pass_(10)
    if jump < 0:
        machine.set(jump)
        machine.clock.seconds()
    else:
        machine.reactor.rightNow += jump
        machine.clock.seconds()
    machine.pass_(89.5)
    assert called == []
    machine.pass_(0.5)
    assert called == [1e9 + 100]


def test_jumpBeforeAnotherCall(machine: Machine) -> None:
    """
    A delayed call that is made right after a jump, before anybody asked for the time, is not
    taken for one from before.
    """
    called = []
    machine.set(-HOUR)
    machine.clock.callLater(100, called.append, 1)
    machine.clock.seconds()
    machine.pass_(99)
    assert not called
    machine.pass_(1)
    assert called == [1]


def test_cancelledCalls(machine: Machine) -> None:
    """
    Calls that were cancelled or are done hurt nobody at a jump, and do not pile up.
    """
    for _ in range(1_000):
        machine.clock.callLater(1, lambda: None).cancel()
    machine.clock.callLater(1, lambda: None)
    machine.pass_(1)
    machine.set(-HOUR)
    machine.clock.seconds()
    assert machine.clock._calls == []
    assert not machine.reactor.getDelayedCalls()


def test_smallCorrections(machine: Machine) -> None:
    """
    A clock that is slowly corrected moves nothing.
    """
    called = []
    machine.clock.callLater(100, called.append, 1)
    for _ in range(99):
        machine.pass_(1)
        machine.reactor.rightNow += 0.0005
        machine.clock.seconds()
    assert not called
    machine.pass_(1)
    assert called


@JUMPS
def test_neitherKilledNorImmortal(machine: Machine, jump: float) -> None:
    """
    A jump of the wall clock ends nothing early; and what is due ends at its time once anything
    at all happens in the process.
    """
    ended: list[tuple[str, float]] = []
    duties = Duties(
        machine.clock,
        {"a": 1e9 + 900, "b": 1e9 + 950}.get,
        lambda name: ended.append((name, machine.clock.seconds())),
    )
    duties.add("a", 1e9 + 900)
    duties.add("b", 1e9 + 950)
    machine.pass_(450)
    machine.set(jump)
    machine.pass_(440, steps=44)
    assert ended == []
    machine.clock.seconds()
    machine.pass_(10)
    assert ended == [("a", 1e9 + 900)]
    machine.pass_(50)
    assert ended[1:] == [("b", 1e9 + 950)]
    assert not machine.reactor.getDelayedCalls()


@JUMPS
def test_waitsAreAsLong(machine: Machine, jump: float) -> None:
    """
    A store that hangs while the clock jumps is given up after the time that it has.
    """
    patience = Patience(machine.clock, 2.0)
    failures: list[Any] = []
    patience.wait(Deferred()).addErrback(failures.append)
    machine.set(jump)
    assert failures == []
    machine.clock.seconds()
    machine.pass_(1.9)
    assert failures == []
    machine.pass_(0.2)
    assert failures[0].check(StoreTimedOut)
    assert not machine.reactor.getDelayedCalls()


def test_steady() -> None:
    """
    The time of a real reactor is made steady; any other clock is its own master.
    """
    clock = Clock()
    assert steady(clock) is clock
    real: Any = realReactor
    assert isinstance(steady(real), SteadyClock)
    assert abs(steady(real).seconds() - real.seconds()) < 1
    already = SteadyClock(clock)
    assert steady(already) is already
