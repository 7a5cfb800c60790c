"""
All variants by turns, several times, so that a machine that grows slower meanwhile does so
for all of them.
"""

from __future__ import annotations

import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from typing import Any

import attrs
from backing import started
from machine import described, others
from measuring import Round
from variants import PEER, Variant


@attrs.frozen
class Plan:
    """
    What is measured.

    @ivar sessions: How many are in rotation, one load after the other.
    @ivar rounds: How often ours, stock and the floors are measured.
    @ivar peerRounds: How often peers are; in the first of the rounds.
    @ivar seconds: How long each load is.
    @ivar warm: How long each server is loaded before.
    """

    variants: Sequence[Variant]
    sessions: Sequence[int] = (32, 10_000)
    rounds: int = 4
    peerRounds: int = 2
    seconds: int = 3
    warm: int = 1

    def turns(self) -> Iterator[tuple[int, Variant]]:
        """
        Which variant is measured in which round, in their order.
        """
        for number in range(self.rounds):
            for variant in self.variants:
                if variant.kind != PEER or number < self.peerRounds:
                    yield number, variant


def measured(plan: Plan) -> dict[str, Any]:
    """
    Measure.

    @return: The raw figures, as they are kept in JSON.
    """
    began, busy = time.monotonic(), others()
    found: dict[str, dict[str, Any]] = {each.name: {} for each in plan.variants}
    failed: dict[str, str] = {}
    with ExitStack() as stack:
        servers, missing = started(stack, {each.server for each in plan.variants} - {""}, 1)
        directory = stack.enter_context(tempfile.TemporaryDirectory())
        for number, variant in plan.turns():
            if variant.server in missing:
                failed[variant.title] = missing[variant.server]
                continue
            print(f"round {number + 1} of {plan.rounds}: {variant.title}", file=sys.stderr)
            try:
                work = Round(variant, servers, plan.sessions, plan.seconds, plan.warm)
                found[variant.name][str(number)] = work.run(directory)
            except (RuntimeError, OSError) as e:
                print(f"  {e}", file=sys.stderr)
                failed[variant.title] = str(e).strip().splitlines()[0]
    return {
        "machine": described(),
        "others": busy,
        "took": time.monotonic() - began,
        "plan": {
            "sessions": list(plan.sessions),
            "rounds": plan.rounds,
            "peerRounds": plan.peerRounds,
            "seconds": plan.seconds,
        },
        "failed": failed,
        "variants": [
            {
                "name": each.name,
                "title": each.title,
                "kind": each.kind,
                "bare": each.bare,
                "rounds": found[each.name],
            }
            for each in plan.variants
            if found[each.name]
        ],
    }
