"""
What an application gives: is refused where it is given, in one line, if nothing good can
come of it.
"""

from __future__ import annotations

from typing import Any, Final

from .errors import InvalidSessionData
from .interfaces import ISessionStorage, ISessionStore

ADVICE: Final = {
    ISessionStore: 'a store: openStore("sqlite:sessions.db") gives one',
    ISessionStorage: 'a storage of sessions: give a store, as openStore("sqlite:sessions.db") '
    "does, or what provides ISessionStorage",
}
"""
What is asked for.
"""


def given(interface: Any, thing: Any) -> Any:
    """
    What an application has given, as what is needed.

    @param interface: L{ISessionStore} or L{ISessionStorage}.
    @raise TypeError: It does not adapt to that.
    """
    adapted = interface(thing, None)
    if adapted is None:
        raise TypeError(f"{_kindOf(thing)} is not {ADVICE[interface]}")
    return adapted


def givenClock(clock: Any) -> Any:
    """
    A reactor, or any other L{IReactorTime}.

    @raise TypeError: It is none.
    """
    if isinstance(clock, type) or not (hasattr(clock, "seconds") and hasattr(clock, "callLater")):
        raise TypeError(f"{_kindOf(clock)} is not a clock: give a reactor, or a task.Clock()")
    return clock


def positive(name: str, seconds: Any) -> Any:
    """
    A time that is not over at once.

    @raise ValueError: It is none.
    """
    isNumber = isinstance(seconds, (int, float)) and not isinstance(seconds, bool)
    if not (isNumber and seconds > 0):
        raise ValueError(f"{name} is a number of seconds above 0")
    return seconds


def givenOwner(sessionKey: Any) -> str:
    """
    The owner of a session.

    @raise TypeError: It is no text, so that nobody takes it for one without
        sessions.
    @raise InvalidSessionData: It has no form in UTF-8, in which stores keep it.
    """
    if not isinstance(sessionKey, str):
        raise TypeError(f"a session key is a str, not {type(sessionKey).__name__}")
    try:
        sessionKey.encode()
    except UnicodeEncodeError:
        raise InvalidSessionData("a session key is Unicode text, which this is not") from None
    return sessionKey


def _kindOf(thing: object) -> str:
    """
    What to call it: nothing of what is in it, which may be secret.
    """
    return f"the class {thing.__qualname__}" if isinstance(thing, type) else type(thing).__name__
