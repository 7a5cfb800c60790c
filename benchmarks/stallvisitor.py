"""
Another process that asks for pages while sessions end: see C{stall.py}::

    python stallvisitor.py PORT
"""

from __future__ import annotations

import http.client
import json
import subprocess
import sys
import threading
import time
from typing import Any

from twisted.internet import reactor

RATE = 100
"""
How many pages are asked for in a second.
"""

CONNECTIONS = 20
"""
Over how many connections.
"""

QUIET = 6.0
"""
How long before the sessions expire that ends, in seconds: a little before their
deadlines ours look whether the store has to hear of a touch.
"""


class Visitor:
    """
    The process that asks for pages.
    """

    def __init__(self, site: Any) -> None:
        self._port: Any = reactor.listenTCP(  # type: ignore[attr-defined]  # the reactor
            0, site, interface="127.0.0.1"
        )
        self._process: Any = None

    def start(self) -> None:
        """
        Begin to ask.
        """
        command = [sys.executable, __file__, str(self._port.getHost().port)]
        pipe = subprocess.PIPE
        self._process = subprocess.Popen(command, stdin=pipe, stdout=pipe)

    def stop(self) -> None:
        """
        Ask no more; what has been asked is still to be answered.
        """
        self._process.stdin.close()

    def latencies(self, end: float, total: float) -> dict[str, float]:
        """
        What was measured: before the sessions expired, and while they were told.

        @param end: When they expired.
        @param total: How long it took to tell all.
        """
        rows = json.loads(self._process.stdout.read())
        self._process.wait()
        idle = [latency for due, latency in rows[RATE // 2 :] if due + latency < end - QUIET]
        busy = [latency for due, latency in rows if end <= due <= end + total]
        return {"idle": p99(idle), "p99": p99(busy), "asked": len(busy)}


def p99(latencies: list[float]) -> float:
    """
    So long one in a hundred takes, or longer.
    """
    return sorted(latencies)[len(latencies) * 99 // 100] if latencies else 0.0


def ask(port: int) -> None:
    """
    Ask for pages over several connections until the standard input is closed, and print
    for each when it was to be asked for, and how long after that it was answered.
    """
    rows: list[tuple[float, float]] = []
    isOver = threading.Event()
    begun = time.time()
    threads = [
        threading.Thread(target=askInTurn, args=(port, begun + number / RATE, rows, isOver))
        for number in range(CONNECTIONS)
    ]
    for thread in threads:
        thread.start()
    sys.stdin.read()
    isOver.set()
    for thread in threads:
        thread.join()
    print(json.dumps(sorted(rows)))


def askInTurn(port: int, due: float, rows: list[Any], isOver: threading.Event) -> None:
    """
    Ask for pages over one connection.
    """
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    headers: dict[str, str] = {}
    while not isOver.wait(max(0.0, due - time.time())):
        try:
            connection.request("GET", "/", headers=headers)
            response = connection.getresponse()
            response.read()
        except (OSError, http.client.HTTPException):
            return
        cookie = response.getheader("Set-Cookie")
        if cookie is not None:
            headers = {"Cookie": cookie.partition(";")[0]}
        rows.append((due, time.time() - due))
        due += CONNECTIONS / RATE


if __name__ == "__main__":
    ask(int(sys.argv[1]))
