"""
What holds a store to its server.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from functools import partial
from typing import Any, ClassVar

from twisted.internet.defer import Deferred, DeferredList
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger

from ...given import positive
from ...redis.client import TIMEOUT
from ...redis.errors import ServerError
from ...redis.interfaces import IRedis
from ..servertime import ServerTime
from .admission import PATIENCE, Admission
from .checks import check
from .handle import Handle
from .journal import Journal
from .keys import Bucket, Keys
from .lines import Lines
from .notices import Notices
from .operations import Operations
from .owners import Owners
from .place import placeOf
from .refusal import refused
from .scripts import Scripts
from .survey import Survey
from .sweep import Sweep


class ConnectedStore:
    """
    Opens what a store needs of its server, and closes it.

    @ivar clock: See L{ISessionStore<txsessions.interfaces.ISessionStore>}.
    @ivar _place: Which Redis it is.
    @ivar _time: The server's time.
    @ivar _handle: The hold on the server.
    @ivar _lines: The sessions that log in.
    @ivar _logIns: The same by their owners.
    @ivar _notices: What is heard of endings.
    @ivar _groups: The buckets, together with those that one script can work
        on: all of them on one server, each alone on a Cluster.
    """

    _log = Logger()
    _scripts: ClassVar[Scripts] = Scripts()

    def __init__(
        self,
        host: str = "127.0.0.1",
        reactor: Any = None,
        clock: IReactorTime | None = None,
        *,
        prefix: str = "txsessions",
        timeout: float = TIMEOUT,
        **parameters: Any,
    ) -> None:
        """
        @param host: The server, by its name or address.
        @param reactor: The reactor; C{None}: the global one.
        @param prefix: How the names of all keys begin, after a brace; tells
            the sessions of one application from those of another.
        @param timeout: How long an operation may take, in seconds.
        @param parameters: C{port}; C{path} of a Unix socket in place of host
            and port; C{db}, the number of the database; C{user} and
            C{password}; C{tls=True} for a server whose certificate an
            authority of this machine has signed, or C{authority}, a file with
            the certificates of others; C{certificate} and C{key}, files with
            our own; C{serverName}, if it is not the host.  C{sentinels}, a
            list of C{"host:port"}, with the name of the C{master},
            C{sentinelUser} and C{sentinelPassword}; or C{nodes}, a list of
            some nodes of a Cluster.
        @raise ValueError: They do not go together.
        """
        self.clock = clock
        self._reactor = reactor
        self._timeout = positive("timeout", timeout)
        self._place = placeOf(host=host, **parameters)
        self._keys = Keys(prefix)
        self._time = ServerTime(lambda: self.clock)
        self._handle = Handle(self._connect, self._compare, self._time, lambda: self.clock)
        self._lines = Lines()
        self._logIns = Lines()
        self._notices = Notices(self._keys.channel, self._listen, self._getReactor)
        buckets = self._keys.buckets
        isCluster = bool(self._place.nodes)
        self._groups = [[bucket] for bucket in buckets] if isCluster else [buckets]
        fenceOf = _itself if isCluster else lambda _: buckets[0]
        self._operations = Operations(self._keys, self._scripts, self._time, fenceOf)

    def __repr__(self) -> str:
        return f"<RedisStore in {self._place}>"

    def setup(self) -> Deferred[None]:
        """
        See L{ISessionStoreAdministration.setup}.  Nothing has to be made; it
        looks whether the server is one where sessions can be kept.
        """
        return self._work(self._check)

    def close(self) -> Deferred[None]:
        """
        See L{IConnectedStore.close}.
        """
        closing = [self._notices.close(), self._handle.close()]
        return DeferredList(closing).addCallback(lambda _: None)

    async def _check(self, client: IRedis) -> None:
        """
        Look whether sessions can be kept there.
        """
        try:
            infos = await client.everywhere("INFO")
        except ServerError as e:
            if e.code != "NOPERM":
                raise
            self._log.warn("{place} could not be checked: {error}", place=self._place, error=e)
            return
        check(infos, bool(self._place.nodes), self._place)

    def _ready(self, sid: str) -> IRedis | None:
        """
        The client, if an operation on a session may go to it at once, and makes
        of errors what they mean by itself; C{None}: it goes through L{_ask}.
        """
        return None if sid in self._lines.open else self._handle.ready()

    def _ask(self, sid: str, operation: Callable[[IRedis], Deferred[Any]]) -> Deferred[Any]:
        """
        Carry out an operation of one step on one session.
        """
        if sid in self._lines.open:
            line = self._lines.run(sid, lambda: self._handle.perform(operation))
            return line.addErrback(refused)
        return self._handle.perform(operation).addErrback(refused)

    def _work(self, steps: Callable[[IRedis], Coroutine[Any, Any, Any]]) -> Deferred[Any]:
        """
        Carry out an operation of several steps.
        """
        return self._handle.work(steps).addErrback(refused)

    def _sweep(self, client: IRedis) -> Sweep:
        """
        What ends the sessions that have expired.
        """
        damaged = partial(self._operations.foundDamaged, client)
        return Sweep(client, self._scripts, self._groups, self._time, damaged)

    def _survey(self, client: IRedis) -> Survey:
        """
        What looks at many sessions.
        """
        damaged = partial(self._operations.foundDamaged, client)
        return Survey(
            client,
            self._scripts,
            self._keys,
            groups=self._groups,
            time=self._time,
            damaged=damaged,
        )

    def _owners(self, client: IRedis) -> Owners:
        """
        What ends the sessions of owners.
        """
        damaged = partial(self._operations.foundDamaged, client)
        return Owners(client, self._scripts, self._groups, self._time, damaged)

    def _admission(self, client: IRedis) -> Admission:
        """
        What lets one session in.
        """
        return Admission(
            client,
            self._scripts,
            self._keys,
            operations=self._operations,
            survey=self._survey(client),
            reactor=self._getReactor(),
        )

    def _patience(self) -> float:
        """
        Until when a log-in that begins now may take, on the reactor's clock.
        """
        return float(self._getReactor().seconds()) + PATIENCE

    def _journal(self, client: IRedis) -> Journal:
        """
        What holds on to endings.
        """
        return Journal(client, self._scripts, self._keys, self._groups, self._time)

    def _connect(self) -> IRedis:
        """
        A client, for the first operation.
        """
        return self._place.connect(self._getReactor(), self._scripts.all(), self._timeout)

    def _listen(self) -> IRedis:
        """
        A client for what is heard of endings.
        """
        return self._place.connect(self._getReactor(), (), self._timeout)

    def _getReactor(self) -> Any:
        """
        The reactor, when it is needed.
        """
        if self._reactor is None:
            from twisted.internet import reactor

            self._reactor = reactor
        return self._reactor

    def _compare(self, client: IRedis) -> Deferred[None]:
        """
        Compare the server's time with the clock.
        """
        before = self._time.now()
        asked = client.script(self._scripts.now, [self._keys.buckets[0].deadlines], [])
        return asked.addCallback(
            lambda reply: self._time.compare(before, float(reply), self._time.now())
        )


def _itself(bucket: Bucket) -> Bucket:
    """
    The same one.
    """
    return bucket
