"""
One worker and two on a store that processes share.

On a machine of two processors the load generator and the store's server need their part of
what two workers could use.  So the processor time of each is measured: what a request costs a
worker says what two would do that have a processor each, and what it costs the server says
where that ends.
"""

from __future__ import annotations

import subprocess
import time
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from backing import SERVERS, Missing
from child import Child
from machine import cpu, interpreter
from scaleparts import Figures, Scale
from visitors import begin
from wrk import CONNECTIONS, Load, command, parsed, writeScript

SESSIONS = 1000


def workers(scale: Scale) -> Figures:
    """
    One and two workers on each store that has a server.
    """
    found: Figures = {}
    for store, make in SERVERS.items():
        try:
            with make(1) as server:
                found[store] = {
                    str(count): _measured(scale, store, server, count) for count in (1, 2)
                }
        except Missing as e:
            found[store] = {"missing": str(e)}
    return found


def _measured(scale: Scale, store: str, server: Any, count: int) -> Figures:
    """
    So many workers, each loaded by a generator of its own, with the same sessions.
    """
    server.clear()
    place = scale.place()
    line = [*interpreter("served"), "--meter", store, "PORT", server.store]
    with ExitStack() as stack:
        children = [
            stack.enter_context(Child(line, place, isMetered=True, core=number))
            for number in range(count)
        ]
        for child in children:
            child.wait()
        script = Path(place, "rotation.lua")
        writeScript(script, begin(children[0].port, min(SESSIONS, scale.sessions)))
        _loads(children, script, 1)
        busy = [cpu(each.pid) for each in (*children, server)]
        began = time.perf_counter()
        loads = _loads(children, script, scale.seconds)
        took = time.perf_counter() - began
        used = [cpu(each.pid) for each in (*children, server)]
    requests = sum(each.requests for each in loads)
    spent = [after - before for after, before in zip(used, busy, strict=True)]
    return {
        "rate": sum(each.rate for each in loads),
        "worker": sum(spent[:-1]) / requests,
        "server": spent[-1] / requests,
        "busy": sum(spent[:-1]) / took,
        "serverBusy": spent[-1] / took,
        "p99": max(each.p99 for each in loads),
    }


def _loads(children: list[Child], script: Path, seconds: int) -> list[Load]:
    """
    Load all workers at the same time.
    """
    each = CONNECTIONS // len(children)
    running = [
        subprocess.Popen(
            command(child.port, script, seconds, each), stdout=subprocess.PIPE, text=True
        )
        for child in children
    ]
    return [parsed(process.communicate()[0]) for process in running]
