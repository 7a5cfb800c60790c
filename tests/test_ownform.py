"""
A site whose ids are made by the application.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from scenes import SharedStore, count, look

from txsessions import SessionManager
from txsessions.errors import SessionError

KEY = b"k" * 32


def siteOf(it: Any, idFactory: Callable[[], Any], **options: Any) -> Any:
    """
    A site with such ids.
    """
    site = it.makeSite()
    site.sessionManager = SessionManager(it.store, it.clock, idFactory=idFactory, **options)
    return site


@pytest.mark.parametrize("kind", [None, SharedStore])
@pytest.mark.parametrize("options", [{}, {"keys": KEY}])
def test_idFactory(scene: Any, kind: Any, options: Any) -> None:
    """
    The idFactory of its manager makes the ids of its sessions, which another process knows too.
    """
    it = scene(None if kind is None else kind())
    ids = iter(f"visitor-{number}" for number in range(9))
    site = siteOf(it, lambda: next(ids), **options)
    browser = it.browser(site)
    assert [it.get(browser, count).body for _ in range(3)] == [b"1", b"2", b"3"]
    assert [session.uid for session in site.sessions.values()] == [b"visitor-0"]
    other = siteOf(it, lambda: next(ids), **options)
    assert it.get(it.browser(other, cookies=browser.cookies), count).body == b"4"
    assert it.get(it.browser(site), count).body == b"1"


def test_taken(scene: Any) -> None:
    """
    An id that is taken is not used, and nobody gets the session of somebody else; a factory that
    always makes the same fails the request.
    """
    it = scene()
    site = siteOf(it, lambda: "same")
    it.get(it.browser(site), count)
    errors = []

    def begin(request: Any) -> bytes:
        try:
            return count(request)
        except SessionError as e:
            errors.append(str(e))
            return b"none"

    assert it.get(it.browser(site), begin).body == b"none"
    assert "same" not in errors[0].split()
    assert it.get(it.browser(site), look).body == b"none"
