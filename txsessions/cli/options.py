"""
The options of C{python -m txsessions}.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import isfinite
from typing import Any, Final

from twisted.python.usage import Options as BaseOptions
from twisted.python.usage import UsageError

from ..commandline import helpOnStores, valued

STORE: Final = ["store", "s", None, "The store; see --help-stores."]
JSON: Final = ["json", None, "Print JSON, for scripts."]


class CommandOptions(BaseOptions):
    """
    What the options of all commands have.

    @cvar needed: The parameters that must be given.
    """

    needed: tuple[str, ...] = ("store",)

    def opt_help_stores(self) -> None:
        """
        List the stores that are installed, and exit.
        """
        print(helpOnStores())
        raise SystemExit(0)

    def postOptions(self) -> None:
        """
        See L{BaseOptions.postOptions}.
        """
        for name in self.needed:
            if self[name] is None:
                raise UsageError(f"--{name} is missing")

    def getSynopsis(self) -> str:
        """
        See L{BaseOptions.getSynopsis}.
        """
        parent: Any = self.parent
        return f"Usage: python -m txsessions {parent.subCommand} [options]"


class CopyOptions(CommandOptions):
    """
    Options of C{copy}.
    """

    longdesc = (
        "Copies all live sessions.  It can be broken off and run again: what is there already "
        "is left alone, what is older is brought up to date, and what has ended in the target "
        "is not revived."
    )
    needed = ("from", "to")
    optParameters = [
        ["from", None, None, "The store with the sessions; see --help-stores."],
        ["to", None, None, "The store that gets them."],
    ]
    optFlags = [
        ["verify", None, "Read back and compare what was copied.  That is the default."],
        ["no-verify", None, "Do not, and do not look what has ended or changed meanwhile."],
        [
            "delete-extra",
            None,
            "End what only the target has: sessions that have ended in the source since an "
            "earlier copy.  Not for a target that an application uses already.",
        ],
        ["quiet", "q", "Show no progress."],
        JSON,
    ]

    def postOptions(self) -> None:
        """
        See L{BaseOptions.postOptions}.
        """
        super().postOptions()
        if self["verify"] and self["no-verify"]:
            raise UsageError("only one of --verify and --no-verify goes")
        if self["delete-extra"] and self["no-verify"]:
            raise UsageError("--delete-extra does not go with --no-verify")
        if self["from"] == self["to"]:
            raise UsageError("--from and --to are the same")


class SessionsOptions(CommandOptions):
    """
    Options of C{sessions}.
    """

    longdesc = (
        "Lists the live sessions: handle, beginning, last visit and owner; times in UTC.  "
        "With --json one object in each line; its times are seconds since the epoch."
    )
    optParameters = [STORE]
    optFlags = [JSON]


class DeleteOldOptions(CommandOptions):
    """
    Options of C{delete-old}.
    """

    longdesc = "Ends the sessions that nobody has used for so many minutes."
    needed = ("store", "minutes")
    optParameters = [STORE, ["minutes", "m", None, "For how many minutes, more than 0."]]
    optFlags = [JSON]

    def postOptions(self) -> None:
        """
        See L{BaseOptions.postOptions}.
        """
        super().postOptions()
        self["minutes"] = valued("minutes", _minutes, self["minutes"])


class SetupOptions(CommandOptions):
    """
    Options of C{setup}.
    """

    longdesc = "Makes a store ready: its directory, file or tables.  What is there stays."
    optParameters = [STORE]


class Options(BaseOptions):
    """
    The options in front of the command: none but C{--help}.
    """

    synopsis = "Usage: python -m txsessions COMMAND [options]"
    subCommands: Sequence[Any] = [
        ["copy", None, CopyOptions, "Copy all sessions from one store to another."],
        ["sessions", None, SessionsOptions, "List the sessions of a store."],
        ["delete-old", None, DeleteOldOptions, "End sessions that nobody has used for long."],
        ["setup", None, SetupOptions, "Make a store ready."],
    ]

    def postOptions(self) -> None:
        """
        See L{BaseOptions.postOptions}.
        """
        if self.subCommand is None:
            names = ", ".join(str(name) for name, *_ in self.subCommands)
            raise UsageError(f"say what to do: {names}; --help tells more")


def _minutes(text: str) -> float:
    """
    A number of minutes.
    """
    try:
        minutes = float(text)
    except ValueError:
        minutes = 0.0
    if not (minutes > 0 and isfinite(minutes)):
        raise ValueError(f"{text!r} is no number of minutes")
    return minutes
