"""
What each command does.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Coroutine, Mapping
from datetime import datetime, timezone
from typing import Any, Final

from twisted.internet.defer import CancelledError

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
from ..names import oneLine
from ..record import Record
from ..walk import Walk
from .ending import end
from .failed import CommandFailed, Troubles
from .keys import keygen, rekey
from .opened import administered, opened
from .progress import Progress, Stage

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


async def copy(reactor: Any, options: Mapping[str, Any]) -> None:
    """
    C{copy}: from one store to another.
    """
    async with (
        opened(reactor, "from", options, isThere=True) as source,
        opened(reactor, "to", options) as to,
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
            with Progress(_stages(work), reactor, isQuiet=bool(options["quiet"])):
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

    async with opened(reactor, "store", options, isThere=True) as store:
        await Walk(reactor, show).run(administered(store).iterSessions())


async def deleteOld(reactor: Any, options: Mapping[str, Any]) -> None:
    """
    C{delete-old}: end what nobody has used for long.
    """
    async with opened(reactor, "store", options, isThere=True) as store:
        count = await administered(store).deleteOldSessions(options["minutes"])
    print(json.dumps({"ended": count}) if options["json"] else f"{count:,} sessions ended")


async def setup(reactor: Any, options: Mapping[str, Any]) -> None:
    """
    C{setup}: make it ready.
    """
    async with opened(reactor, "store", options) as store:
        await administered(store).setup()


COMMANDS: Final[Mapping[str, Callable[[Any, Mapping[str, Any]], Coroutine[Any, Any, None]]]] = {
    "copy": copy,
    "sessions": sessions,
    "delete-old": deleteOld,
    "setup": setup,
    "end": end,
    "keygen": keygen,
    "rekey": rekey,
}
"""
The commands by their names.
"""


def _stages(work: Copy) -> list[Stage]:
    """
    The stages of a copy.
    """
    return [
        Stage("Copying", "{:,} sessions of the source dealt with", lambda: work.seen),
        Stage(
            "Comparing",
            "{:,} sessions of the target compared",
            lambda: work.compared,
            lambda: work.isComparing,
        ),
    ]


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
