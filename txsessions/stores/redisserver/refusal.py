"""
What an error of Redis means to whoever uses the store.
"""

from __future__ import annotations

from twisted.python.failure import Failure

from ...errors import StoreTimedOut, StoreUnavailable, StoreUnusable
from ...redis.errors import (
    FORBIDDEN,
    AccessRefused,
    CommandTimedOut,
    ConnectionBroken,
    RedisError,
    ServerError,
)


def refused(failure: Failure) -> object:
    """
    Translate an error of Redis; let any other pass.

    @raise StoreUnavailable: One of its kinds.
    """
    error = failure.value
    if isinstance(error, CommandTimedOut):
        raise StoreTimedOut(f"{error}; a change may or may not have been made") from None
    if isinstance(error, ConnectionBroken):
        raise StoreUnavailable(f"{error}; a change may or may not have been made") from None
    if isinstance(error, ServerError):
        if error.code in FORBIDDEN:
            raise StoreUnusable(f"Redis refuses: {error}; let its user do that") from None
        raise StoreUnavailable(f"Redis refuses: {error}") from None
    if isinstance(error, AccessRefused):
        raise StoreUnusable(f"{error}; check the user and the password") from None
    if isinstance(error, RedisError):
        raise StoreUnavailable(str(error)) from None
    return failure
