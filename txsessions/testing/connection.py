"""
One connection of an in-memory browser: requests, and the responses in their
order.
"""

from __future__ import annotations

from collections import deque
from typing import Any

import attrs
from twisted.internet.defer import Deferred, fail
from twisted.internet.error import ConnectionDone, ConnectionLost
from twisted.internet.interfaces import IAddress
from twisted.python.failure import Failure
from twisted.web.http_headers import Headers

from .response import MalformedResponse, Response, ResponseParser
from .wire import CLIENT, Wire


@attrs.define
class Exchange:
    """
    A request that was sent.

    @ivar parser: Reads its response.
    @ivar answer: Fires with it.
    """

    parser: ResponseParser
    answer: Deferred[Response]


class Connection:
    """
    A connection to a site, on which requests can follow each other
    (keep-alive), and need not wait for each other (pipelining).

    @ivar isSingle: Whether there is one request only, whose response has come
        when the server closes the connection and not before: then it has
        finished the request.
    """

    def __init__(self, site: Any, isSecure: bool, isSingle: bool = False) -> None:
        self.isSingle = isSingle
        self._exchanges: deque[Exchange] = deque()
        self._outcomes: deque[tuple[Deferred[Response], Response | Failure]] = deque()
        self._wire = Wire(isSecure, self._dataReceived, self._settle)
        address: IAddress = CLIENT
        self._wire.connect(site.buildProtocol(address))

    @property
    def isOpen(self) -> bool:
        """
        Whether neither side has closed it.
        """
        return self._wire.lost is None

    @property
    def received(self) -> bytes:
        """
        All bytes that the server has written so far.
        """
        return self._wire.received

    def write(self, data: bytes) -> None:
        """
        Send bytes, and expect nothing: half a request, say.
        """
        self._wire.send(data)

    def send(self, data: bytes, method: bytes = b"GET") -> Deferred[Response]:
        """
        Send the bytes of a request, well-formed or not.

        @param method: Of the request, since a response to C{HEAD} has no body.
        @return: A L{Deferred} that fires with the L{Response}; and fails with
            L{ConnectionDone<twisted.internet.error.ConnectionDone>} or
            L{ConnectionLost<twisted.internet.error.ConnectionLost>} when the
            connection was closed before it was complete, with
            L{MalformedResponse} when it is none, or with what the site's
            protocol has raised.
        """
        if self._wire.lost is not None:
            return fail(self._wire.lost)
        exchange = Exchange(ResponseParser(method), Deferred())
        self._exchanges.append(exchange)
        self._wire.send(data)
        return exchange.answer

    def disconnect(self) -> None:
        """
        Drop the connection, in the middle of whatever goes on.
        """
        self._wire.disconnect(Failure(ConnectionLost()))

    def _dataReceived(self, data: bytes) -> None:
        """
        Read what the server has written.
        """
        while data and self._exchanges:
            exchange = self._exchanges[0]
            try:
                data = exchange.parser.feed(data)
            except MalformedResponse:
                self._wire.disconnect(Failure())
                return
            if not exchange.parser.isComplete:
                return
            self._outcomes.append((self._exchanges.popleft().answer, exchange.parser.result()))

    def _settle(self) -> None:
        """
        Give what is complete to those who wait for it.
        """
        lost = self._wire.lost
        if lost is not None:
            self._end(lost)
        while self._outcomes and (lost is not None or not self.isSingle):
            answer, outcome = self._outcomes.popleft()
            answer.callback(outcome)

    def _end(self, reason: Failure) -> None:
        """
        No more bytes come: that may be the end of a response, and is the end of
        waiting.
        """
        for exchange in self._exchanges:
            outcome: Response | Failure = reason
            if exchange.parser.end(cleanly=reason.check(ConnectionDone) is not None):
                outcome = exchange.parser.result()
            self._outcomes.append((exchange.answer, outcome))
        self._exchanges.clear()


def requestBytes(
    method: bytes, target: bytes, headers: Headers, body: bytes, version: bytes
) -> bytes:
    """
    A request as it goes over the wire (RFC 9112, 2.1).
    """
    lines = [b" ".join([method, target, version])]
    for name, values in headers.getAllRawHeaders():
        lines += [name + b": " + value for value in values]
    return b"\r\n".join([*lines, b"", body])
