"""
All long runs, one after the other: some hours on a machine with nothing else to do::

    python tests/long.py
    python tests/long.py --only chaos floods
    python tests/long.py --list

What each came to is noted in C{docs/promises.json}, of which the page of the promises is
made.  The status is 0 when nothing was found, and 1 when something was: then its output is
printed, and nothing is noted of it.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shlex
import subprocess
import sys
import time
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, Final

import attrs
from promises import FIGURES, write

ROOT: Final = Path(__file__).parent.parent
PLOTS: Final = "docs/chaos"
NAMED: Final = {"python": sys.executable, "pytest": f"{sys.executable} -m pytest -q -n 0"}


@attrs.frozen
class Run:
    """
    One of them.

    @ivar key: What it tries: that of others which try the same elsewhere, too.
    @ivar command: As one would type it.
    @ivar said: The lines of its output that say what it came to.
    """

    key: str
    command: str
    said: str = "."

    def perform(self) -> tuple[int, str]:
        """
        Do it.

        @return: Its status, and what it printed.
        """
        words = shlex.split(self.command)
        variables = [word for word in words if re.match(r"[A-Z_]+=", word)]
        program, *arguments = words[len(variables) :]
        done = subprocess.run(
            [*NAMED[program].split(" "), *arguments],
            cwd=ROOT,
            env={**os.environ, **dict(each.split("=", 1) for each in variables)},
            check=False,
            stdout=subprocess.PIPE,
            text=True,
        )
        return done.returncode, done.stdout

    def result(self, output: str) -> str:
        """
        What it came to, in one line.
        """
        lines = [line.strip() for line in output.splitlines() if re.search(self.said, line)]
        return "; ".join(line for line in lines if line)


def chaos(store: str, minutes: int, seed: int) -> Run:
    """
    A chaos run, with its picture.
    """
    plot = f"{PLOTS}/{store.partition(':')[0]}.svg"
    command = "python -m txsessions.testing.chaos"
    options = f"--store {store} --minutes {minutes} --seed {seed} --plot {plot}"
    return Run("chaos", f"{command} {options}", "requests, |faults: |anomalies in")


def killed(store: str, seed: int, options: str = "") -> Run:
    """
    A server that is hit under load.
    """
    command = f"python tests/killed.py --store {store}{options} --kills 20 --seed {seed}"
    return Run("killed", command, "lost: |another session: ")


EXPLORE: Final = "TXSESSIONS_EXPLORE=1 pytest"
FUZZ: Final = "TXSESSIONS_FUZZ=1 pytest"

RUNS: Final = (
    chaos("redis", 10, 1),
    chaos("postgres", 10, 2),
    chaos("sqlite:sessions.db", 5, 3),
    killed("sqlite:sessions.db", 117324),
    killed("redis", 974413, " --kill store"),
    killed("postgres", 878075, " --kill store"),
    killed("redis", 811005, " --kill store --freeze"),
    killed("postgres", 458738, " --kill store --freeze"),
    Run("workers", "python tests/workers.py --store redis", ": 0 of"),
    Run("workers", "python tests/workers.py --store postgres", ": 0 of"),
    Run("endings", "python tests/endings.py --store redis --seed 249573", "told "),
    Run("endings", "python tests/endings.py --store postgres --pace 0.002 --seed 249574", "told "),
    Run("jsonkills", "python tests/killloop.py --kills 10000 --seed 5"),
    Run("jsonkills", "python tests/jsonjournalkills.py --kills 1500 --seed 7"),
    Run("sqlitekills", "python tests/killsqlite.py --kills 1000 --seed 8"),
    Run("sqlitekills", "python tests/sqlitejournalkills.py --kills 1000 --seed 9"),
    Run("crowdedlogins", "python tests/crowdedlogins.py --store redis --logins 1000", "cap: "),
    Run("crowdedlogins", "python tests/crowdedlogins.py --store postgres --logins 1000", "cap: "),
    Run("floods", "python tests/floods.py --requests 1000000 --seed 1", "^all: "),
    Run("fuzz", f"{FUZZ} tests/test_floods.py tests/test_http2_resets.py", " passed"),
    Run("explored", f"{EXPLORE} tests/test_explorer_stores.py", " passed"),
    Run("explored", f"{EXPLORE} tests/test_explorer_servers.py", " passed"),
    Run("explored", f"{EXPLORE} tests/test_machine.py", " passed"),
)


def note(figures: dict[str, Any], run: Run, result: str, runs: Iterable[Run] = RUNS) -> None:
    """
    Note what a run came to, in the order of the runs, and forget those that are done no
    more.
    """
    known = {each["command"]: each for each in figures["runs"].get(run.key, ())}
    known[run.command] = {"command": run.command, "result": result}
    commands = [each.command for each in runs if each.key == run.key]
    figures["runs"][run.key] = [known[command] for command in commands if command in known]


def perform(run: Run, figures: dict[str, Any]) -> bool:
    """
    Do a run, and note what it came to.

    @return: Whether nothing was found.
    """
    began = time.monotonic()
    print(f"{run.command} ...", file=sys.stderr, flush=True)
    status, output = run.perform()
    if status:
        print(f"status {status}: {run.command}\n{output}", flush=True)
        return False
    result = run.result(output)
    print(f"{run.command}\n  {result} ({time.monotonic() - began:.0f} s)", flush=True)
    note(figures, run, result)
    return True


def main(arguments: Sequence[str] | None = None) -> int:
    """
    The command.
    """
    parser = argparse.ArgumentParser(description="Do all long runs.")
    keys = sorted({run.key for run in RUNS})
    parser.add_argument("--only", nargs="+", choices=keys, default=keys, metavar="RUN")
    parser.add_argument("--list", action="store_true", help="print what would be done")
    options = parser.parse_args(arguments)
    runs = [run for run in RUNS if run.key in options.only]
    if options.list:
        print(*(f"{run.key}: {run.command}" for run in runs), sep="\n")
        return 0
    (ROOT / PLOTS).mkdir(exist_ok=True)
    isBad = False
    for run in runs:
        figures = json.loads(FIGURES.read_text())
        if perform(run, figures):
            write(figures)
        else:
            isBad = True
    return int(isBad)


if __name__ == "__main__":
    sys.exit(main())
