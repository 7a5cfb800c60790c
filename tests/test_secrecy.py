"""
No token, and nothing of what a session keeps, is in any log, page or representation.
"""

from __future__ import annotations

import gc
from typing import Any

import pytest
from scenes import COOKIE, SharedStore, count
from twisted.logger import eventAsText, globalLogPublisher

import txsessions
from txsessions.testing import FailingStore, resultOf

CANARY = "canary-of-the-test"


@pytest.fixture
def logged():
    """
    Everything that is logged, as text.
    """
    texts: list[str] = []

    def observe(event: Any) -> None:
        texts.append(eventAsText(event) + repr(event))

    globalLogPublisher.addObserver(observe)
    yield texts
    globalLogPublisher.removeObserver(observe)


def keep(request: Any) -> bytes:
    """
    Keep the canary in a session.
    """
    request.getSession().data["secret"] = CANARY
    return count(request)


def trouble(it: Any, browser: Any) -> list[Any]:
    """
    Everything that can go wrong with a session, and the responses.
    """

    def bad(request: Any) -> bytes:
        data = request.getSession().data
        data["list"] = [CANARY]
        data["list"].append(object())
        return b""

    def raises(request: Any) -> bytes:
        session = request.getSession()
        raise ValueError(f"of {session}, {request}, {request.session}, {request.site.sessions}")

    async def waits(request: Any) -> bytes:
        session = request.getSession()
        session.data["secret"] = CANARY + "2"
        await session.commit()
        return b""

    async def ends(request: Any) -> bytes:
        request.getSession().notifyOnExpire(lambda: 1 / 0)
        await request.getSession().logOut()
        await request.getSession().logOut()
        return b""

    def late(request: Any) -> bytes:
        request.write(b"begun")
        request.getSession(forceNotSecure=True)
        return b""

    responses = []
    for operation in ("loadSession", "saveSession", "deleteSession", "createSession"):
        it.store.fail(operation)
        for answer in (keep, bad, raises, waits, ends):
            responses.append(it.get(browser, answer))
        it.store.mend()
    for answer in (keep, bad, raises, waits, late, ends):
        response = it.ask(browser, answer)
        response.addErrback(lambda failure: None)
        responses.append(resultOf(response))
    return [response for response in responses if response is not None]


@pytest.mark.parametrize("isShared", [True, False])
@pytest.mark.parametrize("displaysTracebacks", [True, False])
def test_nothingLeaks(scene, logged, isShared, displaysTracebacks):
    """
    Whatever goes wrong, neither logs nor pages show more than handles.
    """
    it = scene(SharedStore() if isShared else None, wrap=FailingStore)
    it.site.displayTracebacks = displaysTracebacks
    browser = it.browser()
    it.get(browser, keep)
    tokens = {browser.cookies.get(COOKIE)}
    responses = trouble(it, browser)
    tokens |= {cookie.value for response in responses for cookie in response.cookies}
    verifiers = [token.decode()[32:] for token in tokens if token]
    assert len(it.errors.events) > 10
    for text in [*logged, *(response.body.decode("latin-1") for response in responses)]:
        assert CANARY not in text
        assert not any(verifier in text for verifier in verifiers)
    it.errors.events.clear()
    gc.collect()


def test_control(scene, logged):
    """
    The test notices a log that has the token in it.
    """
    it = scene()
    browser = it.browser()

    def answer(request: Any) -> bytes:
        session = request.getSession()
        session._log.info("{token}", token=session.uid)
        return b""

    it.get(browser, answer)
    token = browser.cookies.get(COOKIE).decode()
    assert any(token[32:] in text for text in logged)


def test_storeHasNoToken(scene):
    """
    No part of what the store keeps opens a session.
    """
    it = scene(SharedStore())
    browser = it.browser()
    it.get(browser, keep)
    (record,) = it.memory._records.values()
    parts = [record.sid.encode(), record.verifier, record.verifier.hex().encode()]
    parts += [record.sid.encode() + part[:32] for part in parts]
    parts += [record.sid.encode() + part[-32:] for part in parts]
    for part in parts:
        try:
            header = (COOKIE + b"=" + part).decode("latin-1").encode("latin-1")
        except UnicodeError:
            continue
        if b"\n" in header or b"\r" in header or b"\x00" in header:
            continue
        response = it.get(
            it.browser(),
            lambda request: repr(request.peekSession()).encode(),
            headers={"Cookie": header},
        )
        assert response.body == b"None"


def test_reprs(scene):
    """
    No public object of a session shows its token or its data.
    """
    it = scene()
    browser = it.browser()
    seen = []

    def answer(request: Any) -> bytes:
        session = request.getSession()
        session.data["secret"] = CANARY
        seen.extend([request, session, session.data, request._visits, request._gate])
        seen.extend([session._track(), request.site.sessions, request.site.sessionManager])
        seen.extend([request.site, request.site.sessionLookup, request.site.sessionCookie])
        return b""

    it.get(browser, answer)
    token = browser.cookies.get(COOKIE).decode()
    for each in seen:
        for text in (repr(each), str(each), f"{each}"):
            assert CANARY not in text
            assert token[32:] not in text
    assert txsessions.Session.__name__ in repr(seen[1])
