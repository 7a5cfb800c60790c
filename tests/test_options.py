"""
What a manager can be made with, and what it refuses at once, and not when somebody has a session.
"""

from __future__ import annotations

from typing import Any

import pytest
from twisted.internet.task import Clock

from txsessions import SessionManager
from txsessions.stores.memory import MemoryStore

SECRET = "a very secret key of 32 characters"

WRONG = [
    ({"sessionTimeout": "900"}, "sessionTimeout is a number of seconds"),
    ({"sessionTimeout": True}, "sessionTimeout is a number of seconds"),
    ({"sessionTimeout": 0}, "sessionTimeout is a number of seconds"),
    ({"sessionTimeout": float("nan")}, "sessionTimeout is a number of seconds"),
    ({"absoluteTimeout": b"1"}, "absoluteTimeout is a number of seconds"),
    ({"reworkInterval": -1}, "reworkInterval is a number of seconds"),
    ({"limits": 5}, "limits is a SizeLimits"),
    ({"notes": "device"}, "notes is a list of keys"),
    ({"notes": [5]}, "notes is a list of keys"),
    ({"idFactory": "uuid4"}, "idFactory is called for each id"),
    ({"entropy": 5}, "entropy is called for random bytes"),
    ({"maxSessionsPerKey": "3"}, "maxSessionsPerKey is an int"),
    ({"maxSessionsPerKey": 0}, "maxSessionsPerKey is an int"),
    ({"onExceed": "reject"}, "onExceed is 'evict-oldest' or 'refuse'"),
    ({"keys": SECRET}, "a key is bytes"),
    ({"keys": [SECRET.encode()[:31]]}, "a key is 32 to 64 random bytes"),
    ({"keys": [SECRET.encode(), SECRET.encode()]}, "is there twice"),
    ({"keys": []}, "there is no key"),
    ({"encryptData": True}, "encryptData needs keys"),
    ({"plainUntil": 1.0}, "encryptData needs keys"),
]


@pytest.mark.parametrize("options, text", WRONG)
def test_wrong(options: Any, text: str) -> None:
    """
    An option without sense is refused in one line that names it, and shows no secret.
    """
    with pytest.raises((TypeError, ValueError)) as raised:
        SessionManager(MemoryStore(), Clock(), **options)
    line = str(raised.value)
    assert text in line and "\n" not in line
    assert "very secret" not in line


def test_usual() -> None:
    """
    What has sense is taken, in whatever form it comes.
    """
    SessionManager(
        MemoryStore(),
        Clock(),
        sessionTimeout=1,
        absoluteTimeout=2.5,
        notes=("device",),
        maxSessionsPerKey=1,
        keys=(b"k" * 32 for _ in range(1)),
    )
