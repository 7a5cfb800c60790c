"""
Two troubles that pytest-twisted passes over in silence, made into failures: an
error in a Deferred that nobody handles, and a delayed call that a test leaves
in the reactor.
"""

from __future__ import annotations

import gc
from collections.abc import Iterator
from typing import Any

import pytest
from twisted.internet import reactor
from twisted.logger import LogEvent, formatEvent, globalLogPublisher


class Unhandled:
    """
    Notes the errors in Deferreds that nobody has handled.
    """

    def __init__(self) -> None:
        self.errors: list[str] = []
        self._isNext = False

    def __call__(self, event: LogEvent) -> None:
        """
        See L{twisted.logger.ILogObserver}.
        """
        text = str(event.get("log_format") or "")
        if text.startswith("Unhandled error in Deferred"):
            self._isNext = True
        elif self._isNext and "log_failure" in event:
            self._isNext = False
            self.errors.append(f"{formatEvent(event)}\n{event['log_failure'].getTraceback()}")


@pytest.fixture(scope="module")
def unhandled() -> Iterator[Unhandled]:
    """
    The errors of a module's tests that nobody has handled; those that only the
    garbage collector finds count for the module.
    """
    observer = Unhandled()
    globalLogPublisher.addObserver(observer)
    yield observer
    gc.collect()
    globalLogPublisher.removeObserver(observer)
    _tell(observer)


@pytest.fixture(autouse=True)
def noTroubleLeft(unhandled: Unhandled) -> Iterator[None]:
    """
    A test handles its errors, and leaves no delayed call behind.
    """
    clock: Any = reactor
    before = set(clock.getDelayedCalls())
    yield
    _tell(unhandled)
    now = clock.seconds()  # what is due by now waits for nothing but the reactor's next turn
    left = [call for call in clock.getDelayedCalls() if call not in before and call.getTime() > now]
    assert not left, f"left in the reactor: {left}"


def _tell(unhandled: Unhandled) -> None:
    """
    Fail for the errors noted so far.
    """
    errors, unhandled.errors = unhandled.errors, []
    assert not errors, "not handled:\n" + "\n".join(errors)
