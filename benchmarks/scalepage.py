"""
The page of a report on scale: tables, and a picture of growth.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from growth import growth
from machine import BUSY
from tables import WARNING, machineText, number, table, title

GENERATED = ".. Written by benchmarks/scale.py: change that, and not this.\n"

Rows = list[list[str]]


class ScalePage:
    """
    Writes C{scale.rst} and C{growth-….svg}.
    """

    def __init__(self, raw: dict[str, Any]) -> None:
        self._raw = raw
        self._many = f"{raw['sessions']:,}"

    def write(self, directory: Path) -> None:
        """
        Write all files into a directory.
        """
        directory.mkdir(parents=True, exist_ok=True)
        for store, figures in self._raw.get("grow", {}).items():
            (directory / f"growth-{store}.svg").write_text(growth(store, figures["seconds"]))
        (directory / "scale.rst").write_text("\n".join(self._parts()))

    def _parts(self) -> Iterator[str]:
        """
        The page.
        """
        yield GENERATED
        yield title("Scale", "=")
        yield machineText(self._raw)
        yield (
            f"The whole took {self._raw['took'] / 60:.0f} minutes.  The raw figures: "
            ":download:`scale.json`.\n"
        )
        parts = {
            "live": self._live,
            "endings": self._endings,
            "grow": self._grow,
            "cold": self._cold,
            "workers": self._workers,
            "clock": self._clock,
        }
        for name, part in parts.items():
            if name in self._raw:
                yield from part(self._raw[name])
                if self._raw["others"] <= BUSY < self._raw["shares"][name]:
                    yield WARNING
        for name, reason in self._raw["failed"].items():
            yield f"The part ``{name}`` failed: {reason}\n"

    def _live(self, raw: dict[str, Any]) -> Iterator[str]:
        """
        Sessions that are alive and idle.
        """
        yield title(f"{self._many} sessions in one process")
        yield (
            "Each with a counter, in memory.  Then requests: of 1,000 of them in rotation, chosen "
            "by chance, and of all of them (100,000 at the most); in a process that has no more "
            "than 1,000, too.\n"
        )
        figures = {
            "bytes of a session": ("bytes", 1, 0),
            "objects that the garbage collector tracks, of a session": ("objects", 1, 1),
            "made in a second": ("made", 1, 0),
            "longest turn of the reactor meanwhile, ms": ("growing", 1e3, 0),
            "longest garbage collection meanwhile, ms": ("growingCollecting", 1e3, 0),
            "a full garbage collection, when all are there, ms": ("fullCollection", 1e3, 0),
            "longest stall meanwhile, and of requests then, ms": ("stall", 1e3, 0),
            "requests/s with 1,000 sessions": ("few", 1, 0),
            f"requests/s with {self._many}, of 1,000 of them": ("rate", 1, 0),
            f"requests/s with {self._many}, of all of them": ("rateAll", 1, 0),
            "p99 meanwhile, ms": ("p99", 1e3, 1),
        }
        yield self._compared(raw, figures)

    def _endings(self, raw: dict[str, Any]) -> Iterator[str]:
        """
        Sessions that end.
        """
        yield title(f"{self._many} endings in one second")
        yield (
            "Sessions that are alive, have a callback, and expire at the same moment; ours are "
            "stored in memory, too.  Those that are only stored have ended in a sweep.\n"
        )
        figures = {
            "longest time that the reactor was held, ms": ("stall", 1e3, 0),
            "of which it computed, ms": ("busy", 1e3, 0),
            "until all were told, s": ("total", 1, 2),
        }
        yield self._compared(raw, figures)

    def _grow(self, raw: dict[str, Any]) -> Iterator[str]:
        """
        New visitors.
        """
        yield title("100,000 new sessions in a minute")
        yield (
            "At a steady pace; how late each is answered is counted from the moment at which it "
            "was to ask.\n"
        )
        rows = []
        for store, each in raw.items():
            seconds = each["seconds"]
            yield f".. image:: growth-{store}.svg\n   :alt: Memory and latency on {store}\n"
            rows.append(
                [
                    store,
                    number(each["sessions"]),
                    number(seconds[-1]["memory"] / each["sessions"]),
                    number(1e3 * sorted(row["p50"] for row in seconds)[len(seconds) // 2], 1),
                    number(1e3 * max(row["p99"] for row in seconds), 0),
                    number(1e3 * max(row["stall"] for row in seconds), 0),
                ]
            )
        head = ["", "sessions", "bytes each", "p50, ms", "p99 of the worst second", "stall, ms"]
        yield table(head, rows)

    def _cold(self, raw: dict[str, Any]) -> Iterator[str]:
        """
        Starts.
        """
        yield title(f"A start with {self._many} records")
        yield (
            "From the start of the process to the first response, of a session that was there "
            "before; SQLite; the file is not in the system's cache.  The worst of three.\n"
        )
        rows = [
            [f"a file with {self._many}", number(raw["ready"], 2, " s")],
            ["an empty file", number(raw["empty"], 2, " s")],
            ["no sessions at all", number(raw["bare"], 2, " s")],
        ]
        yield table(["", "first response"], rows)

    def _workers(self, raw: dict[str, Any]) -> Iterator[str]:
        """
        Workers.
        """
        yield title("One and two workers")
        yield (
            "All are loaded with the same 1,000 sessions.  The load generator and the store's "
            "server share the processors with them; so what counts is the processor time of a "
            "request: two workers with a processor each would serve what the last but one column "
            "says, and the server would be at its end at the last one.\n"
        )
        rows: Rows = []
        for store, counts in raw.items():
            for count, each in counts.items():
                if count == "missing":
                    rows.append([store, each, *[""] * 6])
                    continue
                rows.append(
                    [
                        f"{store}, {count}",
                        number(each["rate"]),
                        number(1e6 * each["worker"]),
                        number(1e6 * each["server"]),
                        number(each["busy"], 2),
                        number(1e3 * each["p99"], 1),
                        number(int(count) / each["worker"]),
                        number(1 / each["server"] if each["server"] else None),
                    ]
                )
        head = ["workers", "requests/s", "worker, µs", "server, µs", "workers busy", "p99, ms"]
        yield table([*head, "workers alone", "server alone"], rows)

    def _clock(self, raw: dict[str, Any]) -> Iterator[str]:
        """
        Virtual time.
        """
        yield title("10,000 sessions under a task.Clock")
        yield "Made, with a callback each, and expired.\n"
        yield table(["", "seconds"], [[name, number(raw[name], 2)] for name in raw])

    def _compared(self, raw: dict[str, Any], figures: dict[str, tuple[str, float, int]]) -> str:
        """
        A table with a column for each kind.
        """
        rows = []
        for what, (name, factor, digits) in figures.items():
            values: Sequence[float | None] = [each.get(name) for each in raw.values()]
            cells = [number(None if v is None else factor * v, digits) for v in values]
            rows.append([what, *cells])
        return table(["", *raw], rows)
