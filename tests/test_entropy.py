"""
Where tokens come from, and what happens when that is broken.
"""

from __future__ import annotations

from typing import Any

import pytest
from scenes import (
    COOKIE,
    SharedStore,
    count,
    look,
    setCookies,
)
from twisted.internet.defer import Deferred

from txsessions.stores.memory import MemoryStore
from txsessions.testing import resultOf


class TestEntropy:
    """
    Where tokens come from.
    """

    def test_readWhenCalled(self, scene):
        """
        site._entropy is read when a token is made, and asked for 32 bytes.
        """
        it = scene()
        it.site._entropy = lambda size: b"\xab" * size
        response = it.get(it.browser(), lambda request: request.getSession().uid)
        assert response.body == b"ab" * 32

    def test_fails(self, scene):
        """
        Without randomness the request fails; there is no cookie and no record.
        """

        def broken(size: int) -> bytes:
            raise OSError("no randomness")

        it = scene()
        browser = it.browser()
        it.site._entropy = broken
        response = it.get(browser, count)
        assert (response.code, setCookies(response)) == (500, [])
        assert (it.memory._records, len(it.site.sessions)) == ({}, 0)
        it.errors.flush("no randomness")

    def test_repeatsOnce(self, scene):
        """
        A token that a session has already is not given out again; the next one is.
        """
        it = scene()
        tokens = iter([b"\1" * 32, b"\1" * 32, b"\1" * 32, b"\2" * 32])
        it.site._entropy = lambda size: next(tokens)
        first, second = it.browser(), it.browser()
        assert it.get(first, count).body == b"1"
        assert it.get(second, count).body == b"1"
        assert second.cookies.get(COOKIE) == b"02" * 32
        assert it.get(first, count).body == it.get(second, count).body == b"2"

    @pytest.mark.parametrize("isShared", [True, False])
    def test_repeatsOfStored(self, scene, isShared):
        """
        So it is when the other session is known to the store only; its record and
        its visitor notice nothing.
        """
        it = scene(SharedStore() if isShared else MemoryStore())
        it.site._entropy = lambda size: b"\1" * size
        victim = it.browser()
        it.get(victim, count)
        before = dict(it.memory._records)
        site = it.makeSite()
        tokens = iter([b"\1" * 32, b"\1" * 32, b"\2" * 32])
        site._entropy = lambda size: next(tokens)
        browser = it.browser(site)
        assert it.get(browser, count).body == b"1"
        assert browser.cookies.get(COOKIE) == b"02" * 32
        assert {sid: it.memory._records[sid] for sid in before} == before
        assert it.get(it.browser(site, cookies=victim.cookies), count).body == b"2"

    def test_neverShared(self, scene):
        """
        Not even for a moment: the owner of a token gets his own session, while the
        request that was given it again has not ended.
        """
        it = scene()
        it.site._entropy = lambda size: b"\1" * size
        victim = it.browser()
        it.get(victim, count)
        site = it.makeSite()
        tokens = iter([b"\1" * 32, b"\2" * 32])
        site._entropy = lambda size: next(tokens)
        waiting: Deferred[None] = Deferred()

        async def slow(request: Any) -> bytes:
            request.getSession().data["secret"] = "of the other"
            await waiting
            return request.getSession().uid

        other = it.browser(site)
        response = it.ask(other, slow)
        returning = it.browser(site, cookies=victim.cookies)
        assert it.get(returning, look).body == b"1"
        waiting.callback(None)
        assert resultOf(response).body == b"02" * 32
        assert other.cookies.get(COOKIE) == b"02" * 32
        assert it.get(returning, count).body == b"2"
        assert [set(record.attributes) for record in it.memory._records.values()] == [
            {"data:n"},
            {"data:secret"},
        ]

    def test_repeatsForEver(self, scene):
        """
        When every token is taken the request fails, and says why in the log.
        """
        it = scene()
        it.site._entropy = lambda size: b"\1" * size
        first, second = it.browser(), it.browser()
        it.get(first, count)
        response = it.get(second, count)
        assert (response.code, setCookies(response)) == (500, [])
        assert it.get(first, count).body == b"2"
        assert len(it.memory._records) == 1
        it.errors.flush("randomness")
