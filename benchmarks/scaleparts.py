"""
The parts of the run on scale: each gives its raw figures.
"""

from __future__ import annotations

import json
import os
import random
import sqlite3
import subprocess
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import attrs
from child import Child
from machine import interpreter, memory
from pacer import Pacer, Second
from visitors import begin, counted
from wrk import load, writeScript

Figures = dict[str, Any]

FEW: Final = 1000
"""
How many sessions are in rotation, where only some of them are used.
"""

PER_MINUTE: Final = 100_000


@attrs.frozen
class Scale:
    """
    How much is done.

    @ivar sessions: What stands for a million.
    @ivar seconds: How long each load is.
    @ivar minutes: For how long new visitors come.
    @ivar directory: For everything.
    """

    sessions: int
    seconds: int
    minutes: float
    directory: str

    def place(self) -> str:
        """
        A new directory.
        """
        return tempfile.mkdtemp(dir=self.directory)


def live(scale: Scale) -> Figures:
    """
    A million idle sessions in one process, stock's and ours, and requests beside them.
    """
    found = {}
    for kind in ("stock", "ours"):
        _, few = _population(scale, kind, FEW)
        figures, rates = _population(scale, kind, scale.sessions)
        found[kind] = {**figures, **rates, "few": few["rate"]}
        found[kind]["stall"] = max(figures["growing"], rates["stall"])
    return found


def _population(scale: Scale, kind: str, count: int) -> tuple[Figures, Figures]:
    """
    Make so many, and load their process: some of them, chosen by chance, in rotation; and,
    if there are many, very many of them.
    """
    place = scale.place()
    cookies = Path(place, "cookies")
    command = [*interpreter("scalelive"), kind, str(count), "PORT", str(cookies)]
    with Child(command, place, isMetered=True) as child:
        figures = child.line()
        child.wait()
        all = cookies.read_text().split()
        some = random.Random(1).sample(all, min(FEW, len(all)))
        rates = _loaded(scale, child, some)
        if count > FEW:
            whole = _loaded(scale, child, all)
            rates["rateAll"] = whole["rate"]
            rates["stall"] = max(rates["stall"], whole["stall"])
    return figures, rates


def _loaded(scale: Scale, child: Child, cookies: list[str]) -> Figures:
    """
    Load a server with these sessions.
    """
    script = Path(scale.place(), "rotation.lua")
    writeScript(script, cookies)
    load(child.port, script, 1)
    child.meter()
    result = load(child.port, script, scale.seconds)
    return {"rate": result.rate, "p99": result.p99, **child.meter()}


def clock(scale: Scale) -> Figures:
    """
    Ten thousand sessions in virtual time.
    """
    count = str(min(10_000, scale.sessions))
    return {
        kind: float(_printed([*interpreter("scaleclock"), kind, count]))
        for kind in ("ours", "stock")
    }


def endings(scale: Scale) -> Figures:
    """
    A million sessions that expire at once, all alive with a callback (stock and ours, and
    ours are stored, too), or only stored.
    """
    variants = {"stock": "stock", "ours": "both", "stored": "stored"}
    return {name: _ended(scale, variant) for name, variant in variants.items()}


def _ended(scale: Scale, variant: str) -> Figures:
    """
    One of these.  The less time there is to make them, the less is waited for.
    """
    command = [*interpreter("stall"), "--one", f"--sessions={scale.sessions}", variant]
    try:
        return json.loads(_printed([*command, "--slack=1.6"]))
    except RuntimeError:
        return json.loads(_printed([*command, "--slack=3"]))


def cold(scale: Scale) -> Figures:
    """
    From the start of a process to its first response, with a file of a million records,
    with an empty one, and without sessions.
    """
    full, empty, bare = (scale.place() for _ in range(3))
    with Child(_served("sqlite", full), full) as child:
        child.wait()
        (cookie,) = begin(child.port, 1)
    path = Path(full, "sessions.db")
    size = _multiply(path, scale.sessions)
    found = {"ready": 0.0, "bytes": size / scale.sessions}
    times = []
    for _ in range(3):
        _forget(path)
        times.append(_ready("sqlite", full, cookie))
    found["ready"] = max(times)
    found["empty"] = _ready("sqlite", empty, None)
    found["bare"] = _ready("bare", bare, None)
    return found


def _multiply(path: Path, count: int) -> int:
    """
    Copy the one session of a file, until there are so many.

    @return: How large the file is then, in bytes.
    """
    connection = sqlite3.connect(path, isolation_level=None)
    columns = [row[1] for row in connection.execute("PRAGMA table_info(session)")]
    new = {"id": "NULL", "sid": "lower(hex(randomblob(16)))"}
    chosen = ", ".join(new.get(name, name) for name in columns)
    numbers = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < ?)"
    connection.execute("BEGIN")
    connection.execute(
        f"{numbers} INSERT INTO session SELECT {chosen} FROM n, (SELECT * FROM session LIMIT 1)",
        (count - 1,),
    )
    connection.execute("COMMIT")
    connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    connection.close()
    return path.stat().st_size


def _forget(path: Path) -> None:
    """
    Let the system forget what it has read of a file.
    """
    with open(path, "rb") as file:
        os.fsync(file.fileno())
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def _ready(variant: str, place: str, cookie: str | None) -> float:
    """
    How long it takes from the start to the first response, in seconds.
    """
    began = time.perf_counter()
    with Child(_served(variant, place), place) as child:
        child.wait(cookie)
        took = time.perf_counter() - began
        if cookie is not None and counted(child.port, [cookie]) < 3:
            raise RuntimeError("the session has not been found after a cold start")
    return took


def grow(scale: Scale) -> Figures:
    """
    New visitors, a hundred thousand in a minute.
    """
    return {store: _grown(scale, store) for store in ("memory", "sqlite")}


def _grown(scale: Scale, store: str) -> Figures:
    """
    New visitors on one store, second by second.
    """
    place = scale.place()
    seconds = max(1, round(60 * scale.minutes))
    with Child([*interpreter("served"), "--meter", store, "PORT", place], place, True) as child:
        child.wait()
        rows: list[Figures] = []
        child.meter()
        base = memory(child.pid)

        def ticked(number: int) -> None:
            rows.append({"memory": memory(child.pid) - base, **child.meter()})

        latencies = Pacer(child.port, PER_MINUTE / 60).run(seconds, ticked)
    for row, second in zip(rows, latencies, strict=True):
        row.update(_shares(second))
    return {"seconds": rows, "sessions": sum(len(each.latencies) for each in latencies)}


def _shares(second: Second) -> Figures:
    """
    How long visitors waited in a second.
    """
    return {"p50": second.at(0.5), "p99": second.at(0.99), "longest": second.at(1.0)}


def _served(variant: str, place: str) -> list[str]:
    """
    The command that serves a variant.
    """
    return [*interpreter("served"), variant, "PORT", place]


def _printed(command: list[str]) -> str:
    """
    What a program prints.
    """
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError((done.stderr.strip().splitlines() or ["it failed"])[-1])
    return done.stdout.strip().splitlines()[-1]


Part = Callable[[Scale], Figures]
