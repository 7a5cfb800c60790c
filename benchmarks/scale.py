"""
What many sessions cost: a million in one process, a hundred thousand new ones in a minute, a
start with a million records, one and two workers, and a million endings::

    python benchmarks/scale.py
    python benchmarks/scale.py --minutes 10 grow
    python benchmarks/scale.py --sessions 100000 live cold

It takes about 10 minutes, and needs C{wrk}, and for C{workers} C{redis-server} and
PostgreSQL.  Parts that are not run keep the figures of the run before, if that was with as
many sessions; with another number of sessions it only prints, unless C{--out} says where the
report is to be written.  C{--short} has only to run.  C{--draw} writes the report anew from the
raw figures.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from machine import described, others
from results import keep
from scalepage import ScalePage
from scaleparts import Part, Scale, clock, cold, endings, grow, live
from scaleworkers import workers
from targets import writeTargets
from wrk import isInstalled

OUT = Path(__file__).resolve().parent.parent / "docs" / "speed"

MILLION = 1_000_000

PARTS: dict[str, Part] = {
    "clock": clock,
    "workers": workers,
    "cold": cold,
    "grow": grow,
    "live": live,
    "endings": endings,
}


def run(scale: Scale, names: list[str], before: dict[str, Any]) -> dict[str, Any]:
    """
    Measure.

    @param before: The raw figures of the run before.
    @return: The raw figures.
    """
    began, busy, raw, shares = time.monotonic(), others(), {}, {}
    if before.get("sessions") == scale.sessions and set(names) != set(PARTS):
        raw = {name: figures for name, figures in before.items() if name in PARTS}
        shares = before["shares"]
    shares.update(dict.fromkeys(names, busy))
    failed = {}
    for name in names:
        print(f"{name} …", file=sys.stderr)
        since = time.monotonic()
        try:
            raw[name] = PARTS[name](scale)
        except (RuntimeError, OSError) as e:
            failed[name] = str(e).strip().splitlines()[0]
        print(f"{name}: {time.monotonic() - since:.0f} s {failed.get(name, '')}", file=sys.stderr)
    return {
        **raw,
        "machine": described(),
        "others": busy,
        "shares": shares,
        "took": time.monotonic() - began,
        "sessions": scale.sessions,
        "failed": failed,
    }


def main() -> None:
    """
    Measure, write, and print.
    """
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--out", type=Path, help=f"where the report is written: {OUT}")
    parser.add_argument("--short", action="store_true", help="only see whether it runs")
    parser.add_argument("--draw", action="store_true", help="only write the report anew")
    parser.add_argument("--sessions", type=int, default=MILLION)
    parser.add_argument("--minutes", type=float, default=0.5)
    parser.add_argument("--seconds", type=int, default=4)
    parser.add_argument("parts", nargs="*", metavar="PART", help=", ".join(PARTS))
    options = parser.parse_args()
    unknown = set(options.parts) - set(PARTS)
    if unknown:
        parser.error(f"no such part: {', '.join(sorted(unknown))}")
    if not isInstalled():
        parser.exit(1, "wrk is missing: apt-get install wrk\n")
    isWhole = options.sessions == MILLION and not options.short
    with tempfile.TemporaryDirectory() as directory:
        scale = Scale(options.sessions, options.seconds, options.minutes, directory)
        if options.short:
            scale = Scale(1000, 1, 0.02, directory)
        out = options.out or (OUT if isWhole else Path(directory))
        path = out / "scale.json"
        raw = json.loads(path.read_text()) if path.exists() else {}
        if not options.draw:
            raw = run(scale, options.parts or list(PARTS), raw)
            keep(raw, path)
        ScalePage(raw).write(out)
        writeTargets(out)
        print((out / "scale.rst").read_text())
    sys.exit(bool(raw["failed"]) and not options.draw)


if __name__ == "__main__":
    main()
