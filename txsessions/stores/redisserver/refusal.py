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


def refused(failure: Failure) -> Failure:
    """
    Translate an error of Redis; let any other pass.

    @raise StoreUnavailable: One of its kinds.
    """
    error = failure.value
    if not isinstance(error, RedisError):
        return failure
    raise meaningOf(error) from None


def meaningOf(error: Exception) -> Exception:
    """
    What an error of Redis means; any other means itself.
    """
    if isinstance(error, CommandTimedOut):
        return StoreTimedOut(f"{error}; a change may or may not have been made")
    if isinstance(error, ConnectionBroken):
        return StoreUnavailable(f"{error}; a change may or may not have been made")
    if isinstance(error, ServerError):
        if error.code in FORBIDDEN:
            return StoreUnusable(f"Redis refuses: {error}; let its user do that")
        return StoreUnavailable(f"Redis refuses: {error}")
    if isinstance(error, AccessRefused):
        return StoreUnusable(f"{error}; check the user and the password")
    if isinstance(error, RedisError):
        return StoreUnavailable(str(error))
    return error
