"""
What can go wrong with a session, each as a fact with a name.

"Not found" is an answer and "broken" is an exception; neither is ever given
for the other.  No text in here carries a token, a value or a password: only
the public handle C{sid}.
"""

from __future__ import annotations


class SessionError(Exception):
    """
    The base of every error of txsessions.
    """


class SessionNotFound(SessionError):
    """
    There is no such session: it never was, or its end is no longer remembered.

    @ivar sid: The public handle that was asked for; C{None} where it was asked
        by something else.
    """

    def __init__(self, sid: str | None) -> None:
        super().__init__(
            "there is no such session" if sid is None else f"there is no session {sid}"
        )
        self.sid = sid


class SessionEnded(SessionNotFound):
    """
    The session has ended, and its end is still remembered.

    @ivar sid: The public handle of the session.
    @ivar reason: Why it ended: one of the constants of
        L{txsessions.lifetime}.
    """

    def __init__(self, sid: str, reason: str) -> None:
        Exception.__init__(self, f"session {sid} has ended ({reason})")
        self.sid = sid
        self.reason = reason


class VersionConflict(SessionError):
    """
    A change was to apply only to a certain version of a record (or to a
    certain verifier), and the record has moved on.  Nothing was changed.
    """

    def __init__(self, sid: str) -> None:
        super().__init__(f"session {sid} was changed by somebody else in the meantime")
        self.sid = sid


class StoreUnavailable(SessionError):
    """
    The store cannot answer now.  Whether the session exists is unknown, and
    nobody may act as if it did not.
    """


class StoreTimedOut(StoreUnavailable):
    """
    The store did not answer in time.  A change may or may not have been made.
    """


class StoreUnusable(StoreUnavailable):
    """
    The store cannot answer, and asking again will not help until somebody
    mends what the text says (a foreign file, a directory that may not be
    written, a server that is too old).
    """


class CorruptRecord(SessionError):
    """
    The store holds something under this handle that is no record.  The store
    has put it aside; the text says where.
    """

    def __init__(self, sid: str, detail: str) -> None:
        super().__init__(f"the record of session {sid} is damaged: {detail}")
        self.sid = sid


class UnknownKey(SessionError):
    """
    The record is encrypted with a key that this process does not have.  That
    is a mistake in the configuration and not in the record: nothing was
    changed.
    """


class TooManySessions(SessionError):
    """
    The owner has as many sessions as he may have (C{maxSessionsPerKey}), and
    nobody makes room (C{onExceed="refuse"}).  Nothing was changed.

    @ivar maximum: How many he may have.
    """

    def __init__(self, maximum: int) -> None:
        super().__init__(
            f"the owner has {maximum} sessions already, which is the limit; end one of them first"
        )
        self.maximum = maximum


class InvalidSessionData(SessionError, ValueError):
    """
    A value cannot be kept in a session, because it would not come back as it
    went in.
    """


class SessionTooLarge(InvalidSessionData):
    """
    The session would grow over its limits.
    """


class CookieTooLate(SessionError):
    """
    The response's headers have already left, so that the cookie of a new
    session could not reach the browser.
    """


class SessionNotLoaded(SessionError):
    """
    A request that did not pass through C{process()} asked for a session that
    only an asynchronous store can load.
    """


class ObserverTimedOut(SessionError):
    """
    An observer has not finished an update in time.  It was cancelled.
    """

    def __init__(self, seconds: float) -> None:
        super().__init__(f"an update of the observer has taken longer than {seconds:g} seconds")
