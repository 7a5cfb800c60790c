"""
What was to be reached, and what was: a table made of the raw figures that are there.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, Final

import attrs
from machine import BUSY
from results import Results, Spread
from tables import DASH, percent, ratio, table

Range = tuple[float, float]


@attrs.frozen
class Reached:
    """
    A target, and what was reached.

    @ivar isReached: C{None} where there is nothing to be compared.
    @ivar isBusy: Whether others used the machine.
    """

    what: str
    target: str
    found: str
    isReached: bool | None
    isBusy: bool = False

    @property
    def verdict(self) -> str:
        """
        In a word.
        """
        if self.isBusy:
            return "to be measured on a quiet machine"
        return {True: "yes", False: "**no**", None: DASH}[self.isReached]


def writeTargets(directory: Path) -> None:
    """
    Write C{targets.txt} of the raw figures in a directory.
    """
    reached: list[Reached] = []
    for name, targets in (("requests", ofRequests), ("scale", ofScale)):
        path = directory / f"{name}.json"
        if path.exists():
            raw = json.loads(path.read_text())
            reached += targets(raw)
    head = ["", "target", "measured", "reached"]
    rows = [[each.what, each.target, each.found, each.verdict] for each in reached]
    (directory / "targets.txt").write_text(table(head, rows) if rows else "Nothing yet.\n")


def ofRequests(raw: dict[str, Any]) -> Iterator[Reached]:
    """
    Those on requests per second.
    """
    isBusy = raw["others"] > BUSY
    return (attrs.evolve(each, isBusy=isBusy) for each in _requests(Results(raw)))


def _requests(results: Results) -> Iterator[Reached]:
    """
    The same, on whatever machine.
    """
    sessions = results.sessions()
    for each in sessions:
        yield from _ratio(results, "memory", "stock", each, 1.0)
    for name in ("sqlite", "redis"):
        for each in sessions:
            yield from _ratio(results, name, f"floor-{name}", each, 0.9)
    for name, most in (("sqlite", 30), ("redis", 17), ("postgres", 45)):
        yield from _tax(results, name, sessions[0], most)
    for each in sessions:
        on = results.peers("-redis")
        yield from _peers(results, "redis", on, each, least=2.0, title="every peer on Redis")
        beyond = [peer for peer in results.peers() if not peer.endswith("-memory")]
        title = "every peer with a store beyond its process"
        yield from _peers(results, "postgres", beyond, each, least=1.0, title=title)
    for name in ("memory-reading", "sqlite-reading"):
        for each in sessions:
            yield from _ratio(results, name, "bare", each, 0.95)


def _ratio(
    results: Results, name: str, other: str, sessions: int, least: float
) -> Iterator[Reached]:
    """
    Requests per second at least so many times those of another one.
    """
    found = results.ratio(name, other, sessions)
    if found is not None:
        some, others = (results.variants[each]["title"] for each in (name, other))
        what = f"{some} ÷ {others}, {sessions:,} sessions"
        yield Reached(what, f"≥ {least:g}", ratio(found), found.middle >= least)


def _tax(results: Results, name: str, sessions: int, most: int) -> Iterator[Reached]:
    """
    A tax of at most so many percent.
    """
    tax = results.tax(name, sessions)
    if tax is not None:
        what = f"tax of {results.variants[name]['title']}, {sessions:,} sessions"
        shown = percent(tax, isWithSpread=True) + " %"
        yield Reached(what, f"≤ {most} %", shown, 100 * tax.middle <= most)


def _peers(
    results: Results,
    name: str,
    peers: Sequence[str],
    sessions: int,
    *,
    least: float,
    title: str,
) -> Iterator[Reached]:
    """
    Requests per second at least so many times those of each peer.
    """
    ratios: dict[str, Spread] = {}
    for peer in peers:
        found = results.ratio(name, peer, sessions)
        if found is not None:
            ratios[results.variants[peer]["title"]] = found
    if ratios:
        nearest, found = min(ratios.items(), key=lambda pair: pair[1].middle)
        what = f"{results.variants[name]['title']} ÷ {title}, {sessions:,} sessions"
        shown = f"{ratio(found)}: {nearest}"
        yield Reached(what, f"≥ {least:g}", shown, found.middle >= least)


@attrs.frozen
class Scale:
    """
    A target on scale.

    @ivar part: The part of the run that says what was reached.
    @ivar figure: Takes the raw figures of the part; raises L{KeyError} where they are not there.
    @ivar limits: The least and the most it may be.
    @ivar form: How it is shown.
    """

    part: str
    what: str
    target: str
    figure: Callable[[Any], float]
    limits: Range
    form: str


SCALE: Final = (
    Scale(
        "live",
        "bytes of an idle session ÷ stock's, a million in memory",
        "≤ 0.5",
        lambda raw: raw["ours"]["bytes"] / raw["stock"]["bytes"],
        (0, 0.5),
        "{:.2f}",
    ),
    Scale(
        "live",
        "longest stall while a million are alive and used",
        "≤ 50 ms",
        lambda raw: 1e3 * raw["ours"]["stall"],
        (0, 50),
        "{:.0f} ms",
    ),
    Scale(
        "endings",
        "a million endings in one second: longest gap",
        "≤ 50 ms",
        lambda raw: 1e3 * raw["ours"]["stall"],
        (0, 50),
        "{:.0f} ms",
    ),
    Scale(
        "endings",
        "a million endings: total ÷ stock's",
        "≤ 2",
        lambda raw: raw["ours"]["total"] / raw["stock"]["total"],
        (0, 2),
        "{:.2f}",
    ),
    Scale(
        "live",
        "requests/s with a million ÷ with 1,000",
        "≥ 0.9",
        lambda raw: raw["ours"]["rate"] / raw["ours"]["few"],
        (0.9, 1e9),
        "{:.2f}",
    ),
    Scale(
        "live",
        "the same, all of them in rotation",
        "≥ 0.9",
        lambda raw: raw["ours"]["rateAll"] / raw["ours"]["few"],
        (0.9, 1e9),
        "{:.2f}",
    ),
    Scale(
        "cold",
        "cold start on a million records in SQLite: first request",
        "< 1 s",
        lambda raw: raw["ready"],
        (0, 1),
        "{:.2f} s",
    ),
    Scale(
        "clock",
        "10,000 sessions under a task.Clock",
        "< 1 s",
        lambda raw: raw["ours"],
        (0, 1),
        "{:.2f} s",
    ),
)


def ofScale(raw: dict[str, Any]) -> Iterator[Reached]:
    """
    Those on scale.
    """
    for each in SCALE:
        try:
            found = each.figure(raw[each.part])
        except KeyError:
            continue
        least, most = each.limits
        # A run with fewer sessions says nothing about a million.
        isWhole = raw["sessions"] >= 1_000_000
        shown = each.form.format(found) + ("" if isWhole else f" ({raw['sessions']:,} sessions)")
        isReached = least <= found <= most if isWhole else None
        isBusy = raw["shares"][each.part] > BUSY
        yield Reached(each.what, each.target, shown, isReached, isBusy)
