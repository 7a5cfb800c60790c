"""
The machine that something is measured on: what it is, and what its processors do.
"""

from __future__ import annotations

import os
import platform
import shutil
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import time
from importlib import metadata
from pathlib import Path

PACKAGES = ("twisted", "msgspec", "hiredis", "psycopg", "cryptography")

BUSY = 0.1
"""
With a larger share of the processors used by others, figures say little.
"""

PROGRAMS = (
    ("wrk", "--version"),
    ("redis-server", "--version"),
    ("postgres", "--version"),
    ("node", "--version"),
)


def onCore(core: int) -> list[str]:
    """
    What to put in front of a command so that it runs on this core.
    """
    cores = sorted(os.sched_getaffinity(0))
    if len(cores) < 2 or shutil.which("taskset") is None:
        return []
    return ["taskset", "-c", str(cores[core % len(cores)])]


def family(pid: int) -> list[int]:
    """
    A process and all that it has started, and these.
    """
    found = [pid]
    for parent in found:
        for children in Path(f"/proc/{parent}/task").glob("*/children"):
            found += map(int, children.read_text().split())
    return found


def cpu(pid: int) -> float:
    """
    The seconds of processor that a process has used, and all that it has started and
    that still run, with all their threads.
    """
    return sum(_own(each) for each in family(pid))


def memory(pid: int) -> int:
    """
    How many bytes of memory a process has.
    """
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def described() -> dict[str, str]:
    """
    What a report has to say of the machine.
    """
    facts = {
        "date": time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime()),
        "processor": _processor(),
        "cores": str(len(os.sched_getaffinity(0))),
        "system": f"{platform.system()} {platform.release()}",
        "Python": platform.python_version(),
        "SQLite": sqlite3.sqlite_version,
        "revision": _printed("git", "-C", str(Path(__file__).parent), "describe", "--always"),
        "write to the disk": f"{syncTime() * 1e6:.0f} µs",
    }
    for package in PACKAGES:
        try:
            facts[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            continue
    for program in PROGRAMS:
        facts[program[0]] = _printed(*program)
    return {name: fact for name, fact in facts.items() if fact}


def others(seconds: float = 2.0) -> float:
    """
    Look for so long which share of all processors is used, while nothing is measured.
    """
    idle, all = _times()
    time.sleep(seconds)
    idleNow, allNow = _times()
    return 1 - (idleNow - idle) / max(1, allNow - all)


def syncTime(times: int = 100) -> float:
    """
    How long it takes until a few bytes have been written to the disk on which temporary
    files are, in seconds.
    """
    taken = []
    with tempfile.TemporaryFile(buffering=0) as file:
        for _ in range(times):
            began = time.perf_counter()
            file.write(b"x" * 512)
            os.fdatasync(file.fileno())
            taken.append(time.perf_counter() - began)
    return statistics.median(taken)


def interpreter(module: str) -> list[str]:
    """
    The command that runs a program of this directory.
    """
    return [sys.executable, str(Path(__file__).with_name(f"{module}.py"))]


def _own(pid: int) -> float:
    """
    The seconds of processor of one process; 0 if it has ended.
    """
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return 0.0
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _times() -> tuple[int, int]:
    """
    How long the processors had nothing to do, and that and all else, in ticks.
    """
    fields = [int(each) for each in Path("/proc/stat").read_text().splitlines()[0].split()[1:9]]
    return fields[3] + fields[4], sum(fields)


def _processor() -> str:
    """
    What the processor calls itself.
    """
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        name, _, value = line.partition(":")
        if name.strip() == "model name":
            return value.strip()
    return platform.machine()


def _printed(*command: str) -> str:
    """
    The version in the first line that a program prints, in short; nothing if it is not here.
    """
    if shutil.which(command[0]) is None:
        return ""
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    words = (done.stdout or done.stderr).splitlines()[0].split() if done.stdout else []
    numbers = [word for word in words if any(character.isdigit() for character in word)]
    return numbers[0].removeprefix("v=").removeprefix("v") if numbers else " ".join(words)
