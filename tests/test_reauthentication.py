"""
A log-in of somebody who is logged in already: session.authenticatedAt.
"""

from __future__ import annotations

from typing import Any

import pytest
from scenes import setCookies

from txsessions import SessionManager
from txsessions.testing import resultOf


async def logIn(request: Any) -> bytes:
    """
    Log in, and tell since when.
    """
    session = request.getSession()
    await session.logIn("anna")
    return b"%d" % session.authenticatedAt


async def reworkAndLogIn(request: Any) -> bytes:
    """
    Get another token before.
    """
    await request.getSession().rework()
    return await logIn(request)


async def logInTwice(request: Any) -> bytes:
    """
    Get two new tokens, at different times.
    """
    await logIn(request)
    return await logIn(request)


@pytest.mark.parametrize("again", [logIn, reworkAndLogIn, logInTwice])
@pytest.mark.parametrize("reworkInterval", [None, 100])
def test_again(scene: Any, again: Any, reworkInterval: float | None) -> None:
    """
    It is known when somebody logged in last, also where the same request has got another token
    before; and the browser gets the last one.
    """
    it = scene()
    it.site.sessionManager = SessionManager(it.store, it.clock, reworkInterval=reworkInterval)
    browser = it.browser()
    first = int(it.get(browser, logIn).body)
    it.clock.advance(200)
    response = it.get(browser, again)
    assert int(response.body) == first + 200
    assert len(setCookies(response)) == 1
    (handle,) = resultOf(it.site.sessionManager.find("anna"))
    assert handle.authenticatedAt == first + 200
    assert it.get(browser, since).body == response.body


def since(request: Any) -> bytes:
    """
    Tell since when somebody is logged in.
    """
    session = request.peekSession()
    return b"none" if session is None else b"%d" % session.authenticatedAt


@pytest.mark.parametrize("moment", ["yesterday", float("nan"), float("inf"), b"1", [1]])
def test_noMoment(scene: Any, moment: Any) -> None:
    """
    What is no time cannot say when somebody was let in: he is not.
    """
    it = scene()
    it.browser()
    session = it.site.makeSession()
    with pytest.raises(TypeError, match="authenticatedAt is a time in seconds"):
        session.logIn("anna", authenticatedAt=moment)
    assert session.sessionKey is None
