"""
Subjects with an observer, for tests.
"""

from __future__ import annotations

from typing import Any

from listening import Listener, TurningClock

from txsessions.subject import SessionSubject


def story(listener: Listener) -> list[Any]:
    """
    What an observer has heard: types and ids.
    """
    return [(event.type, event.sessionID) for event in listener.heard]


def subjectOf(storage: Any, clock: TurningClock, *kinds: Any) -> tuple[SessionSubject, Listener]:
    """
    A subject with an observer.
    """
    subject, listener = SessionSubject(storage, clock), Listener()
    subject.subscribe(listener, *kinds)
    return subject, listener
