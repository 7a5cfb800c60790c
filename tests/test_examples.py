"""
The programs of C{examples/} and of the README, each as a real process with real
HTTP.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path
from threading import Event

import pytest
from processes import Process, Visitor, script

from txsessions.testing.ports import freePort

ROOT = Path(__file__).parent.parent
EXAMPLES = ROOT / "examples"

ON_ANOTHER_PORT = """
import runpy, sys
from twisted.internet import reactor
listen = reactor.listenTCP
reactor.listenTCP = lambda port, factory: listen(int(sys.argv[2]), factory, interface="127.0.0.1")
runpy.run_path(sys.argv[1], run_name="__main__")
"""


def served(port: int, directory: Path) -> Process:
    """
    The examples, served by the plugin.
    """
    return Process(
        [
            script("twistd"),
            "-n",
            "--pidfile=",
            "txsessions",
            "--path",
            str(EXAMPLES),
            "--listen",
            f"tcp:{port}:interface=127.0.0.1",
        ],
        directory,
    )


def rest(seconds: float) -> None:
    """
    Let real time go by: the program under test has a real clock.
    """
    Event().wait(seconds)


def test_visits(tmp_path: Path) -> None:
    """
    The example of the README goes on counting after a C{kill -9}.
    """
    port = freePort()
    visitor = Visitor(port)
    for first in (1, 3):
        with served(port, tmp_path) as process:
            process.waitForPort(port)
            assert visitor.get("visits.rpy") == f"Visit #{first} for you!"
            assert visitor.get("visits.rpy") == f"Visit #{first + 1} for you!"
            process.kill()


def test_readmeShowsTheExample() -> None:
    """
    The README shows the example as it is.
    """
    shown = [line.strip() for line in (ROOT / "README.rst").read_text().splitlines()]
    for line in (EXAMPLES / "visits.rpy").read_text().splitlines():
        assert line.strip() in shown


def test_sessionBasics(tmp_path: Path) -> None:
    """
    The howto's first program shows the session's id until it is expired.
    """
    port = freePort()
    visitor = Visitor(port)
    with served(port, tmp_path) as process:
        process.waitForPort(port)
        first = visitor.get("session_basics.rpy")
        assert re.fullmatch("Your session id is: [0-9a-f]{64}", first)
        assert visitor.get("session_basics.rpy") == first
        assert visitor.get("session_basics.rpy/expire") == "Your session has been expired."
        assert visitor.get("session_basics.rpy") != first


def test_sessionStore(tmp_path: Path) -> None:
    """
    The howto's second program counts in a component of the session.
    """
    port = freePort()
    mine, theirs = Visitor(port), Visitor(port)
    with served(port, tmp_path) as process:
        process.waitForPort(port)
        counts = [visitor.get("session_store.rpy") for visitor in (mine, mine, theirs, mine)]
    assert counts == [f"Visit #{n} for you!" for n in (1, 2, 1, 3)]


@pytest.mark.parametrize("library", ["txsessions", "twisted.web.server"])
def test_sessionEndings(tmp_path: Path, library: str) -> None:
    """
    The howto's third program keeps a session that is visited every 2 seconds,
    though its time-out is 5, and tells its end once when it is left alone; with
    stock Twisted, which is the control, it does not.
    """
    program = tmp_path / "endings.py"
    text = (EXAMPLES / "session_endings.py").read_text()
    program.write_text(text.replace("from txsessions import", f"from {library} import"))
    port = freePort()
    visitor = Visitor(port)
    command = [sys.executable, "-u", "-c", ON_ANOTHER_PORT, str(program), str(port)]
    with Process(command, tmp_path) as process:
        process.waitForPort(port)
        ids = set()
        for _ in range(11):
            visitor.get("logme")
            ids.update(cookie.value for cookie in visitor.cookies)
            rest(2)
        if library == "txsessions":
            assert len(ids) == 1
            assert "has expired" not in process.output
            rest(4.5)
            (only,) = ids
            assert process.output.count("has expired") == 1
            assert f"Session {only.encode()!r} has expired." in process.output
        else:
            assert len(ids) > 1
