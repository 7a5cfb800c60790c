"""
Tests for sites over L{txsessions.stores.encrypting}.
"""

from __future__ import annotations

import os
from typing import Any

import pytest
from scenes import SharedStore, cookie, count, look, setCookies

from txsessions.stores.encrypting import EncryptingStore
from txsessions.testing import Browser, resultOf

OLD, NEW = os.urandom(32), os.urandom(32)


def visitors(it: Any, number: int) -> list[dict[str, bytes]]:
    """
    The cookies of some visitors, who have been there once.
    """
    for _ in range(number):
        assert it.get(it.browser(), count).body == b"1"
    return [cookie(token) for token in it.site.sessions]


class Workers:
    """
    Sites over one store, each with keys of its own.
    """

    def __init__(self, scene: Any) -> None:
        self.it = scene(SharedStore(), wrap=lambda store: EncryptingStore(store, OLD))

    def worker(self, *keys: bytes) -> Browser:
        """
        A browser of a process with these keys.
        """
        self.it.store = EncryptingStore(self.it.memory, keys)
        browser: Browser = self.it.browser(self.it.makeSite())
        return browser


@pytest.fixture
def workers(scene: Any) -> Workers:
    """
    Sites over one store.
    """
    return Workers(scene)


def test_wrongKey(workers: Workers) -> None:
    """
    A worker with a wrong key answers 503 without a cookie, to old visitors and new ones, ends
    nothing that expires and says so in one line; nothing is changed, and who has the right key
    ends them.
    """
    it = workers.it
    known = visitors(it, 3)
    before = dict(it.memory._records)
    resultOf(it.site.stopSessions())
    browser = workers.worker(NEW)
    it.clock.advance(400)
    for headers in (*known, {}):
        response = it.get(browser, count, headers=headers)
        assert (response.code, setCookies(response)) == (503, [])
    it.clock.advance(600)
    resultOf(browser.site.sessionManager.sweep())
    assert dict(it.memory._records) == before
    assert any("Could not end what has expired" in text for text in it.errors.texts())
    assert not any("Traceback" in text for text in it.errors.texts())
    it.errors.events.clear()
    resultOf(workers.worker(OLD).site.sessionManager.sweep())
    assert not it.memory._records


def test_intact(workers: Workers) -> None:
    """
    Beside such a worker the others go on, and what it refused is there.
    """
    it = workers.it
    known = visitors(it, 3)
    wrong, right = workers.worker(NEW), workers.worker(OLD)
    for headers in known:
        assert it.get(wrong, count, headers=headers).code == 503
        assert it.get(right, count, headers=headers).body == b"2"
    it.errors.events.clear()


def test_rotation(workers: Workers) -> None:
    """
    Keys are changed step by step, without one visitor who is logged out.
    """
    it = workers.it
    known = visitors(it, 5)
    steps = [((OLD,), (OLD, NEW)), ((OLD, NEW), (NEW, OLD)), ((NEW, OLD), (NEW,))]
    expected = 1
    for before, after in steps:
        some = [workers.worker(*before), workers.worker(*after)]
        if after == (NEW,):
            some.pop()
        for browser in some:
            expected += 1
            for headers in known:
                assert it.get(browser, count, headers=headers).body == b"%d" % expected
    last = workers.worker(NEW)
    for headers in known:
        assert it.get(last, look, headers=headers).body == b"%d" % expected


def test_size(workers: Workers) -> None:
    """
    A session may grow as large as without encryption, and no larger.
    """
    it = workers.it
    browser = it.browser()

    def fill(size: int) -> Any:
        def answer(request: Any) -> bytes:
            request.getSession().data["text"] = "x" * size
            return b"done"

        return answer

    assert it.get(browser, fill(65000)).code == 200
    (record,) = it.memory._records.values()
    assert len(record.attributes["data:text"]) > 80000
    assert it.get(browser, lambda request: request.getSession().data["text"].encode()).body == (
        b"x" * 65000
    )
    assert it.get(browser, fill(65600)).code == 500
    it.errors.flush("a session keeps")
