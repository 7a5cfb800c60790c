"""
Endings for couriers to tell, and couriers, for tests.
"""

from __future__ import annotations

from typing import Any

from listening import Listener, TurningClock, settle

from txsessions.courier import Courier
from txsessions.lifetime import LOGOUT
from txsessions.record import Record
from txsessions.testing import resultOf


def sidOf(number: int) -> str:
    """
    The handle of a session.
    """
    return f"{number:032x}"


def end(store: Any, *numbers: int, reason: str = LOGOUT) -> None:
    """
    Let sessions begin and end.
    """
    for number in numbers:
        now = store.clock.seconds()
        attributes = {"data:n": b"%d" % number}
        resultOf(
            store.createSession(
                Record(sidOf(number), bytes(32), now, now, 900.0, None, "anna", attributes)
            )
        )
        resultOf(store.deleteSession(sidOf(number), reason))


def heard(listener: Listener) -> list[int]:
    """
    The numbers of the endings that an observer was told of.
    """
    return [int(event.sessionID, 16) for event in listener.heard]


def started(store: Any, listener: Any, clock: TurningClock, **options: Any) -> Courier:
    """
    A courier at work.
    """
    courier = Courier(store, "mailer", listener, clock, **options)
    courier.start()
    settle(clock)
    return courier


def stop(courier: Any, clock: TurningClock) -> None:
    """
    Stop couriers, which leave nothing behind.
    """
    stopped = courier.stop()
    settle(clock)
    assert stopped.called
    assert not clock.getDelayedCalls()
