"""
What a run came to.
"""

from __future__ import annotations

from collections import Counter
from typing import Any, Final

from .run import Run

STORIES: Final = 10
"""
How many anomalies are told at the most.
"""


def content(run: Run) -> dict[str, Any]:
    """
    All of it for a program.
    """
    plan = run.plan
    return {
        "store": plan.store,
        "seed": plan.seed,
        "seconds": plan.seconds,
        "workers": plan.workers,
        "clients": plan.clients,
        **run.site.figures.content(),
        "ended": _ended(run),
        "told": len({each.sid for each in run.told}),
        "told again": len(run.told) - len({each.eventID for each in run.told}),
        "faults": _faults(run),
        "anomalies": [each.content() for each in run.anomalies],
        "upper bound": bound(run),
    }


def text(run: Run) -> str:
    """
    All of it for people.
    """
    plan, found = run.plan, content(run)
    faults = _faults(run)
    lines = [
        f"{plan.store}: {plan.seconds:g} s, {plan.workers} workers, {plan.clients} clients, "
        f"seed {plan.seed}",
        run.site.figures.line(),
        f"{found['acknowledged']['sessions']:,} sessions, "
        f"{found['acknowledged']['log-ins']:,} log-ins, {found['unsent']:,} requests not sent",
        f"latency: p50 {found['p50'] * 1000:.0f} ms, p99 {found['p99'] * 1000:.0f} ms, "
        f"slowest {found['slowest']:.2f} s",
        f"endings: {found['ended']:,} acknowledged, {found['told']:,} told, "
        f"{found['told again']:,} told again",
        f"{sum(faults.values())} faults: "
        + (", ".join(f"{kind} {times}" for kind, times in faults.items()) or "none"),
        "",
        *_verdict(run),
    ]
    return "\n".join(lines)


def bound(run: Run) -> float | None:
    """
    How often, at the most, an acknowledged write gets lost, as far as a run without
    anomalies can tell: with a certainty of 95 %.
    """
    return None if run.anomalies else 3 / max(run.site.figures.writes, 1)


def _verdict(run: Run) -> list[str]:
    """
    What was wrong.
    """
    if not run.anomalies:
        writes = run.site.figures.writes
        return [
            f"0 anomalies in {writes:,} acknowledged writes: "
            f"fewer than {300 / max(writes, 1):.2g} % (95 % upper bound, 3/N)"
        ]
    kinds = Counter(each.kind for each in run.anomalies)
    # What went wrong once goes wrong for whoever looks later.
    firsts = {(each.kind, each.session): each for each in reversed(run.anomalies)}
    stories = [each.story() for each in list(firsts.values())[:STORIES]]
    if len(run.anomalies) > len(stories):
        stories.append(f"… and {len(run.anomalies) - len(stories)} more; --json has all")
    return [
        f"{len(run.anomalies)} ANOMALIES: "
        + ", ".join(f"{kind} ({times})" for kind, times in kinds.most_common()),
        *(line for story in stories for line in ("", story)),
    ]


def _ended(run: Run) -> int:
    """
    How many endings were acknowledged.
    """
    return sum(each.isCertain for each in run.site.endings.values())


def _faults(run: Run) -> dict[str, int]:
    """
    How many there were of each kind.
    """
    return dict(sorted(Counter(each.kind for each in run.mischief.done).items()))
