"""
The session tax: requests per second of a handler with a session beside one
without, in one run.

C{python benchmarks/web.py [--sessions N] [--rounds N] [--seconds N] [VARIANT...]}

Starts one server after the other (C{served.py}), each on a core of its own where
there are two, loads it by C{wrk -t1 -c32} with as many sessions in rotation as
asked for, and goes round as often as asked for, so that a machine that grows
slower in the meantime does so for all of them.  Prints the medians, the spread,
and the tax: 1 - (requests/s of the variant) / (requests/s of C{bare}).
"""

from __future__ import annotations

import argparse
import http.client
import os
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from txsessions.testing.ports import freePort

HERE = Path(__file__).parent
VARIANTS = ["bare", "stock", "memory", "memory-reading", "sqlite", "sqlite-reading"]


def onCore(core: int) -> list[str]:
    """
    What to put in front of a command so that it runs on this core.
    """
    enough = len(os.sched_getaffinity(0)) > 1 and shutil.which("taskset")
    return ["taskset", "-c", str(core)] if enough else []


def ask(port: int, cookie: str | None = None) -> http.client.HTTPResponse:
    """
    One request.
    """
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    connection.request("GET", "/", headers={"Cookie": cookie} if cookie else {})
    answer = connection.getresponse()
    answer.read()
    connection.close()
    return answer


def waitFor(port: int) -> None:
    """
    Wait until the server answers.
    """
    for _ in range(200):
        try:
            ask(port)
            return
        except OSError:
            time.sleep(0.05)
    raise RuntimeError("the server does not answer")


def cookies(port: int, count: int) -> list[str]:
    """
    Begin so many sessions; their cookies, as a browser sends them.
    """
    return [(ask(port).headers["Set-Cookie"] or "none=0").split(";")[0] for _ in range(count)]


def script(path: Path, rotation: list[str]) -> None:
    """
    Write a script for wrk that goes through the cookies.
    """
    lines = ",\n".join(f'"{cookie}"' for cookie in rotation)
    path.write_text(
        f"local cookies = {{\n{lines}\n}}\nlocal n = 0\n"
        "request = function()\n"
        "  n = n % #cookies + 1\n"
        '  return wrk.format("GET", "/", {["Cookie"] = cookies[n]})\n'
        "end\n"
    )


def measure(variant: str, sessions: int, seconds: int, directory: str) -> tuple[float, float]:
    """
    One round of one variant.

    @return: Requests per second, and microseconds of CPU per request.
    """
    port = freePort()
    place = tempfile.mkdtemp(dir=directory)
    server = subprocess.Popen(
        [*onCore(0), sys.executable, str(HERE / "served.py"), variant, str(port), place]
    )
    try:
        waitFor(port)
        lua = Path(place, "rotation.lua")
        script(lua, ["none=0"] if variant == "bare" else cookies(port, sessions))
        command = [*onCore(1), "wrk", "-t1", "-c32", "-s", str(lua), f"http://127.0.0.1:{port}/"]
        subprocess.run([*command, "-d1"], capture_output=True, check=True)
        before = cpu(server.pid)
        printed = subprocess.run(
            [*command, f"-d{seconds}"], capture_output=True, check=True, text=True
        ).stdout
        used = cpu(server.pid) - before
    finally:
        server.kill()
        server.wait()
    if "Non-2xx" in printed:
        raise RuntimeError(f"{variant}: {printed}")
    requests = int(re.search(r"(\d+) requests in", printed)[1])
    return float(re.search(r"Requests/sec:\s+([\d.]+)", printed)[1]), used / requests * 1e6


def cpu(pid: int) -> float:
    """
    The seconds of CPU that a process has used.
    """
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def main() -> None:
    """
    Measure, and print the table.
    """
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--sessions", type=int, default=32)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=int, default=4)
    parser.add_argument("variants", nargs="*", default=VARIANTS)
    options = parser.parse_args()
    if shutil.which("wrk") is None:
        parser.exit(1, "wrk is missing: apt-get install wrk\n")
    variants = list(dict.fromkeys(["bare", *options.variants]))
    figures: dict[str, list[tuple[float, float]]] = {variant: [] for variant in variants}
    with tempfile.TemporaryDirectory() as directory:
        for _ in range(options.rounds):
            for variant in variants:
                figures[variant].append(
                    measure(variant, options.sessions, options.seconds, directory)
                )
    report(figures, options.sessions)


def report(figures: dict[str, list[tuple[float, float]]], sessions: int) -> None:
    """
    Print the table.
    """
    print(f"{sessions} sessions, {os.cpu_count()} cores, Python {sys.version.split()[0]}")
    print(f"{'variant':<16}{'requests/s':>12}{'min':>9}{'max':>9}{'CPU us':>9}{'tax %':>8}")
    for variant, rows in figures.items():
        rates = [rate for rate, _ in rows]
        # Each round's own bare server is what the round's rate is held against.
        pairs = zip(rows, figures["bare"], strict=True)
        taxes = [1 - rate / bare for (rate, _), (bare, _) in pairs]
        print(
            f"{variant:<16}{statistics.median(rates):>12.0f}{min(rates):>9.0f}{max(rates):>9.0f}"
            f"{statistics.median(used for _, used in rows):>9.1f}"
            f"{100 * statistics.median(taxes):>8.1f}"
        )


if __name__ == "__main__":
    main()
