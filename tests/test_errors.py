"""
Tests for L{txsessions.errors}.
"""

from __future__ import annotations

import inspect

import pytest

from txsessions import errors
from txsessions.errors import (
    CorruptRecord,
    InvalidSessionData,
    SessionEnded,
    SessionError,
    SessionNotFound,
    SessionTooLarge,
    StoreTimedOut,
    StoreUnavailable,
    StoreUnusable,
    UnknownKey,
    VersionConflict,
)

SID = "00112233445566778899aabbccddeeff"


def test_oneBase() -> None:
    """
    Every error of the package can be caught as one.
    """
    classes = [each for _, each in inspect.getmembers(errors, inspect.isclass)]
    assert len(classes) > 10
    assert all(issubclass(each, SessionError) for each in classes)


def test_notFoundIsNotBroken() -> None:
    """
    None of the five answers of a store is taken for another one.
    """
    answers = [SessionNotFound, StoreUnavailable, CorruptRecord, UnknownKey, VersionConflict]
    for one in answers:
        assert not any(issubclass(one, other) for other in answers if other is not one)
    assert issubclass(SessionEnded, SessionNotFound)
    assert issubclass(StoreTimedOut, StoreUnavailable)
    assert issubclass(StoreUnusable, StoreUnavailable)


def test_valueErrors() -> None:
    """
    A value that cannot be kept is a C{ValueError} too, as Python has it.
    """
    assert issubclass(InvalidSessionData, ValueError)
    assert issubclass(SessionTooLarge, InvalidSessionData)


ERRORS = [
    SessionNotFound(SID),
    SessionEnded(SID, "logout"),
    VersionConflict(SID),
    CorruptRecord(SID, "it is cut short"),
]


@pytest.mark.parametrize("error", ERRORS, ids=lambda error: type(error).__name__)
def test_handle(error: SessionError) -> None:
    """
    An error about a session knows its public handle, and tells it in one line.
    """
    assert error.sid == SID  # type: ignore[attr-defined]  # each of these has one
    assert SID in str(error) and "\n" not in str(error)
