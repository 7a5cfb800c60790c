"""
C{twistd txsessions} and C{twist txsessions}: a web server whose sessions last.
"""

from __future__ import annotations

import gc
import os
import sys
from collections.abc import Sequence
from datetime import datetime, timedelta, timezone
from functools import partial
from typing import Any, Final

from twisted.application.service import MultiService
from twisted.internet.endpoints import serverFromString
from twisted.python.usage import Options as BaseOptions
from twisted.python.usage import UsageError

from . import roots
from .commandline import helpOnStores, oneLineAndExit, storeOf, valued
from .cookie import SessionCookie
from .demo import Demo
from .draining import DrainingSite
from .duration import seconds
from .errors import SessionError
from .keyfile import readKeyFile
from .leaving import giveUp
from .manager import SessionManager
from .names import oneLine
from .service import SessionService
from .session import Session
from .stores.description import parse
from .stores.memory import MemoryStore

YOUNG: Final = (6_000,) if sys.version_info >= (3, 14) else (6_000, 2)
"""
How many new objects there are when the collector of garbage looks at them, and how often
it does until it looks at those again that were new then.

The requests that wait for a store have thousands of objects: with Python's 700 most of
them would pass for old ones, and each time a fourth of all has been added to these, all
are looked at, which takes 40 milliseconds with 10,000 live sessions.  With very many more
than these it would hold the reactor for longer where they stay, at two microseconds each.
"""

ROOTS: Final = ("class", "path", "wsgi", "resource-script")


class Options(BaseOptions):
    """
    The options of the plugin.
    """

    synopsis = "[options]"
    longdesc = (
        "Serve a web site whose sessions outlive the process.  Without --class, --path, "
        "--wsgi or --resource-script it serves a page that shows your session."
    )

    optParameters = [
        ["class", None, None, "Serve this resource class: a dotted name."],
        ["path", None, None, "Serve this directory or file."],
        ["wsgi", None, None, "Serve this WSGI application: a dotted name."],
        ["resource-script", None, None, "Serve what this .rpy script makes."],
        ["store", "s", "sqlite:sessions.db", "Where sessions are kept; see --help-stores."],
        [
            "timeout",
            "t",
            "900",
            "End a session after so long without a request: seconds, or 15m, 12h, 30d.",
        ],
        ["absolute-timeout", None, None, "End a session so long after it began, used or not."],
        [
            "secure",
            None,
            "auto",
            "Which requests count as HTTPS for the cookie: auto, those that are; always, for "
            "a site behind a proxy that ends TLS; never, for development.",
        ],
        [
            "key-file",
            "k",
            None,
            "Seal the cookies and encrypt the data with the keys in this file; "
            "python -m txsessions keygen makes one.",
        ],
        [
            "plain-until",
            None,
            None,
            "With --key-file: until this day (2026-12-31) accept the cookies and data of the time "
            "without.",
        ],
        ["logfile", "l", None, "Write an access log (combined log format) to this file."],
    ]
    optFlags = [
        [
            "shared",
            None,
            "Several processes serve this site: refuse a store that they cannot share.",
        ],
    ]

    def __init__(self) -> None:
        super().__init__()
        self["listen"] = []

    def opt_listen(self, description: str) -> None:
        """
        Listen at this endpoint; may be repeated. [default: tcp:8080]
        """
        self["listen"].append(description)

    def opt_help_stores(self) -> None:
        """
        List the stores that --store knows, and exit.
        """
        print(helpOnStores())
        raise SystemExit(0)

    def parseOptions(self, options: Sequence[str] | None = None) -> None:
        """
        Parse the command line.

        @raise SystemExit: It is wrong.  C{twistd} would tell that on standard
            output after two pages of help, and C{twist} with another status.
        """
        with oneLineAndExit():
            super().parseOptions(options)

    def postOptions(self) -> None:
        """
        Check what can be checked without a reactor, and make paths absolute:
        a daemon changes its directory.
        """
        if sum(self[name] is not None for name in ROOTS) > 1:
            raise UsageError("only one of --class, --path, --wsgi and --resource-script goes")
        for name in ("path", "resource-script", "logfile", "key-file"):
            if self[name] is not None:
                self[name] = os.path.abspath(self[name])
        if self["logfile"] and not os.access(os.path.dirname(self["logfile"]), os.W_OK):
            raise UsageError(f"--logfile {self['logfile']}: its directory cannot be written")
        for name in ("timeout", "absolute-timeout"):
            if self[name] is not None:
                self[name] = valued(name, seconds, self[name])
        if self["plain-until"] is not None:
            if self["key-file"] is None:
                raise UsageError("--plain-until is for --key-file")
            self["plain-until"] = valued("plain-until", _endOfDay, self["plain-until"])
        self["cookie"] = valued("secure", lambda text: SessionCookie(secure=text), self["secure"])
        self["listen"] = self["listen"] or ["tcp:8080"]


