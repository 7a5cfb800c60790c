"""
Which Redis it is.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import attrs

from ...redis.address import TLS, Access, Address
from ...redis.client import Client
from ...redis.cluster import ClusterClient
from ...redis.interfaces import IRedis
from ...redis.locator import Fixed
from ...redis.script import Script
from ...redis.sentinel import Sentinels

MAXIMUM_WAITING: Final = 5000
"""
How many commands may wait.  A sweep or a search takes as many as there are
buckets on a Cluster.
"""

PORT: Final = 6379
SENTINEL_PORT: Final = 26379
MAXIMUM_PORT: Final = 65535


@attrs.frozen
class Place:
    """
    One server, the master behind Sentinels, or a Cluster.

    @ivar address: The one server.
    @ivar access: How one gets in.
    @ivar sentinels: Where the Sentinels are.
    @ivar master: By which name they know the master.
    @ivar sentinelAccess: How one gets in at the Sentinels.
    @ivar nodes: Some nodes of the Cluster.
    """

    address: Address
    access: Access
    sentinels: Sequence[Address] = ()
    master: str = ""
    sentinelAccess: Access = attrs.field(factory=Access)
    nodes: Sequence[Address] = ()

    def __str__(self) -> str:
        """
        As people call it; no password.
        """
        if self.nodes:
            return f"the Redis Cluster of {self.nodes[0]}"
        if self.sentinels:
            return f"the Redis master {self.master!r} by the Sentinel {self.sentinels[0]}"
        return f"Redis at {self.address}, database {self.access.database}"

    def connect(self, reactor: Any, scripts: Sequence[Script], timeout: float) -> IRedis:
        """
        A client, which does not connect yet.
        """
        options: dict[str, Any] = {
            "access": self.access,
            "scripts": scripts,
            "timeout": timeout,
            "maximumWaiting": MAXIMUM_WAITING,
        }
        if self.nodes:
            return ClusterClient(reactor, self.nodes, **options)
        if self.sentinels:
            access = self.sentinelAccess
            sentinels = Sentinels(reactor, self.sentinels, self.master, access=access)
            return Client(reactor, sentinels, **options)
        return Client(reactor, Fixed(self.address), **options)


def placeOf(
    *,
    host: str = "127.0.0.1",
    port: int = PORT,
    path: str | None = None,
    db: int = 0,
    user: str | None = None,
    password: str | None = None,
    tls: bool | str = False,
    authority: str | None = None,
    certificate: str | None = None,
    key: str | None = None,
    serverName: str | None = None,
    sentinels: Sequence[str] | str = (),
    master: str = "mymaster",
    sentinelUser: str | None = None,
    sentinelPassword: str | None = None,
    nodes: Sequence[str] | str = (),
) -> Place:
    """
    Which Redis these parameters of L{RedisStore<txsessions.stores.redis.RedisStore>}
    mean.

    @raise ValueError: They do not go together.
    """
    protection = None
    _checkNumbers(port, db)
    if not host or any(map(str.isspace, host)):
        # It is not repeated: what comes after a space may be a password.
        raise ValueError("host is one name or address; colons part it from what comes next")
    if key is not None and certificate is None:
        raise ValueError("a key needs its certificate")
    if isTrue(tls) or authority or certificate or serverName:
        protection = TLS(authority, certificate, key, serverName)
    access = Access(user, password, db, protection)
    place = Place(
        Address(host, port, path),
        access,
        parseAddresses(sentinels, SENTINEL_PORT),
        master,
        attrs.evolve(access, user=sentinelUser, password=sentinelPassword, database=0),
        parseAddresses(nodes, PORT),
    )
    if place.nodes and place.sentinels:
        raise ValueError("give the nodes of a Cluster or the Sentinels of a master, not both")
    if place.nodes and db:
        raise ValueError("a Redis Cluster has no database but 0")
    if path is not None and (protection or place.nodes or place.sentinels):
        raise ValueError("a Unix socket leads to one server, without TLS")
    return place


def _checkNumbers(port: object, db: object = 0) -> None:
    """
    Refuse what no server can have, which would look like a server that is down.

    @raise ValueError: It is that.
    """
    if type(port) is not int or not 0 < port <= MAXIMUM_PORT:
        raise ValueError(f"port is a number from 1 to {MAXIMUM_PORT}")
    if type(db) is not int or db < 0:
        raise ValueError("db is the number of a database, 0 or more")


def isTrue(value: bool | str) -> bool:
    """
    Whether a parameter, perhaps from a text, says yes.

    @raise ValueError: It says neither yes nor no.
    """
    if isinstance(value, bool):
        return value
    if value.lower() not in ("yes", "no", "true", "false", "on", "off", "1", "0"):
        raise ValueError("tls is yes or no")
    return value.lower() in ("yes", "true", "on", "1")


def parseAddresses(text: Sequence[str] | str, port: int) -> tuple[Address, ...]:
    """
    Addresses C{"host:port"}, C{"host"} or C{"[host]:port"}, as a list or with
    commas in between.

    @param port: The port of those that name none.
    @raise ValueError: One has another form.
    """
    texts = text.split(",") if isinstance(text, str) else text
    return tuple(_parseAddress(each.strip(), port) for each in texts if each.strip())


def _parseAddress(text: str, port: int) -> Address:
    """
    One address.
    """
    host, isThere, digits = text.rpartition(":")
    if text.endswith("]") or not isThere:
        host, digits = text, str(port)
    if not host or not digits.isdecimal() or (":" in host and not host.startswith("[")):
        raise ValueError("an address is written host:port, or [host]:port for IPv6")
    _checkNumbers(int(digits))
    return Address(host.strip("[]"), int(digits))
