"""
HTTP/2: a great many streams that are given up in the midst of a load or of a save.
"""

from __future__ import annotations

import os
from random import Random
from typing import Any

import pytest
import pytest_twisted
from scenes import SharedStore, count, gated, look
from test_http2 import Client, connect, pair, turns  # noqa: F401  # a fixture among them

from txsessions.web.request import SessionRequestMixin

STREAMS = 300


def leftBehind(it: Any) -> dict[str, int]:
    """
    What there is of requests that are over, beside sessions that are stored: a stranger's is
    when he left while it was being stored.
    """
    sessions = list(it.site.sessions.values())
    found = {
        "holders": sum(len(session.holders) for session in sessions),
        "not stored": sum(session.sid not in it.memory._records for session in sessions),
        "let go": len(it.site.sessions._letGo),
        "waiting": len(it.store.gates),
        "records of nobody": len(it.memory._records) - len(sessions),
    }
    return {name: number for name, number in found.items() if number}


async def stored(it: Any, client: Client) -> bytes:
    """
    The cookie of a session that is stored.
    """
    stream = client.request(it.page(count))
    await turns()
    it.store.openAll()
    await stream.done
    return pair(stream)


async def resets(it: Any, client: Client, random: Random) -> list[str]:
    """
    Send requests of a visitor and of strangers, and give each up at some moment, while
    the store does now and then what it was asked for.

    @return: What the store was being asked for when streams were given up.
    """
    it.cookie = await stored(it, client)
    paths, begun = [it.page(count), it.page(look)], []
    met: list[str] = []
    for _ in range(STREAMS):
        cookies = random.choice([(it.cookie,), (it.cookie,), ()])
        begun.append(client.request(random.choice(paths), *cookies))
        while begun and random.random() < 0.5:
            met += it.store.names
            client.reset(begun.pop(random.randrange(len(begun))))
        while it.store.gates and random.random() < 0.4:
            random.choice(it.store.gates).open()
    for stream in begun:
        client.reset(stream)
    for _ in range(5):
        it.store.openAll()
        await turns()
    return met


@pytest.mark.parametrize("seed", range(200 if os.environ.get("TXSESSIONS_FUZZ") else 5))
@pytest_twisted.ensureDeferred
async def test_resets(scene: Any, connect: Any, seed: int, record_property: Any) -> None:  # noqa: F811
    """
    Whenever streams are given up, neither holders nor sessions nor operations are left, and the
    session of who comes again is there.
    """
    record_property("figures", f"{STREAMS} streams, seed {seed}")
    it = scene(SharedStore(), wrap=gated)
    client = connect(it)
    met = await resets(it, client, Random(seed))
    assert {"loadSession", "saveSession"} <= set(met)
    assert leftBehind(it) == {}
    assert 1 <= len(it.memory._records) < STREAMS / 3
    stream = client.request(it.page(look), it.cookie)
    await turns()
    it.store.openAll()
    assert int((await stream.done).body) >= 1


@pytest_twisted.ensureDeferred
async def test_control(scene: Any, connect: Any, monkeypatch: Any) -> None:  # noqa: F811
    """
    The test notices requests that do not let go of their sessions.
    """
    monkeypatch.setattr(SessionRequestMixin, "_leaveSessions", lambda self: None)
    it = scene(SharedStore(), wrap=gated)
    kept: list[Any] = []
    monkeypatch.setattr(SessionRequestMixin, "process", keeping(kept))
    await resets(it, connect(it), Random(1))
    assert "holders" in leftBehind(it)


def keeping(kept: list[Any]) -> Any:
    """
    How a request is processed, if somebody keeps it.
    """
    process = SessionRequestMixin.process

    def processAndKeep(self: Any) -> None:
        kept.append(self)
        process(self)

    return processAndKeep
