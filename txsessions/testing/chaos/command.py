"""
The command line.
"""

from __future__ import annotations

import json
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from random import randrange
from typing import Any, Final, NoReturn

import attrs
from twisted.internet.defer import Deferred
from twisted.internet.task import react
from twisted.python.usage import Options as BaseOptions
from twisted.python.usage import UsageError

from . import summary
from .backend import SERVERS
from .display import Display
from .plot import draw
from .process import ChaosFailed
from .run import Plan, Run

DEFAULTS: Any = attrs.fields(Plan)

INTERRUPTED: Final = 130
"""
The status of a run that somebody has interrupted, as shells have it.
"""


class Options(BaseOptions):
    """
    What can be said.
    """

    synopsis = "python -m txsessions.testing.chaos [options]"
    longdesc = (
        "Serve a site by several processes over one store, let many clients use it, kill and "
        "freeze the processes, the server of the store and the network between, and see that "
        "nothing that was acknowledged is lost, that nothing that has ended comes back, and "
        "that every ending is told.  The status is 0 when that is so, 1 when not, and 2 when "
        "it could not be tried."
    )
    optParameters = [
        [
            "store",
            "s",
            "redis",
            "redis or postgres: a private server, which is hit as well; or a store as twistd has "
            "it, such as sqlite:sessions.db, in whose sessions is written.",
        ],
        ["minutes", "m", 10.0, "For how long.", float],
        ["seed", None, None, "What makes the plan of the faults.", int],
        ["workers", None, DEFAULTS.workers.default, "How many processes.", int],
        ["clients", None, DEFAULTS.clients.default, "How many clients.", int],
        [
            "rate",
            None,
            DEFAULTS.rate.default,
            "How many requests per second, of all clients together.",
            float,
        ],
        ["plot", None, None, "Write a picture of latency and faults to this file (SVG)."],
        ["keep", None, None, "Keep all files, the logs of the workers among them, here."],
    ]
    optFlags = [
        ["json", None, "Print the summary as JSON."],
        ["quiet", "q", "Show no progress."],
    ]

    def postOptions(self) -> None:
        """
        Check what was said.
        """
        for name in ("minutes", "workers", "clients", "rate"):
            if self[name] <= 0:
                raise UsageError(f"--{name} has to be more than 0")
        if self["seed"] is None:
            self["seed"] = randrange(1_000_000)
        self._checkFiles()
        if ":" not in self["store"] and self["store"] not in SERVERS:
            raise UsageError(
                f"--store {self['store']}: say {' or '.join(SERVERS)}, or what several processes "
                "can share, such as sqlite:sessions.db"
            )

    def _checkFiles(self) -> None:
        """
        See that what is to be written in the end can be.
        """
        if self["keep"] is not None and Path(self["keep"]).exists():
            raise UsageError(f"--keep {self['keep']} exists; say a new directory")
        if self["plot"] is not None and not Path(self["plot"]).absolute().parent.is_dir():
            raise UsageError(f"--plot {self['plot']}: there is no such directory")

    def plan(self) -> Plan:
        """
        The plan.
        """
        return Plan(
            self["store"],
            60 * self["minutes"],
            self["seed"],
            self["workers"],
            self["clients"],
            self["rate"],
        )


def main(arguments: Sequence[str] | None = None) -> NoReturn:
    """
    Do a run, and exit with the status.
    """
    options = Options()
    try:
        options.parseOptions(arguments)
    except UsageError as e:
        _fail(str(e))
    statuses: list[int] = []

    async def run(reactor: Any) -> None:
        statuses.append(await perform(reactor, options, Path(directory)))

    with tempfile.TemporaryDirectory(prefix="txsessions-chaos-") as directory:
        try:
            react(lambda reactor: Deferred.fromCoroutine(run(reactor)))
        except SystemExit as e:
            # Without a failure and without a result somebody has interrupted it.
            raise SystemExit(e.code or (statuses or [INTERRUPTED])[0]) from None


async def perform(reactor: Any, options: Any, directory: Path) -> int:
    """
    Do a run.

    @return: The status.
    @raise SystemExit: It could not be done.
    """
    if options["keep"] is not None:
        directory = Path(options["keep"]).resolve()
        directory.mkdir(parents=True)
    try:
        run = Run(options.plan(), directory, reactor)
        with Display(run, reactor, bool(options["quiet"])) as display:
            await run.run(display.tell)
    except ChaosFailed as e:
        _fail(str(e))
    if options["plot"] is not None:
        Path(options["plot"]).write_text(picture(run))
    print(json.dumps(summary.content(run), indent=1) if options["json"] else summary.text(run))
    return 1 if run.anomalies else 0


def picture(run: Run) -> str:
    """
    The picture of a run.
    """
    plan, figures = run.plan, run.site.figures
    anomalies = len(run.anomalies)
    title = f"{plan.store}: {anomalies} {'anomaly' if anomalies == 1 else 'anomalies'}"
    text = (
        f"{figures.requests:,} requests of {plan.clients} clients at {plan.workers} workers; "
        f"{figures.writes:,} writes acknowledged; {len(run.mischief.done)} faults; "
        f"seed {plan.seed}"
    )
    seconds = max(plan.seconds, *figures.timeline, 1)
    return draw(title, text, seconds, figures, run.mischief.done)


def _fail(text: str) -> NoReturn:
    """
    Leave, and say why.
    """
    print(f"chaos: {text}", file=sys.stderr)
    raise SystemExit(2)
