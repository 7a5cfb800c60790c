"""
Log-ins that come after all sessions of their owner were ended.
"""

from __future__ import annotations

from typing import Any

import pytest
from scenes import count, who
from twisted.internet.task import Clock

from txsessions import SessionManager
from txsessions.errors import SessionEnded
from txsessions.lifetime import REVOKED
from txsessions.stores.memory import MemoryStore
from txsessions.testing import GatedStore, resultOf


@pytest.mark.parametrize("isStored", [True, False])
def test_clearedMeanwhile(scene: Any, isStored: bool) -> None:
    """
    A log-in whose password was looked at before the owner's sessions were ended comes too late,
    also in the first request of a visitor.
    """
    it = scene()
    browser = it.browser()
    if isStored:
        it.get(browser, count)

    async def logIn(request: Any) -> bytes:
        session = request.getSession()
        began = it.clock.seconds()
        it.clock.advance(1)
        await it.site.sessionManager.clear("anna", missingOk=True)
        it.clock.advance(1)
        try:
            await session.logIn("anna", authenticatedAt=began)
        except SessionEnded as e:
            return e.reason.encode()
        return b"in"

    assert it.get(browser, logIn).body == REVOKED.encode()
    assert it.get(browser, who).body == b"none"
    assert resultOf(it.site.sessionManager.find("anna")) == []


def test_created() -> None:
    """
    A session that a manager creates, and that is on its way when its owner's are ended, ends too.
    """
    clock = Clock()
    store = GatedStore(MemoryStore(clock), "createSession")
    manager = SessionManager(store, clock)
    creating = manager.create("anna", {})
    clock.advance(1)
    resultOf(manager.clear("anna", missingOk=True))
    store.openAll()
    with pytest.raises(SessionEnded):
        resultOf(creating)
    assert resultOf(manager.find("anna")) == []
