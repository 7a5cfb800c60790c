"""
The page of a report on requests: tables and pictures.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from chart import Bar, bars
from results import Results, Spread
from tables import DASH, MINUS, machineText, number, percent, ratio, table, title
from variants import FLOORS, PEER

GENERATED = ".. Written by benchmarks/report.py: change that, and not this.\n"


class RequestsPage:
    """
    Writes C{requests.rst}, C{tax.svg} and C{rate.svg}.
    """

    def __init__(self, raw: dict[str, Any]) -> None:
        self._results = Results(raw)
        self._raw = raw
        self._few, *many = self._results.sessions()
        self._many = many[0] if many else None

    def write(self, directory: Path) -> None:
        """
        Write all files into a directory.
        """
        directory.mkdir(parents=True, exist_ok=True)
        for name, picture in (("tax", self._taxes()), ("rate", self._rates())):
            (directory / f"{name}.svg").write_text(picture)
        (directory / "requests.rst").write_text("\n".join(self._parts()))

    def _parts(self) -> Iterator[str]:
        """
        The page.
        """
        yield GENERATED
        yield title("Requests", "=")
        yield machineText(self._raw)
        plan = self._raw["plan"]
        yield (
            f"{plan['rounds']} rounds by turns (peers: {plan['peerRounds']}) with loads of "
            f"{plan['seconds']} s; the whole took {self._raw['took'] / 60:.0f} minutes.  The raw "
            "figures: :download:`requests.json`.\n"
        )
        yield ".. image:: tax.svg\n   :alt: The session tax of each\n"
        yield ".. image:: rate.svg\n   :alt: Requests per second of each\n"
        yield title("Side by side")
        yield table(*self._sideBySide())
        yield title("All figures")
        yield (
            "The tax and requests per second are medians of the rounds, and in parentheses the "
            "lowest and the highest.  The processor time is that of the server's process with "
            "all its threads, for one request, and that of the store's server.  The stall is the "
            "longest by which a heartbeat of 5 ms in the reactor was late in any round, in so "
            "many ms; of peers it is not known.\n"
        )
        for sessions in self._results.sessions():
            yield title(f"{sessions:,} sessions", "~")
            yield table(*self._all(sessions))
        if self._results.peers():
            yield from self._peers()
        yield from self._failures()

    def _sideBySide(self) -> tuple[list[str], list[list[str]]]:
        """
        Ours beside the floors.
        """
        head = ["requests/s of", "divided by those of"]
        head += [f"{sessions:,} sessions" for sessions in self._results.sessions()]
        pairs = list(FLOORS.items()) + [(f"{name}-reading", "bare") for name in FLOORS]
        rows = [
            [
                self._title(name),
                self._title(other),
                *(
                    ratio(self._results.ratio(name, other, sessions))
                    for sessions in self._results.sessions()
                ),
            ]
            for name, other in pairs
            if self._results.has(name, other)
        ]
        return head, rows

    def _all(self, sessions: int) -> tuple[list[str], list[list[str]]]:
        """
        All figures with so many sessions.
        """
        head = ["", "requests/s", "tax, %", "CPU, µs", "server, µs", "p50, ms", "p99, ms", "stall"]
        rows = []
        for name, each in self._results.variants.items():
            rate = self._results.spread(name, sessions)
            if rate is None:
                continue
            shown = f"{rate.middle:,.0f} ({rate.low:,.0f} to {rate.high:,.0f})"
            stall = self._results.spread(name, sessions, "stall")
            rows.append(
                [
                    each["title"],
                    shown,
                    percent(self._results.tax(name, sessions), isWithSpread=True),
                    self._median(name, sessions, "cpu", 1e6),
                    self._median(name, sessions, "server", 1e6) if self._isServed(name) else DASH,
                    self._median(name, sessions, "p50", 1e3, 2),
                    self._median(name, sessions, "p99", 1e3, 2),
                    DASH if stall is None else f"{1000 * stall.high:.0f}",
                ]
            )
        return head, rows

    def _peers(self) -> Iterator[str]:
        """
        Ours beside the peers that keep sessions in the same place.
        """
        yield title("Beside peers")
        yield (
            "How many times the requests per second of each peer, on its own server, ours has, "
            f"with {self._few} sessions.\n"
        )
        head = ["", *(self._title(name) for name in self._places())]
        rows = [
            [
                self._title(peer),
                *(
                    number(_middle(self._results.ratio(name, peer, self._few)), 1)
                    for name in self._places()
                ),
            ]
            for peer in self._results.peers()
        ]
        yield table(head, rows)
        versions = self._raw.get("versions", {})
        yield "Versions: " + ", ".join(f"{name} {text}" for name, text in versions.items()) + ".\n"

    def _places(self) -> list[str]:
        """
        Ours that peers are held against.
        """
        names = ("memory", "sqlite", "redis", "postgres")
        return [name for name in names if self._results.has(name)]

    def _failures(self) -> Iterator[str]:
        """
        What could not be measured.
        """
        missing = {**self._raw.get("missing", {}), **self._raw["failed"]}
        if missing:
            yield title("What was left out")
            for name, reason in missing.items():
                yield f"* {name}: {reason}"
            yield ""

    def _taxes(self) -> str:
        """
        The picture of taxes.
        """
        taxes = {name: self._results.tax(name, self._few) for name in self._results.variants}
        rows = [
            self._bar(name, Spread(*(100 * each for each in _parts(tax))), self._taxDot(name))
            for name, tax in taxes.items()
            if tax is not None
        ]
        rows.sort(key=lambda bar: bar.value)
        below = self._below(f"1 {MINUS} requests/s ÷ those of the same server without a session")
        return bars("Session tax, %", below, rows, " %")

    def _taxDot(self, name: str) -> float | None:
        """
        The tax with many sessions.
        """
        tax = None if self._many is None else self._results.tax(name, self._many)
        return None if tax is None else 100 * tax.middle

    def _rates(self) -> str:
        """
        The picture of requests per second.
        """
        rows = []
        for name, each in self._results.variants.items():
            rate = self._results.spread(name, self._few)
            if rate is None or (each["kind"] == PEER and each["bare"] == name):
                continue
            many = None if self._many is None else self._results.spread(name, self._many)
            isBare = each["bare"] == name
            rows.append(self._bar(name, rate, None if many is None or isBare else many.middle))
        rows.sort(key=lambda bar: -bar.value)
        return bars("Requests per second with a session", self._below("one process"), rows)

    def _below(self, text: str) -> str:
        """
        What a chart means.
        """
        many = f"; ring: {self._many:,}" if self._many else ""
        return f"{text}; bar: {self._few} sessions, with the lowest and the highest round{many}"

    def _bar(self, name: str, spread: Spread, dot: float | None) -> Bar:
        """
        A row of a chart.
        """
        each = self._results.variants[name]
        prefix = "txsessions: " if each["kind"] == "ours" else ""
        return Bar(prefix + each["title"], each["kind"], *_parts(spread), dot)

    def _title(self, name: str) -> str:
        """
        What to call one.
        """
        return self._results.variants[name]["title"]

    def _isServed(self, name: str) -> bool:
        """
        Whether a store's server was at work.
        """
        return name.endswith(("redis", "postgres"))

    def _median(self, name: str, sessions: int, figure: str, factor: float, digits: int = 0) -> str:
        """
        The median of a figure.
        """
        spread = self._results.spread(name, sessions, figure)
        return number(None if spread is None else factor * spread.middle, digits)


def _parts(spread: Spread) -> tuple[float, float, float]:
    """
    The three figures.
    """
    return spread.middle, spread.low, spread.high


def _middle(spread: Spread | None) -> float | None:
    """
    The median, if there is one.
    """
    return None if spread is None else spread.middle
