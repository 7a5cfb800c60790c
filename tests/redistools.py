"""
What the tests of stores on Redis have in common.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any
from uuid import uuid4

from servers import RedisServer, until
from twisted.internet.defer import Deferred, DeferredList

from txsessions.errors import StoreUnavailable
from txsessions.record import Record
from txsessions.stores.redis import RedisStore
from txsessions.stores.redisserver.keys import Keys

KEYS = Keys("txsessions")


def newRecord(**facts: Any) -> Record:
    """
    A record of a session that begins now.
    """
    now = time.time()
    usual = {"created": now, "lastModified": now, "sessionTimeout": 1800.0}
    return Record(**{"sid": uuid4().hex, "verifier": b"v" * 32, **usual, **facts})


def keyOf(sid: str) -> bytes:
    """
    The key of a record.
    """
    return KEYS.bucket(sid).record(sid)


async def givesUp(operation: Deferred[Any]) -> Any:
    """
    The error that an operation fails with.
    """
    [(succeeded, result)] = await DeferredList([operation], consumeErrors=True)
    assert not succeeded, result
    return result.value


async def back(store: RedisStore) -> None:
    """
    Wait until the store answers again.
    """

    async def answers() -> bool:
        try:
            return await store.hasSession("0" * 32) is False
        except StoreUnavailable:
            return False

    await until(answers, "the store answers again")


DAMAGES: dict[str, Callable[[RedisServer, bytes], object]] = {
    "another type": lambda server, key: server.ask("SET", key, "x"),
    "no verifier": lambda server, key: server.ask("HDEL", key, "d"),
    "no number": lambda server, key: server.ask("HSET", key, "m", "yesterday"),
    "NaN": lambda server, key: server.ask("HSET", key, "c", "nan"),
    "hexadecimal": lambda server, key: server.ask("HSET", key, "i", "0x10"),
    "no text": lambda server, key: server.ask("HSET", key, "o", b"\xff\xfe"),
    "no version": lambda server, key: server.ask("HSET", key, "v", "1.5"),
    "attributes alone": lambda server, key: server.ask("HDEL", key, *"vdcmiao"),
}


def spoil(server: RedisServer, key: bytes, damage: str) -> None:
    """
    Damage a record.
    """
    if damage == "another type":
        server.ask("DEL", key)
    DAMAGES[damage](server, key)
