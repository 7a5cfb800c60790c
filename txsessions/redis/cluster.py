"""
A client of a Cluster.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from random import random as randomNumber
from typing import Any, Final

from twisted.internet.defer import Deferred, DeferredList
from twisted.internet.task import deferLater
from twisted.python.failure import Failure
from zope.interface import implementer

from .address import Access, Address
from .call import Call
from .client import MAXIMUM_WAITING, TIMEOUT, Client
from .connection import Answer
from .errors import NotSent, OutcomeUnknown, QueueFull, RedisError, ServerError, TooManyDetours
from .interfaces import IRedis
from .locator import Fixed
from .nodes import Nodes
from .script import Script
from .slots import parseRedirection
from .subscriber import Subscriber
from .wire import ASKING, pack

MAXIMUM_DETOURS: Final = 10
"""
How often one command is sent elsewhere.  Two are usual while a slot moves.
"""

DIRECT_DETOURS: Final = 2
"""
How often a command is sent elsewhere at once.
"""

PAUSE: Final = 0.05
"""
How long to wait before a command is tried again when its keys are being moved,
in seconds, for each time that it was.
"""

REFRESHING: Final = frozenset({"MOVED", "CLUSTERDOWN", "MASTERDOWN", "LOADING", "READONLY"})
"""
The codes of error replies that say that the map is old.
"""


@implementer(IRedis)
class ClusterClient:
    """
    Sends each command to the node that has its key.

    Commands on one key stay in order: while one of them is on a detour, later
    ones wait.

    @ivar timeout: See L{IRedis}.
    """

    def __init__(
        self,
        reactor: Any,
        seeds: Sequence[Address],
        *,
        access: Access = Access(),  # noqa: B008 - it is frozen
        scripts: Sequence[Script] = (),
        timeout: float = TIMEOUT,
        maximumWaiting: int = MAXIMUM_WAITING,
        random: Callable[[], float] = randomNumber,
    ) -> None:
        """
        @param reactor: The reactor.
        @param seeds: Some nodes, to ask for the others.
        @param access: How one gets in, at each node.
        @param scripts: The scripts that L{script} may be asked to run.
        @param timeout: How long a command, or an attempt to connect, may take,
            in seconds.
        @param maximumWaiting: How many commands may wait.
        @param random: Gives a number from 0 to 1.
        """
        self.timeout = timeout
        self._reactor = reactor
        self._access = access
        self._scripts = scripts
        self._maximumWaiting = maximumWaiting
        self._random = random
        self._nodes = Nodes(reactor, seeds, self._connect, timeout, random)
        self._subscriber = Subscriber(reactor, self._nodes, access, timeout, random=random)
        self._lines: dict[str | bytes, deque[Call]] = {}
        self._count = 0
        self._closing: list[Deferred[None]] | None = None

    def execute(
        self,
        key: str | bytes,
        *command: str | bytes | int | float,
        answer: Answer | None = None,
    ) -> Deferred[Any]:
        """
        See L{IRedis.execute}.
        """
        return self._call(key, pack(command), False, answer or Answer())

    def script(
        self,
        script: Script,
        keys: Sequence[str | bytes],
        args: Sequence[str | bytes | int | float],
        answer: Answer | None = None,
    ) -> Deferred[Any]:
        """
        See L{IRedis.script}.
        """
        return self._call(keys[0], script.pack(keys, args), True, answer or Answer())

    def everywhere(self, *command: str | bytes | int | float) -> Deferred[list[Any]]:
        """
        See L{IRedis.everywhere}.
        """
        return Deferred.fromCoroutine(self._everywhere(command))

    def subscribe(
        self,
        channel: bytes,
        callback: Callable[[bytes], object],
        established: Callable[[], object] | None = None,
    ) -> Deferred[None]:
        """
        See L{IRedis.subscribe}.
        """
        return self._subscriber.subscribe(channel, callback, established)

    def close(self) -> Deferred[None]:
        """
        See L{IRedis.close}.
        """
        closed: Deferred[None] = Deferred()
        if self._closing is not None:
            self._closing.append(closed)
            return closed
        self._closing = [closed]
        if not self._lines:
            self._drained()
        return closed

    def _connect(self, address: Address) -> Client:
        """
        A client of one node.
        """
        return Client(
            self._reactor,
            Fixed(address),
            access=self._access,
            scripts=self._scripts,
            timeout=self.timeout,
            maximumWaiting=self._maximumWaiting,
            random=self._random,
        )

    async def _everywhere(self, command: tuple[str | bytes | int | float, ...]) -> list[Any]:
        """
        The reply of each master.
        """
        addresses = await self._nodes.known()
        asked = [self._nodes.client(address).execute(b"", *command) for address in addresses]
        results = await DeferredList(asked, consumeErrors=True)
        for succeeded, reply in results:
            if not succeeded:
                raise reply.value
        return [reply for _, reply in results]

    def _call(
        self, key: str | bytes, packed: bytes, isScript: bool, answer: Answer
    ) -> Deferred[Any]:
        """
        Send a command, or let it wait for those on the same key.
        """
        answer.deadline = self._reactor.seconds() + self.timeout
        call = Call(key, packed, isScript, answer)
        if self._closing is not None:
            answer.failed(NotSent("the Redis client is being closed"))
        elif self._count >= self._maximumWaiting:
            answer.failed(QueueFull(f"{self._count} commands wait for Redis already"))
        else:
            self._count += 1
            self._queue(call)
        return answer

    def _queue(self, call: Call) -> None:
        """
        Put a command into the line of its key, and send it if it can follow
        the one before it on the same connection.
        """
        line = self._lines.get(call.key)
        if line is None:
            self._lines[call.key] = deque((call,))
            self._send(call)
            return
        before = line[-1]
        line.append(call)
        if before.isDirect and before.node == self._nodes.masters[call.slot]:
            self._send(call)

    def _send(self, call: Call) -> None:
        """
        Send a command to the node that has its key.
        """
        call.isWaiting = False
        address = self._nodes.masters[call.slot]
        call.isDirect = address is not None
        if address is None:
            self._nodes.refresh().addCallback(lambda _: self._sendMapped(call))
        else:
            self._transmit(call, address)

    def _sendMapped(self, call: Call) -> None:
        """
        Send a command to the node that has its key, if the map tells now.
        """
        address = self._nodes.masters[call.slot]
        if address is None:
            self._fail(call, self._nodes.missing(call.slot))
        else:
            self._transmit(call, address)

    def _transmit(self, call: Call, address: Address) -> None:
        """
        Send a command to a node.
        """
        call.node = address
        sent = Answer()
        sent.deadline = call.answer.deadline
        sent.script = call.packed if call.isScript else None
        sent.addCallbacks(self._answered, self._refused, (call,), {}, (call,))
        self._nodes.client(address).send(call.packed, sent)

    def _answered(self, reply: Any, call: Call) -> None:
        """
        A reply has come.
        """
        self._leave(call)
        if not call.answer.called:
            call.answer.replied(reply)

    def _fail(self, call: Call, error: Exception) -> None:
        """
        No reply will come.
        """
        self._leave(call)
        if not call.answer.called:
            call.answer.failed(error)

    def _leave(self, call: Call) -> None:
        """
        Take a command out of its line; the next one may go.
        """
        self._count -= 1
        line = self._lines[call.key]
        line.remove(call)
        if not line:
            del self._lines[call.key]
            if self._closing is not None and not self._lines:
                self._drained()
        elif line[0].isWaiting:
            self._send(line[0])

    def _drained(self) -> None:
        """
        Nothing is under way any more: close the connections.
        """
        closing = DeferredList([self._subscriber.close(), self._nodes.close()])
        closing.addCallback(lambda _: self._closed())

    def _closed(self) -> None:
        """
        Tell all who wait for the end.
        """
        closers, self._closing = self._closing or [], None
        for closed in closers:
            closed.callback(None)

    def _refused(self, failure: Failure, call: Call) -> None:
        """
        A node did not carry the command out, or said nothing.
        """
        call.isDirect = False
        error: Any = failure.value
        detour = self._detour(error)
        if detour is None:
            self._fail(call, error)
        elif self._lines[call.key][0] is not call:
            call.isWaiting = True
        elif call.detours == MAXIMUM_DETOURS:
            self._fail(call, TooManyDetours(f"no node of {call.detours} took the command"))
        elif self._reactor.seconds() >= call.answer.deadline:
            self._fail(call, NotSent(f"no node took the command within {self.timeout:g} s"))
        else:
            call.detours += 1
            detour(call, error)

    def _detour(self, error: Exception) -> Callable[[Call, Any], None] | None:
        """
        What to do about an error; C{None}: tell the caller.
        """
        if isinstance(error, ServerError):
            if error.code in REFRESHING:
                self._nodes.refresh()
            # Of the latter some of the keys have been moved, and some have not.
            return {"MOVED": self._moved, "ASK": self._ask, "TRYAGAIN": self._pause}.get(error.code)
        if isinstance(error, OutcomeUnknown):
            self._nodes.refresh()
        if isinstance(error, NotSent) and not isinstance(error, QueueFull):
            return self._reroute
        return None

    def _moved(self, call: Call, error: ServerError) -> None:
        """
        The slot has another master.
        """
        assert call.node is not None
        address = parseRedirection(str(error), call.node)
        self._nodes.masters[call.slot] = address
        if call.detours <= DIRECT_DETOURS:
            self._transmit(call, address)
        else:
            # The nodes do not agree yet.
            self._pause(call)

    def _ask(self, call: Call, error: ServerError) -> None:
        """
        The key has been moved already, its slot has not.
        """
        assert call.node is not None
        address = parseRedirection(str(error), call.node)
        asking = Answer()
        asking.deadline = call.answer.deadline
        asking.addErrback(lambda f: f.trap(RedisError))
        self._nodes.client(address).send(ASKING, asking)
        self._transmit(call, address)

    def _pause(self, call: Call, error: object = None) -> None:
        """
        Send a command again in a while, longer each time.
        """
        deferLater(self._reactor, PAUSE * call.detours, self._send, call)

    def _reroute(self, call: Call, error: NotSent) -> None:
        """
        The node is down.  Perhaps another one has the slot by now; otherwise
        nobody waits for it.
        """

        def refreshed(result: None) -> None:
            if self._nodes.masters[call.slot] in (None, call.node):
                self._fail(call, error)
            else:
                self._send(call)

        self._nodes.refresh().addCallback(refreshed)
