"""
Leaving the process with an exit status of failure.

Neither C{twistd} nor C{twist} lets a service that has failed to start say so
by the exit status: while the reactor runs, every exception is caught and
logged, L{SystemExit} too, and when it has stopped both end with 0.
"""

from __future__ import annotations

import atexit
import contextlib
import os
import sys
from typing import Any, Final

from twisted.internet.error import ReactorNotRunning
from twisted.logger import Logger

FAILURE: Final = 1

_log = Logger()


def giveUp(reactor: Any, text: str) -> None:
    """
    Say why on standard error, stop the reactor in good order, and have the
    process end with L{FAILURE}.

    @param text: One line.
    """
    _log.critical("{text}", text=text)
    # sys.stderr leads into the log by now.
    print(f"txsessions: {text}", file=sys.__stderr__, flush=True)
    atexit.register(_leave)
    reactor.callWhenRunning(_stop, reactor)


def _stop(reactor: Any) -> None:
    """
    Stop the reactor, unless somebody else was faster.
    """
    with contextlib.suppress(ReactorNotRunning):
        reactor.stop()


def _leave() -> None:
    """
    End the process with L{FAILURE} after everything else that was to be done
    at its end.
    """
    atexit.unregister(_leave)
    atexit._run_exitfuncs()
    for stream in (sys.__stdout__, sys.__stderr__):
        if stream is not None:
            stream.flush()
    os._exit(FAILURE)
