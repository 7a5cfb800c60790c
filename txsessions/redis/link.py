"""
A link: one connection to one server, made again whenever it is lost.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from twisted.internet.defer import CancelledError, Deferred, DeferredList, succeed
from twisted.internet.error import ConnectingCancelledError
from twisted.internet.interfaces import IDelayedCall
from twisted.logger import Logger
from twisted.python.failure import Failure

from .address import Access, Address
from .backoff import delay
from .connection import Connection, ConnectionFactory
from .errors import FORBIDDEN, AccessRefused, NotSent, ServerError
from .interfaces import ILocator

Commands = Sequence[tuple[str | bytes | int, ...]]


class Link:
    """
    Keeps one connection up.

    A connection counts as up when the server has answered what was said first
    on it; that is the one probe which is let through while a server is down.
    When an attempt fails, or the server does not answer, the link is in
    trouble until an attempt succeeds; the next attempt waits longer and
    longer.  A connection that worked and was closed is made again at once,
    which is no trouble yet.

    @ivar connection: The connection that is up, or C{None}.
    @ivar address: Where the present connection, or the last one, leads;
        C{None} before the first.
    @ivar trouble: Why there is no connection; C{None} while there is one, or
        while the first attempt to make it is under way.
    """

    _log = Logger()

    def __init__(
        self,
        reactor: Any,
        locator: ILocator,
        access: Access,
        timeout: float,
        *,
        connect: Callable[[], Connection],
        greeting: Commands,
        up: Callable[[Any], None],
        down: Callable[[NotSent | None], None],
        random: Callable[[], float],
    ) -> None:
        """
        @param timeout: How long an attempt may take, in seconds.
        @param connect: Makes a new L{Connection}, whose C{lost} is this link's
            L{lost}.
        @param greeting: Further commands to begin each connection with.
        @param up: Called with each connection that is ready for use.
        @param down: Called when there is none any more: with the trouble, or
            with C{None} when it is being made again at once.
        @param random: Gives a number from 0 to 1.
        """
        self.connection: Connection | None = None
        self.address: Address | None = None
        self.trouble: NotSent | None = None
        self._reactor = reactor
        self._locator = locator
        self._access = access
        self._timeout = timeout
        self._connect = connect
        self._greeting = greeting
        self._up = up
        self._down = down
        self._random = random
        self._isRunning = False
        self._failures = 0
        self._attempting: Deferred[Any] | None = None
        self._retrying: IDelayedCall | None = None

    def start(self) -> None:
        """
        Keep a connection up from now on.
        """
        if not self._isRunning:
            self._isRunning = True
            self.trouble = None
            self._failures = 0
            self._locator.follow(self._seen)
            self._try()

    def stop(self) -> Deferred[None]:
        """
        Close the connection and make no other.

        @return: A L{Deferred} that fires with L{None} when it is closed.
        """
        if not self._isRunning:
            return succeed(None)
        self._isRunning = False
        self.trouble = None
        return Deferred.fromCoroutine(self._stop())

    def drop(self, trouble: NotSent) -> None:
        """
        Give up the present connection.
        """
        connection, self.connection = self.connection, None
        if connection is not None:
            connection.abort()
            self._failed(trouble, connection.isProven)

    def lost(self, connection: Connection) -> None:
        """
        A connection has ended.
        """
        if connection is not self.connection:
            return
        self.connection = None
        if not self._isRunning:
            self._down(None)
        elif connection.isProven:
            self._again()
        else:
            self._failed(NotSent(f"Redis at {self.address} closed the connection"), False)

    async def _stop(self) -> None:
        """
        Close whatever is open.
        """
        if self._retrying is not None:
            self._retrying.cancel()
            self._retrying = None
        if self._attempting is not None:
            self._attempting.cancel()
        connection = self.connection
        if connection is not None:
            connection.hangUp()
            # A server that hangs does not take part in an orderly end.
            force = self._reactor.callLater(self._timeout, connection.abort)
            await connection.closed
            if force.active():
                force.cancel()
        await self._locator.unfollow(self._seen)

    def _again(self) -> None:
        """
        Make the connection anew at once.
        """
        self._failures = 0
        self._down(None)
        self._try()

    def _seen(self, address: Address) -> None:
        """
        The server has been seen there.
        """
        if not self._isRunning or address == self.address:
            return
        if self._retrying is not None:
            self._retrying.cancel()
            self._try()
        elif self.connection is not None:
            self._log.info("Redis has moved to {address}", address=address)
            connection, self.connection = self.connection, None
            connection.abort()
            self._again()

    def _try(self) -> None:
        """
        Begin an attempt.
        """
        self._retrying = None
        attempt = Deferred.fromCoroutine(self._attempt())
        self._attempting = attempt
        attempt.addTimeout(self._timeout, self._reactor)
        attempt.addCallback(self._attempted)
        attempt.addErrback(lambda f: self._log.failure("A connection could not be used", failure=f))

    async def _attempt(self) -> Connection | NotSent:
        """
        Make a connection that is ready for use, or find out why there is none.

        That is no exception, because those who are told of it would run while
        it is handled, and Twisted 24.7 takes it for theirs.
        """
        try:
            return await self._reach()
        except Exception as e:
            return self._explain(e)

    async def _reach(self) -> Connection:
        """
        Find the server, connect, and say what is to be said first.
        """
        address = await self._locator.locate()
        self.address = address
        connection = self._connect()
        endpoint = self._access.endpoint(self._reactor, address)
        await endpoint.connect(ConnectionFactory(connection))
        try:
            await self._greet(connection)
        except BaseException:
            # Also an attempt that is cancelled leaves no connection behind.
            connection.abort()
            raise
        connection.isProven = False
        return connection

    async def _greet(self, connection: Connection) -> None:
        """
        Say what is to be said first, all at once, and read the answers.
        """
        deadline = self._reactor.seconds() + self._timeout
        said = [*self._access.commands(), *self._greeting]
        said.append(("ROLE",) if self._locator.expectsMaster else ("PING",))
        answers = [connection.ask(deadline, *command) for command in said]
        replies = await DeferredList(answers, consumeErrors=True)
        role = replies.pop()[1]
        for succeeded, reply in replies:
            if not succeeded:
                raise reply.value
        self._checkRole(role)

    def _checkRole(self, role: Any) -> None:
        """
        Look at the last answer of the greeting.
        """
        expectsMaster = self._locator.expectsMaster
        refusal = role.value if isinstance(role, Failure) else None
        if refusal is not None:
            if expectsMaster or not _isForbidden(refusal):
                raise refusal
        elif expectsMaster and role[0] != b"master":
            raise NotSent(f"Redis at {self.address} is no master")

    def _attempted(self, result: Connection | NotSent) -> None:
        """
        An attempt has ended.
        """
        self._attempting = None
        if isinstance(result, NotSent):
            if self._isRunning:
                self._failed(result, False)
        elif self._isRunning:
            self._succeeded(result)
        else:
            result.abort()

    def _succeeded(self, connection: Connection) -> None:
        """
        A connection is ready for use.
        """
        if self.trouble is not None:
            self._log.info("Redis at {address} answers again", address=self.address)
        self.trouble = None
        self.connection = connection
        self._up(connection)

    def _explain(self, error: Exception) -> NotSent:
        """
        Why an attempt failed, in one line.
        """
        if isinstance(error, NotSent):
            return error
        where = "Redis" if self.address is None else f"Redis at {self.address}"
        if isinstance(error, ServerError):
            kind = AccessRefused if error.code in FORBIDDEN else NotSent
            return kind(f"{where} refuses: {error}")
        if isinstance(error, CancelledError | ConnectingCancelledError):
            return NotSent(f"{where} did not answer within {self._timeout:g} s")
        return NotSent(f"{where} cannot be reached: {error}")

    def _failed(self, trouble: NotSent, wasProven: bool) -> None:
        """
        Be in trouble, and try again later.
        """
        if self.trouble is None:
            self._log.warn("{trouble}; trying again", trouble=str(trouble))
        self.trouble = trouble
        self._failures = 1 if wasProven else self._failures + 1
        self._retrying = self._reactor.callLater(delay(self._failures, self._random), self._try)
        self._down(trouble)


def _isForbidden(error: BaseException) -> bool:
    """
    Whether a server that lives has answered a user who may not ask.
    """
    return isinstance(error, ServerError) and error.code == "NOPERM"
