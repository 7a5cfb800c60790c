"""
Tests for L{txsessions.stores.redisserver.place}: which Redis some parameters mean.
"""

from __future__ import annotations

from typing import Any

import pytest
from twisted.internet.task import Clock

from txsessions.redis.address import Address
from txsessions.redis.client import Client
from txsessions.redis.cluster import ClusterClient
from txsessions.stores import openStore
from txsessions.stores.redis import RedisStore
from txsessions.stores.redisserver.place import isTrue, parseAddresses, placeOf

SECRET = "hunter2-is-secret"


@pytest.mark.parametrize(
    ("text", "addresses"),
    [
        ("", ()),
        ("a", (Address("a", 9),)),
        ("a:1, b ,", (Address("a", 1), Address("b", 9))),
        (["a:1", "[::1]:2", "[::1]"], (Address("a", 1), Address("::1", 2), Address("::1", 9))),
    ],
)
def test_addresses(text: Any, addresses: Any) -> None:
    """
    Addresses are written as a list or with commas, with ports or without.
    """
    assert parseAddresses(text, 9) == addresses


@pytest.mark.parametrize("text", ["a:b", ":1", "::1", "::1:2", "a:"])
def test_wrongAddresses(text: str) -> None:
    """
    What is no address is refused, with the form that it should have.
    """
    with pytest.raises(ValueError, match="host:port"):
        parseAddresses(text, 9)


@pytest.mark.parametrize(
    "parameters",
    [
        {"nodes": "a", "sentinels": "b"},
        {"nodes": "a", "db": 1},
        {"path": "/a", "tls": True},
        {"path": "/a", "nodes": "a"},
        {"tls": "perhaps"},
        {"key": "/a"},
        {"port": 0},
        {"port": 65536},
        {"port": "6379"},
        {"db": -1},
        {"db": "x"},
        {"nodes": "a:65536"},
        {"host": ""},
        {"host": f"db password={SECRET}"},
    ],
)
def test_whatDoesNotGoTogether(parameters: dict[str, Any]) -> None:
    """
    Parameters that do not go together are refused before anything is connected.
    """
    with pytest.raises(ValueError) as caught:
        placeOf(**parameters)
    assert SECRET not in str(caught.value)


def test_together() -> None:
    """
    What was written without colons in between is not taken for a host, which all logs would
    show with the password in it.
    """
    with pytest.raises(ValueError, match="colons") as caught:
        openStore(f"redis:host=db user=web password={SECRET}")
    assert SECRET not in str(caught.value)


@pytest.mark.parametrize("timeout", [0, -1, "2", None])
def test_timeout(timeout: Any) -> None:
    """
    A time-out that would let no operation answer is refused at once.
    """
    with pytest.raises(ValueError, match="timeout is a number of seconds above 0"):
        RedisStore(timeout=timeout)


@pytest.mark.parametrize(
    ("parameters", "kind", "text"),
    [
        ({}, Client, "Redis at 127.0.0.1:6379, database 0"),
        ({"path": "/a", "db": 2}, Client, "Redis at unix:/a, database 2"),
        ({"sentinels": "a"}, Client, "the Redis master 'mymaster' by the Sentinel a:26379"),
        ({"nodes": ["a", "b:2"]}, ClusterClient, "the Redis Cluster of a:6379"),
    ],
)
def test_kinds(parameters: dict[str, Any], kind: type, text: str) -> None:
    """
    One server, a master behind Sentinels and a Cluster are told apart, and none shows its
    password.
    """
    given = {**parameters, "password": SECRET, "sentinelPassword": SECRET}
    store = RedisStore(**given)
    assert repr(store) == f"<RedisStore in {text}>"
    place = placeOf(**given)
    assert SECRET not in repr(place)
    client = place.connect(Clock(), [], 1.0)
    assert type(client) is kind
    assert SECRET not in repr(client)


def test_TLS() -> None:
    """
    Any parameter of TLS asks for TLS, in texts too.
    """
    assert placeOf().access.tls is None
    for parameters in ({"tls": True}, {"tls": "yes"}, {"authority": "/a"}, {"serverName": "a"}):
        assert placeOf(**parameters).access.tls is not None
    assert [isTrue(text) for text in ("yes", "No", "on", "0")] == [True, False, True, False]
