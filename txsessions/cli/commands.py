"""
What each command does.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping
from contextlib import asynccontextmanager
from datetime import datetime, timezone
from typing import Any, Final

from twisted.internet.defer import CancelledError
from twisted.python.usage import UsageError

from ..commandline import storeOf
from ..copying import (
    COPIED,
    DELETED,
    ENDED,
    EXTRA,
    FAILED,
    NEWER,
    PRESENT,
    REMOVED,
    UPDATED,
    Copy,
)
from ..errors import SessionError
from ..interfaces import IConnectedStore, ISessionStoreAdministration
from ..names import oneLine
from ..record import Record
from ..stores.description import parse
from ..stores.memory import MemoryStore
from ..walk import Walk
from .progress import Progress

MAXIMUM_TROUBLES: Final = 10
"""
How many sessions that could not be copied are named.
"""

SAID: Final = {
    COPIED: "copied",
    UPDATED: "brought up to date",
    PRESENT: "there already",
    NEWER: "newer in the target, left alone",
    ENDED: "ended in the target, not revived",
    REMOVED: "ended in the source since, ended in the target",
    EXTRA: "in the target only, left alone",
    DELETED: "in the target only, ended",
    FAILED: "not copied",
}
"""
What people read of each fate.
"""

RESUMABLE: Final = "what was copied is whole, and the same command goes on from there"
"""
What is said when a copy was broken off.
"""

HEAD: Final = f"{'session':32}  {'began':20}  {'last seen':20}  owner"
"""
What stands above a list.
"""

FILES: Final = frozenset({"sqlite", "json"})
"""
Stores that are made when they are opened: a slip in a path would make an empty
one.
"""


class CommandFailed(Exception):
    """
    The command has not done what it should.  The text is one line.
    """


async def copy(reactor: Any, options: Mapping[str, Any]) -> None:
    """
    C{copy}: from one store to another.
    """
    async with (
        _opened(reactor, "from", options, isThere=True) as source,
        _opened(reactor, "to", options) as to,
    ):
        work = Copy(
            source,
            to,
            reactor,
            Troubles(),
            verifies=not options["no-verify"],
            deletes=bool(options["delete-extra"]),
        )
        isComplete = False
        try:
            with Progress(work, reactor, isQuiet=bool(options["quiet"])):
                await work.run()
            isComplete = True
        except CancelledError:
            raise CommandFailed(f"interrupted; {RESUMABLE}") from None
        except SessionError as e:
            raise CommandFailed(f"{oneLine(e)}; {RESUMABLE}" if work.seen else oneLine(e)) from e
        finally:
            _tellResult(work, options, isComplete)
    if work.counts[FAILED]:
        raise CommandFailed(f"{work.counts[FAILED]:,} sessions were not copied")


async def sessions(reactor: Any, options: Mapping[str, Any]) -> None:
    """
    C{sessions}: list them.
    """
    line: Callable[[Record], str] = _jsonLine if options["json"] else _plainLine

    head = [] if options["json"] else [HEAD]

    async def show(pair: tuple[str, Record]) -> None:
        while head:
            print(head.pop())
        print(line(pair[1]))

    async with _opened(reactor, "store", options, isThere=True) as store:
        await Walk(reactor, show).run(_administered(store).iterSessions())


async def deleteOld(reactor: Any, options: Mapping[str, Any]) -> None:
    """
    C{delete-old}: end what nobody has used for long.
    """
    async with _opened(reactor, "store", options, isThere=True) as store:
        count = await _administered(store).deleteOldSessions(options["minutes"])
    print(json.dumps({"ended": count}) if options["json"] else f"{count:,} sessions ended")


async def setup(reactor: Any, options: Mapping[str, Any]) -> None:
    """
    C{setup}: make it ready.
    """
    async with _opened(reactor, "store", options) as store:
        await _administered(store).setup()


COMMANDS: Final[Mapping[str, Callable[[Any, Mapping[str, Any]], Coroutine[Any, Any, None]]]] = {
    "copy": copy,
    "sessions": sessions,
    "delete-old": deleteOld,
    "setup": setup,
}
"""
The commands by their names.
"""


class Troubles:
    """
    Tells of the first sessions that could not be copied.
    """

    def __init__(self) -> None:
        self._count = 0

    def __call__(self, text: str) -> None:
        self._count += 1
        if self._count <= MAXIMUM_TROUBLES:
            print(f"txsessions: {text}", file=sys.stderr)
        elif self._count == MAXIMUM_TROUBLES + 1:
            print("txsessions: … and more", file=sys.stderr)


@asynccontextmanager
async def _opened(
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


def _administered(store: Any) -> Any:
    """
    What can be done with a store from outside of an application.

    @raise CommandFailed: Nothing can.
    """
    if not ISessionStoreAdministration.providedBy(store):
        raise CommandFailed(f"{type(store).__name__} has no administration")
    return store


def _tellResult(work: Copy, options: Mapping[str, Any], isComplete: bool) -> None:
    """
    Print what was done.
    """
    if options["json"]:
        isVerified = isComplete and not options["no-verify"] and not work.counts[FAILED]
        facts = {**work.counts, "complete": isComplete, "verified": isVerified}
        print(json.dumps(facts))
        return
    if not isComplete and not work.counts.total():
        return
    told = [f"{count:,} {SAID[fate]}" for fate, count in work.counts.items() if count]
    print(f"sessions: {'; '.join(told) or 'the source has none'}")


def _jsonLine(record: Record) -> str:
    """
    A session for scripts.
    """
    return json.dumps(
        {
            "sid": record.sid,
            "sessionKey": record.sessionKey,
            "created": record.created,
            "lastModified": record.lastModified,
        }
    )


def _plainLine(record: Record) -> str:
    """
    A session for people.
    """
    owner = "-" if record.sessionKey is None else _shown(record.sessionKey)
    return f"{record.sid}  {_time(record.created)}  {_time(record.lastModified)}  {owner}"


def _time(seconds: float) -> str:
    """
    A time in UTC.
    """
    try:
        moment = datetime.fromtimestamp(seconds, timezone.utc)
    except (ValueError, OverflowError, OSError):
        return f"{seconds:<20.0f}"
    return f"{moment:%Y-%m-%dT%H:%M:%SZ}"


def _shown(text: str) -> str:
    """
    A text without what would drive a terminal.
    """
    return "".join(
        character
        if character.isprintable()
        else character.encode("unicode_escape", "surrogatepass").decode("ascii")
        for character in text
    )
