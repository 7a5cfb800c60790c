"""
What all our command lines share.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from textwrap import wrap
from typing import Any, Final

from twisted.python.usage import UsageError

from .errors import SessionError
from .names import oneLine
from .stores.opening import openStore, storeFactories

INDENT: Final = " " * 6


def storeOf(option: str, text: str, reactor: Any) -> Any:
    """
    The store that an option names.

    @raise UsageError: It names none.
    """
    try:
        return openStore(text, reactor)
    except SessionError as e:
        raise UsageError(f"--{option}: {oneLine(e)}") from e


def valued(option: str, convert: Callable[[str], Any], text: str) -> Any:
    """
    The value of an option.

    @raise UsageError: It has none.
    """
    try:
        return convert(text)
    except ValueError as e:
        raise UsageError(f"--{option}: {e}") from e


def helpOnStores() -> str:
    """
    The stores that are installed, and how each is written.
    """
    summaries = [factory.summary for factory in storeFactories()]
    summaries.append("package.module.MyStore:argument:key=value: a class or function of your own")
    lines = ["Stores (write \\: and \\= for colons and equals signs in a value):"]
    for summary in summaries:
        written, _, purpose = summary.partition(": ")
        lines += [
            f"  {written}",
            *wrap(purpose, 78, initial_indent=INDENT, subsequent_indent=INDENT),
        ]
    return "\n".join(lines)


@contextmanager
def oneLineAndExit() -> Iterator[None]:
    """
    Tell a wrong command line in one line on standard error, and exit with 1.
    """
    try:
        yield
    except UsageError as e:
        raise SystemExit(f"txsessions: {oneLine(e)}") from e
