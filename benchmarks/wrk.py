"""
The load: C{wrk -t1 -c32}, with sessions in rotation.
"""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

import attrs
from machine import onCore

CONNECTIONS = 32

SCRIPT = """
local cookies = {{
{cookies}
}}
local requests, n = {{}}, 0
init = function()
  for i, cookie in ipairs(cookies) do
    requests[i] = wrk.format("GET", "/", {{["Cookie"] = cookie}})
  end
end
request = function()
  n = n % #requests + 1
  return requests[n]
end
done = function(summary, latency, requests)
  local e = summary.errors
  io.write(string.format(
    '\\n{{"requests": %d, "seconds": %f, "p50": %f, "p99": %f, "errors": %d}}\\n',
    summary.requests, summary.duration / 1e6, latency:percentile(50) / 1e6,
    latency:percentile(99) / 1e6, e.connect + e.read + e.write + e.status + e.timeout))
end
"""


@attrs.frozen
class Load:
    """
    What a load came to.

    @ivar requests: How many were answered.
    @ivar seconds: For how long.
    @ivar p50: How long half of them took at the most, in seconds.
    @ivar p99: How long 99 of a hundred took at the most.
    """

    requests: int
    seconds: float
    p50: float
    p99: float

    @property
    def rate(self) -> float:
        """
        Requests per second.
        """
        return self.requests / self.seconds


def isInstalled() -> bool:
    """
    Whether it is here.
    """
    return shutil.which("wrk") is not None


def writeScript(path: Path, cookies: Sequence[str]) -> None:
    """
    Write a script that goes through some cookies.
    """
    lines = ",\n".join(json.dumps(cookie) for cookie in cookies)
    path.write_text(SCRIPT.format(cookies=lines))


def command(port: int, script: Path, seconds: int, connections: int = CONNECTIONS) -> list[str]:
    """
    The command that loads a server.
    """
    own = ["wrk", "-t1", f"-c{connections}", f"-d{seconds}", "-s", str(script)]
    return [*onCore(1), *own, f"http://127.0.0.1:{port}/"]


def parsed(printed: str) -> Load:
    """
    What it has printed.

    @raise RuntimeError: There were other responses than those wished for.
    """
    figures = json.loads(printed.strip().splitlines()[-1])
    if figures.pop("errors") or not figures["requests"]:
        raise RuntimeError(f"wrk: {printed}")
    return Load(**figures)


def load(port: int, script: Path, seconds: int) -> Load:
    """
    Load a server.
    """
    done = subprocess.run(
        command(port, script, seconds), capture_output=True, check=True, text=True
    )
    return parsed(done.stdout)
