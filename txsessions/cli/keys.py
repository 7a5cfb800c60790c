"""
The commands for keys: C{keygen} and C{rekey}.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Final

from twisted.internet.defer import CancelledError
from twisted.python.usage import UsageError

from ..errors import SessionError
from ..keyfile import addToKeyFile, promoteInKeyFile, readKeyFile, rotateKeyFile, writeKeyFile
from ..keys import BadKeys, KeyRing
from ..names import oneLine
from ..rekeying import (
    BUSY,
    CURRENT,
    DAMAGED,
    GONE,
    LEFT,
    PLAIN,
    REKEYED,
    UNKNOWN,
    Rekey,
)
from .failed import CommandFailed, Troubles
from .opened import opened
from .progress import Progress, Stage

CHANGES: Final = {
    "rotate": rotateKeyFile,
    "add": addToKeyFile,
    "promote": promoteInKeyFile,
}
"""
What C{keygen} does with a file that is there, by its options.
"""

SAID: Final = {
    REKEYED: "encrypted with the newest key",
    CURRENT: "as they should be already",
    GONE: "ended meanwhile",
    PLAIN: "not encrypted, left alone",
    UNKNOWN: "under a key that is not there, left alone",
    DAMAGED: "damaged, left alone",
    BUSY: "changed by others all the time, left alone",
}
"""
What people read of each fate.
"""

RESUMABLE: Final = "what is encrypted anew is whole, and the same command goes on from there"
"""
What is said when it was broken off.
"""


async def keygen(reactor: Any, options: Mapping[str, Any]) -> None:
    """
    C{keygen}: make a key.
    """
    path = options["file"]
    change = next((CHANGES[name] for name in CHANGES if options[name]), writeKeyFile)
    try:
        ring = change(path)
    except BadKeys as e:
        raise CommandFailed(oneLine(e)) from e
    keys = "1 key" if len(ring) == 1 else f"{len(ring)} keys"
    print(f"{path}: {keys}, encrypting with {ring.first.id.hex()}")


async def rekey(reactor: Any, options: Mapping[str, Any]) -> None:
    """
    C{rekey}: encrypt what is in a store with the newest key.
    """
    ring = _ringOf(options["key-file"])
    async with opened(reactor, "store", options, isThere=True) as store:
        work = Rekey(store, ring, reactor, Troubles(), takesPlain=bool(options["plain"]))
        stages = [Stage("Encrypting", "{:,} sessions dealt with", lambda: work.seen)]
        isComplete = False
        try:
            with Progress(stages, reactor, isQuiet=bool(options["quiet"])):
                await work.run()
            isComplete = True
        except CancelledError:
            raise CommandFailed(f"interrupted; {RESUMABLE}") from None
        except SessionError as e:
            raise CommandFailed(f"{oneLine(e)}; {RESUMABLE}" if work.seen else oneLine(e)) from e
        finally:
            _tellResult(work, options, isComplete)
    left = sum(work.counts[fate] for fate in LEFT)
    if left:
        raise CommandFailed(f"{left:,} sessions are not encrypted with the newest key")


def _ringOf(path: str) -> KeyRing:
    """
    The keys of a file that an option names.

    @raise UsageError: It has none.
    """
    try:
        return readKeyFile(path)
    except BadKeys as e:
        raise UsageError(f"--key-file: {oneLine(e)}") from e


def _tellResult(work: Rekey, options: Mapping[str, Any], isComplete: bool) -> None:
    """
    Print what was done.
    """
    if options["json"]:
        print(json.dumps({**work.counts, "complete": isComplete}))
        return
    if not isComplete and not work.counts.total():
        return
    told = [f"{count:,} {SAID[fate]}" for fate, count in work.counts.items() if count]
    print(f"sessions: {'; '.join(told) or 'the store has none'}")
