"""
What a manager takes for an id, or for an owner, and what it does not.
"""

from __future__ import annotations

from typing import Any

import pytest
from twisted.internet.task import Clock

from txsessions import SessionManager
from txsessions.errors import SessionNotFound
from txsessions.stores.memory import MemoryStore
from txsessions.testing import resultOf


def newManager(**options: Any) -> SessionManager:
    """
    A manager with a store of its own.
    """
    return SessionManager(MemoryStore(), Clock(), **options)


@pytest.mark.parametrize("id", [5, 10**15, None, 1.5, ["a"], bytearray(64), {}])
def test_noID(id: Any) -> None:
    """
    What is neither text nor bytes is refused in a line, and takes no memory, however large the
    number.
    """
    manager = newManager()
    for operation in (
        manager.get,
        manager.delete,
        manager.rework,
        lambda id: manager.update(id, {}),
    ):
        with pytest.raises(TypeError, match="an id is a str or bytes, not"):
            resultOf(operation(id))


@pytest.mark.parametrize("id", ["", "\ud800" * 64, "\udcff", "\0", "x" * 2000, b"", b"\xff"])
@pytest.mark.parametrize("options", [{}, {"keys": b"k" * 32}, {"idFactory": lambda: "x"}])
def test_noneOfOurs(id: Any, options: Any) -> None:
    """
    Any text and any bytes are an id, of no session if we have not made it.
    """
    with pytest.raises(SessionNotFound):
        resultOf(newManager(**options).get(id))


@pytest.mark.parametrize("made", [b"\xff\xfe\xfd", "\xe9", b"\xc3\xa9", "a:b"])
def test_ownForm(made: Any) -> None:
    """
    An id of any form that an idFactory makes, text or not, opens its session.
    """
    manager = newManager(idFactory=lambda: made)
    id = resultOf(manager.create("anna", {"n": 1}))
    assert resultOf(manager.get(id)) == {"n": 1}


@pytest.mark.parametrize("owner", [None, 5, b"anna", ["anna"]])
def test_noOwner(owner: Any) -> None:
    """
    What can be nobody's name is refused, and is not somebody without sessions.
    """
    manager = newManager()
    for operation in (manager.find, manager.clear):
        with pytest.raises(TypeError, match="a session key is a str, not"):
            resultOf(operation(owner))
