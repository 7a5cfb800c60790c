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
from ..stores.sid import isSid

STORE: Final = ["store", "s", None, "The store; see --help-stores."]
JSON: Final = ["json", None, "Print JSON, for scripts."]


class CommandOptions(BaseOptions):
    """
    What the options of all commands have.

    @cvar needed: The parameters that must be given.
    @cvar arguments: What comes behind the options.
    """

    needed: tuple[str, ...] = ("store",)
    arguments = ""

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
        return f"Usage: python -m txsessions {parent.subCommand} [options]{self.arguments}"


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


class EndOptions(CommandOptions):
    """
    Options of C{end}.
    """

    longdesc = (
        "Ends sessions, as revoked: those whose handles are given, those of an owner, or all of "
        "them, and says how many."
    )
    arguments = " [SID …]"
    optParameters = [STORE, ["key", "k", None, "End the sessions of this owner (sessionKey)."]]
    optFlags = [
        ["all", None, "End all sessions."],
        ["yes", None, "Do it, without which nothing is done."],
        JSON,
    ]

    def parseArgs(self, *sids: str) -> None:
        """
        Take the handles.
        """
        self["sids"] = sids

    def postOptions(self) -> None:
        """
        See L{BaseOptions.postOptions}.
        """
        super().postOptions()
        if bool(self["all"]) + (self["key"] is not None) + bool(self["sids"]) != 1:
            raise UsageError("say which sessions: --key OWNER, --all, or their handles")
        for number, sid in enumerate(self["sids"], 1):
            if not isSid(sid):
                # What is no handle may be a token.
                raise UsageError(f"handle {number} is no handle: the command sessions lists them")


class KeygenOptions(CommandOptions):
    """
    Options of C{keygen}.
    """

    longdesc = (
        "Makes a new key in a new file that nobody else can read; or changes the keys of a file "
        "in one step.  The first key encrypts, all of them decrypt."
    )
    needed = ()
    arguments = " FILE"
    optFlags = [
        ["rotate", None, "Put a new key in front, for one process."],
        ["add", None, "Put a new key behind the others: first step for several processes."],
        ["promote", None, "Put the last key in front: second step, when all have the first."],
    ]

    def parseArgs(self, *files: str) -> None:
        """
        Take the file.
        """
        if len(files) != 1:
            raise UsageError("say which file, and nothing else")
        (self["file"],) = files

    def postOptions(self) -> None:
        """
        See L{BaseOptions.postOptions}.
        """
        super().postOptions()
        if self["rotate"] + self["add"] + self["promote"] > 1:
            raise UsageError("only one of --rotate, --add and --promote goes")


class RekeyOptions(CommandOptions):
    """
    Options of C{rekey}.
    """

    longdesc = (
        "Encrypts what the live sessions keep with the first key of a file, while the application "
        "runs.  It can be broken off and run again."
    )
    needed = ("store", "key-file")
    optParameters = [STORE, ["key-file", None, None, "The file with the keys, of keygen."]]
    optFlags = [
        ["plain", None, "Encrypt what is not encrypted as well."],
        ["quiet", "q", "Show no progress."],
        JSON,
    ]


class Options(BaseOptions):
    """
    The options in front of the command: none but C{--help}.
    """

    synopsis = "Usage: python -m txsessions COMMAND [options]"
    longdesc = "What people do with stores from outside of an application."
    subCommands: Sequence[Any] = [
        ["copy", None, CopyOptions, "Copy all sessions from one store to another."],
        ["sessions", None, SessionsOptions, "List the sessions of a store."],
        ["delete-old", None, DeleteOldOptions, "End sessions that nobody has used for long."],
        ["setup", None, SetupOptions, "Make a store ready."],
        ["end", None, EndOptions, "End sessions."],
        ["keygen", None, KeygenOptions, "Make a key, or change the keys of a file."],
        ["rekey", None, RekeyOptions, "Encrypt sessions with the newest key."],
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
