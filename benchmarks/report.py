"""
The session tax: ours on every store beside stock Twisted, the raw floor of that store, and
peers, in alternating runs; and a report with pictures::

    python benchmarks/report.py
    python benchmarks/report.py --no-peers redis floor-redis

It takes about 13 minutes, and needs C{wrk}, C{redis-server} and PostgreSQL; what is missing
is left out, and the report says so.  With named variants only, or without peers, it only
prints, unless C{--out} says where the report is to be written.  Peers are installed by
C{pip} and C{npm} into C{~/.cache/txsessions-benchmarks}.  C{--short} has only to run.
C{--draw} writes the report anew from the raw figures of the last run.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

from peering import Peers
from requestspage import RequestsPage
from results import Results, keep
from rounds import Plan, measured
from targets import writeTargets
from variants import OWN, PEER, Variant
from wrk import isInstalled

OUT = Path(__file__).resolve().parent.parent / "docs" / "speed"


def chosen(names: list[str], others: list[Variant]) -> list[Variant]:
    """
    The variants of some names, all if there are none; always with those that they are
    held against.
    """
    variants = [*OWN, *others]
    known = {each.name: each for each in variants}
    unknown = [name for name in names if name not in known]
    if unknown:
        raise SystemExit(f"no such variant: {', '.join(unknown)}; there are {', '.join(known)}")
    wanted = {name for each in names for name in (each, known[each].bare)}
    return [each for each in variants if not names or each.name in wanted]


def run(options: argparse.Namespace) -> dict[str, Any]:
    """
    Measure.

    @return: The raw figures.
    """
    peers = Peers()
    others: list[Variant] = []
    if options.peers and not options.short:
        peers.install()
        others = peers.variants()
    variants = chosen(options.variants, others)
    if options.short:
        plan = Plan(variants, sessions=(32,), rounds=1, seconds=1, warm=0)
    else:
        sessions = tuple(options.sessions or (32, 10_000))
        plan = Plan(variants, sessions, options.rounds, options.peer_rounds, options.seconds)
    raw = measured(plan)
    raw["missing"] = peers.missing
    if any(each.kind == PEER for each in variants):
        raw["versions"] = peers.versions()
    return raw


def show(results: Results) -> None:
    """
    Print the most important figures.
    """
    for sessions in results.sessions():
        print(f"{sessions} sessions")
        print(f"  {'':42}{'requests/s':>12}{'CPU us':>9}{'tax %':>8}{'p99 ms':>9}")
        for name, each in results.variants.items():
            rate, used, late = (
                results.spread(name, sessions, figure) for figure in ("rate", "cpu", "p99")
            )
            if rate is None or used is None or late is None:
                continue
            tax = results.tax(name, sessions)
            print(
                f"  {each['title']:42}{rate.middle:>12.0f}{used.middle * 1e6:>9.1f}"
                f"{'' if tax is None else round(100 * tax.middle, 1):>8}{late.middle * 1e3:>9.1f}"
            )


def main() -> None:
    """
    Measure, write, and print.
    """
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--out", type=Path, help=f"where the report is written: {OUT}")
    parser.add_argument("--short", action="store_true", help="only see whether it runs")
    parser.add_argument("--draw", action="store_true", help="only write the report anew")
    parser.add_argument("--no-peers", dest="peers", action="store_false")
    parser.add_argument("--sessions", type=int, action="append")
    parser.add_argument("--rounds", type=int, default=4)
    parser.add_argument("--peer-rounds", type=int, default=2)
    parser.add_argument("--seconds", type=int, default=3)
    parser.add_argument("variants", nargs="*", metavar="VARIANT")
    options = parser.parse_args()
    isWhole = options.peers and not options.short and not options.variants
    out = options.out or (OUT if isWhole else None)
    if options.draw:
        raw = json.loads(((out or OUT) / "requests.json").read_text())
    elif isInstalled():
        raw = run(options)
    else:
        parser.exit(1, "wrk is missing: apt-get install wrk\n")
    if out is not None:
        keep(raw, out / "requests.json")
        RequestsPage(raw).write(out)
        writeTargets(out)
    show(Results(raw))
    sys.exit(bool(raw["failed"]) and not options.draw)


if __name__ == "__main__":
    main()
