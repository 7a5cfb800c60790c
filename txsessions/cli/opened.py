"""
The store that a command works on.
"""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any, Final

from twisted.python.usage import UsageError

from ..commandline import storeOf
from ..interfaces import IConnectedStore, ISessionStoreAdministration
from ..stores.description import parse
from ..stores.memory import MemoryStore
from .failed import CommandFailed

FILES: Final = frozenset({"sqlite", "json"})
"""
Stores that are made when they are opened: a slip in a path would make an empty
one.
"""


@asynccontextmanager
async def opened(
    reactor: Any, option: str, options: Mapping[str, Any], isThere: bool = False
) -> AsyncIterator[Any]:
    """
    The store that an option names, closed when the block ends.

    @param isThere: Whether it must have been made before.
    @raise UsageError: There is no such store, or nothing can be in it.
    """
    store = storeOf(option, options[option], reactor)
    if isinstance(store, MemoryStore):
        raise UsageError(f"--{option}: only the process that keeps sessions in memory sees them")
    if isThere:
        _checkThere(option, options[option])
    try:
        yield store
    finally:
        connected = IConnectedStore(store, None)
        if connected is not None:
            await connected.close()


def administered(store: Any) -> Any:
    """
    What can be done with a store from outside of an application.

    @raise CommandFailed: Nothing can.
    """
    if not ISessionStoreAdministration.providedBy(store):
        raise CommandFailed(f"{type(store).__name__} has no administration")
    return store


def _checkThere(option: str, text: str) -> None:
    """
    Refuse files that are not there.

    @param text: A store's text form that fits.
    @raise UsageError: They are not.
    """
    description = parse(text)
    if description.prefix in FILES:
        (place,) = (*description.arguments, *description.options.values())
        if not os.path.exists(place):
            raise UsageError(f"--{option}: there is no {place}; the command setup makes it")
