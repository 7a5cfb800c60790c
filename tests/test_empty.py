"""
Sessions without anything in them, on a site that does not store such ones.
"""

from __future__ import annotations

from typing import Any

import pytest
from scenes import COOKIE, setCookies
from visits import visitor


class TestEmpty:
    """
    storeEmptySessions=False.
    """

    @pytest.fixture
    def it(self, scene):
        """
        A scene whose site stores no empty sessions.
        """
        it = scene()
        it.site.storeEmptySessions = False
        return it

    def test_looks(self, it):
        """
        Visitors who only look cost the store nothing, get no cookie, and leave
        nothing in memory.
        """
        for _ in range(100):
            response = it.get(it.browser(), lambda request: request.getSession().uid)
            assert (response.code, setCookies(response)) == (200, [])
        assert (it.memory._records, len(it.site.sessions)) == ({}, 0)

    @pytest.mark.parametrize(
        "keep",
        [
            lambda session: session.data.update(key=1),
            lambda session: setattr(session, "sessionKey", "anna"),
            lambda session: session.notifyOnExpire(lambda: None),
        ],
    )
    def test_keeps(self, it, keep):
        """
        Data, an owner, a callback are something to keep.
        """

        def answer(request: Any) -> bytes:
            session = request.getSession()
            keep(session)
            return session.uid

        browser = it.browser()
        response = it.get(browser, answer)
        assert browser.cookies.get(COOKIE) == response.body
        assert len(it.memory._records) == 1

    def test_laterKept(self, it):
        """
        A session that somebody goes on to hold, and that gets a callback later, is
        told of its end.
        """
        held, told = [], []
        it.get(it.browser(), lambda request: (held.append(request.getSession()), b"")[1])
        held[0].notifyOnExpire(lambda: told.append(1))
        assert len(it.site.sessions) == 1
        it.clock.advance(900)
        assert told == [1]

    def test_logOut(self, it):
        """
        A log-out deletes the cookie, though the handler goes on with a new session
        that is not stored.
        """
        browser = visitor(it)

        async def answer(request: Any) -> bytes:
            await request.getSession().logOut()
            request.getSession()
            return b"bye"

        assert [cookie.value for cookie in it.get(browser, answer).cookies] == [b""]
        assert len(browser.cookies) == 0