def makeService(options: Options) -> MultiService:
    """
    The service for the options: a store, and a site over it that listens.

    @raise SystemExit: There is no such service; one line says why.
    """
    from twisted.internet import reactor

    with oneLineAndExit():
        return _makeService(options, reactor)


def _makeService(options: Options, reactor: Any) -> MultiService:
    """
    See L{makeService}; raises L{UsageError}.
    """
    store = storeOf("store", options["store"], reactor)
    if options["shared"]:
        _checkShared(store, parse(options["store"]).prefix)
    helpers = MultiService()
    root = _root(options, reactor, helpers, isLasting=not isinstance(store, MemoryStore))
    site = DrainingSite(root, sessionStore=store, logPath=options["logfile"])
    if options["key-file"] is not None:
        site.sessionManager = _managerWithKeys(options, store, reactor)
    site.sessionCookie = options["cookie"]
    site.sessionFactory = _sessionClass(options)
    endpoints = [(text, _endpoint(reactor, text)) for text in options["listen"]]
    service = SessionService(site, store, endpoints, partial(giveUp, reactor), _settle)
    helpers.setServiceParent(service)
    return service


def _settle() -> None:
    """
    What is there when it begins to serve stays: the collector of garbage need not
    look at it each time, which would hold the reactor for some twenty milliseconds.
    And it waits for more to come before it looks at what is new, unless it is to
    wait even longer, or not to look at all.
    """
    gc.collect()
    gc.freeze()
    if 0 < gc.get_threshold()[0] < YOUNG[0]:
        gc.set_threshold(*YOUNG)


def _managerWithKeys(options: Options, store: Any, reactor: Any) -> SessionManager:
    """
    A manager that seals and encrypts.
    """
    try:
        return SessionManager(
            store,
            reactor,
            keys=readKeyFile(options["key-file"]),
            encryptData=True,
            plainUntil=options["plain-until"],
        )
    except SessionError as e:
        raise UsageError(f"--key-file: {oneLine(e)}") from e


def _endOfDay(text: str) -> float:
    """
    The moment at which a day ends, by UTC, in seconds since the epoch.
    """
    try:
        day = datetime.strptime(text, "%Y-%m-%d").replace(tzinfo=timezone.utc)
    except ValueError:
        raise ValueError(f"{text!r} is no day such as 2026-12-31") from None
    return (day + timedelta(days=1)).timestamp()


def _checkShared(store: Any, kind: str) -> None:
    """
    Refuse a store that the processes of a site cannot share, or that does not
    say that they can: each of them would have sessions of its own, or
    overwrite what the others store.
    """
    if not getattr(store, "isMultiprocessSafe", False):
        raise UsageError(
            f"--shared: processes cannot share the store {kind}; use sqlite or json on one host, "
            "redis or postgres on any number"
        )


def _root(options: Options, reactor: Any, helpers: MultiService, isLasting: bool) -> Any:
    """
    The resource to serve.
    """
    if options["class"] is not None:
        return roots.fromClass(options["class"])
    if options["path"] is not None:
        return roots.fromPath(options["path"], helpers)
    if options["wsgi"] is not None:
        return roots.fromWSGI(options["wsgi"], reactor, helpers)
    if options["resource-script"] is not None:
        return roots.fromScript(options["resource-script"])
    return Demo(isLasting)


def _sessionClass(options: Options) -> type[Session]:
    """
    The class of sessions that live as long as the options say.
    """

    class TimedSession(Session):
        """
        A session with the operator's time-outs.
        """

        sessionTimeout = options["timeout"]
        absoluteTimeout = options["absolute-timeout"]

    return TimedSession


def _endpoint(reactor: Any, description: str) -> Any:
    """
    Where to listen.
    """
    try:
        return serverFromString(reactor, description)
    except Exception as e:
        # Parsers of endpoints, plugins among them, raise what they like.
        raise UsageError(f"--listen {description}: {oneLine(e) or type(e).__name__}") from e
