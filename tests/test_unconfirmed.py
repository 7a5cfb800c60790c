"""
Requests that come while a session is being ended, before the store has confirmed it.
"""

from __future__ import annotations

from typing import Any

import pytest
from scenes import SharedStore, count, look
from visits import logOut, visitor

from txsessions.stores.memory import MemoryStore
from txsessions.testing import FailingStore, GatedStore, resultOf
from txsessions.web.lookup import Ended, SessionLookup


class Ending:
    """
    A log-out that waits for the store, and a request that has come meanwhile.

    @ivar answer: What that gets.
    """

    def __init__(self, scene: Any, isShared: bool) -> None:
        self.it = scene(SharedStore() if isShared else MemoryStore(), wrap=self._wrap)
        self.browser = visitor(self.it)
        self.ended = self.it.ask(self.browser, logOut)
        self.answer = self.it.ask(self.another(), look)

    def _wrap(self, store: Any) -> Any:
        self.failing = FailingStore(store)
        return GatedStore(self.failing, "deleteSession")

    def another(self) -> Any:
        """
        Another tab of the browser.
        """
        return self.it.browser(cookies=self.browser.cookies)


shared = pytest.mark.parametrize("isShared", [False, True])


@shared
def test_confirmed(scene: Any, isShared: bool) -> None:
    """
    Whoever comes meanwhile is told that there is no session when it has ended for sure.
    """
    ending = Ending(scene, isShared)
    assert not ending.answer.called
    ending.it.store.openAll()
    assert resultOf(ending.answer).body == b"none"
    assert resultOf(ending.ended).code == 200


@shared
def test_notConfirmed(scene: Any, isShared: bool) -> None:
    """
    When the store cannot end it they are not told that there is none: it lives on.
    """
    ending = Ending(scene, isShared)
    ending.failing.fail("deleteSession")
    ending.it.store.openAll()
    assert resultOf(ending.answer).code == resultOf(ending.ended).code == 503
    ending.failing.mend()
    assert ending.it.get(ending.another(), count).body == b"2"
    ending.it.errors.flush("A session could not be used", "A session could not be used")


@shared
def test_control(scene: Any, isShared: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """
    That notices a site which tells of an end before it is certain: so a worker that was killed
    in the midst of a log-out had answered that there was no session, and then there was.
    """
    monkeypatch.setattr(SessionLookup, "_ended", lambda self, session, reason: Ended(reason))
    ending = Ending(scene, isShared)
    assert resultOf(ending.answer).body == b"none"
    ending.it.store.openAll()
