"""
Running one command.
"""

from __future__ import annotations

import gc
import os
import signal
import sys
from collections.abc import Sequence
from typing import Any, NoReturn

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.task import react
from twisted.logger import ILogObserver, LogEvent, LogLevel, formatEvent, globalLogBeginner
from twisted.python.failure import Failure
from twisted.python.usage import UsageError
from zope.interface import provider

from .. import redis
from ..commandline import oneLineAndExit
from ..errors import SessionError
from ..names import oneLine
from .commands import COMMANDS
from .failed import CommandFailed
from .options import Options


def main(arguments: Sequence[str] | None = None) -> NoReturn:
    """
    Run a command, and exit: with 0 when it has done what it should, else with
    1 and a line on standard error that says why not.
    """
    options = Options()
    with oneLineAndExit():
        options.parseOptions(arguments)
    globalLogBeginner.beginLoggingTo([tell], redirectStandardIO=False)
    react(perform, (options.subCommand, options.subOptions))


def perform(reactor: Any, name: str, options: Any) -> Deferred[None]:
    """
    Run a command.

    @return: A L{Deferred} that fires with L{None}; and fails with
        L{SystemExit} and a line that says why.
    """
    # What has been imported stays: the garbage collector need not look at it each
    # time, which would hold the reactor while a million sessions pass.
    gc.freeze()
    running = Deferred.fromCoroutine(COMMANDS[name](reactor, options))

    def interrupt() -> Deferred[None]:
        # Whoever asks a second time does not want to wait for anything.
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        ended: Deferred[None] = Deferred()
        finished.addBoth(_passOn, ended)
        running.cancel()
        return ended

    finished = running.addCallbacks(_flush, _exit)
    reactor.addSystemEventTrigger("before", "shutdown", interrupt)
    return finished


@provider(ILogObserver)
def tell(event: LogEvent) -> None:
    """
    Tell of a warning or an error that was logged: in one line, but for an
    error of this program.
    """
    if event["log_level"] < LogLevel.warn or _isEcho(event):
        return
    text = " ".join((formatEvent(event) or "").split())
    failure = event.get("log_failure")
    if isinstance(failure, Failure):
        error: Any = failure.value
        isKnown = isinstance(error, (SessionError, OSError))
        text += f": {oneLine(error)}" if isKnown else f"\n{failure.getTraceback()}"
    print(f"txsessions: {text}", file=sys.stderr)


def _isEcho(event: LogEvent) -> bool:
    """
    Whether it is what a connection says that will be made again: the operation
    that fails because of it says the same.
    """
    namespace = event.get("log_namespace") or ""
    return event["log_level"] is LogLevel.warn and namespace.startswith(f"{redis.__name__}.")


def _passOn(result: Any, ended: Deferred[None]) -> Any:
    """
    Tell that it has ended, however.
    """
    ended.callback(None)
    return result


def _flush(_: object) -> None:
    """
    Find out now whether standard output has gone.
    """
    sys.stdout.flush()


def _exit(failure: Failure) -> Any:
    """
    The end of the process for what people can mend; what nobody could foresee
    is logged.
    """
    error = failure.value
    if isinstance(error, OSError):
        # Nothing more is to be written.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    if isinstance(error, BrokenPipeError):
        # Whoever read it has enough, as head does.
        return None
    if isinstance(error, OSError):
        what = error.filename or "standard output"
        raise SystemExit(f"txsessions: {what}: {error.strerror or oneLine(error)}")
    if isinstance(error, CancelledError):
        raise SystemExit("txsessions: interrupted")
    if isinstance(error, (SessionError, UsageError, CommandFailed)):
        raise SystemExit(f"txsessions: {oneLine(error)}")
    return failure
