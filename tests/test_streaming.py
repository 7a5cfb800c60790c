"""
Handlers that stream their response, and save in between.
"""

from __future__ import annotations

from typing import Any

import pytest
from scenes import (
    count,
    gated,
    setCookies,
)

from txsessions.testing import FailingStore, resultOf


def test_commitSession(scene):
    """
    A streaming handler that waits for commitSession() before it goes on writes
    nothing that is not true.
    """
    seen = []

    async def answer(request: Any) -> None:
        data = request.getSession().data
        for step in range(3):
            data["step"] = step
            await request.commitSession()
            seen.append(next(iter(it.memory._records.values())).attributes["data:step"])
            request.write(b"step%d" % step)
        request.finish()

    it = scene(wrap=gated)
    connection = it.browser().connect()
    response = it.ask(connection, answer)
    for step in range(3):
        assert (b"step%d" % step) not in connection.received
        it.store.open()
    assert resultOf(response).body == b"step0step1step2"
    assert seen == [b"0", b"1", b"2"]
    assert it.store.gates == []


def test_commitSessionFails(scene):
    """
    commitSession() fails as commit() does, and a handler that does not care answers
    with 503.
    """

    async def answer(request: Any) -> bytes:
        count(request)
        await request.commitSession()
        return b"never seen"

    it = scene(wrap=FailingStore)
    it.store.fail("createSession")
    response = it.get(it.browser(), answer)
    assert (response.code, setCookies(response)) == (503, [])
    it.errors.flush("the test broke the store")


def test_commitSessionOfNone(scene):
    """
    commitSession() of a request without a session has nothing to do.
    """

    async def answer(request: Any) -> bytes:
        await request.commitSession()
        return b"fine"

    it = scene()
    assert it.get(it.browser(), answer).body == b"fine"


def test_commitSessionOfBadData(scene):
    """
    commitSession() fails with what a save of it would raise; it raises nothing.
    """

    async def answer(request: Any) -> bytes:
        data = request.getSession().data
        data["list"] = []
        data["list"].append(object())
        waiting = request.commitSession()
        with pytest.raises(Exception, match="cannot keep this list"):
            await waiting
        del data["list"]
        return b"fine"

    it = scene()
    assert it.get(it.browser(), answer).body == b"fine"
