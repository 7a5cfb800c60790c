"""
Tests for L{txsessions.testing.ports}.
"""

from __future__ import annotations

import socket
import subprocess
import sys
from pathlib import Path

import pytest

from txsessions.testing import ports
from txsessions.testing.ports import freePort

ROOT = Path(__file__).resolve().parent.parent

PROGRAM = "from txsessions.testing.ports import freePort; print(*(freePort() for _ in range(5)))"


def elsewhere() -> set[int]:
    """
    Ports that another process gets.
    """
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM], cwd=ROOT, check=True, capture_output=True, text=True
    )
    return {int(word) for word in done.stdout.split()}


def test_each() -> None:
    """
    No port is given twice, in this process or in others, though nobody listens there.
    """
    given = [freePort() for _ in range(5)]
    assert len(set(given)) == 5
    found = elsewhere()
    assert len(found) == 5
    assert not found & set(given)


def test_givenBack() -> None:
    """
    The ports of a process are free when it has ended.
    """
    assert elsewhere() & elsewhere()


def test_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    """
    Nobody gets a port at which somebody listens who did not ask.
    """
    with socket.create_server(("127.0.0.1", 0)) as listening:
        port = listening.getsockname()[1]
        monkeypatch.setattr(ports, "RANGE", range(port, port + 1))
        with pytest.raises(OSError, match="no port is free"):
            freePort()
    assert freePort() == port
