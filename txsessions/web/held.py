"""
A response that is held back until what it says is true, and given up if it is not.
"""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Any, Final

from twisted.internet.defer import Deferred
from twisted.internet.error import ConnectionAborted
from twisted.logger import Logger
from twisted.python.failure import Failure
from twisted.web import http, server

from ..errors import SessionError, StoreUnavailable, UnknownKey
from .gate import Gate
from .head import Head

if TYPE_CHECKING:
    _Request = server.Request
else:
    _Request = object

RETRY_AFTER: Final = b"5"
"""
When a browser may try again after a 503, in seconds: a store that was restarted
answers by then.
"""


class HeldResponse(_Request):
    """
    The side of a request that answers: its response waits behind a L{Gate}, when
    there is something to wait for.

    @ivar _isGuarded: Whether nothing may pass before it is true, because a
        session was asked for.
    @ivar _gate: Holds the response back; made when there is something to wait
        for.
    @ivar _head: What the handler has said of the response, while that is held
        back.
    @ivar _isToClose: Whether the handler has asked to close the connection when
        what is held has left.
    @ivar _isRefused: Whether the handler's response was given up, because what
        it says is not true.
    """

    __slots__ = ()

    _log = Logger()
    _isGuarded: bool
    _gate: Gate | None
    _head: Head | None
    _isToClose: bool
    _isRefused: bool

    def write(self, data: bytes) -> None:
        """
        See L{twisted.web.http.Request.write}.
        """
        if not self._isGuarded:
            super().write(data)
            return
        if self._isRefused or self._disconnected:
            return
        gate = self._gate
        if gate is not None and gate.isFinishing:
            raise RuntimeError("Request.write called on a request after Request.finish was called.")
        if isinstance(data, str):
            raise TypeError("Request.write takes bytes, and not str")
        waiting = self._pendingCommit() if gate is None else None
        if waiting is not None:
            gate = self._wait(waiting)
        if gate is None:
            self.passWrite(data)
        else:
            # Whoever wrote a bytearray may use it again while it is held.
            gate.write(bytes(data))

    def finish(self) -> None:
        """
        See L{twisted.web.http.Request.finish}.
        """
        if self._isRefused:
            return
        if not self._isGuarded or self._disconnected:
            self._leaveSessions()
            super().finish()
            return
        gate = self._gate
        waiting = self._pendingCommit() if gate is None else None
        if waiting is not None:
            gate = self._wait(waiting)
        if gate is None:
            self.passFinish()
        elif gate.isFinishing:
            warnings.warn("Warning! request.finish called twice.", stacklevel=2)
        else:
            gate.finish()

    def registerProducer(self, producer: Any, streaming: bool) -> None:
        """
        See L{twisted.web.http.Request.registerProducer}.
        """
        gate = self._gate
        if self._isShut:
            producer.stopProducing()
            return
        if gate is None or not gate.isHolding or self.producer is not None:
            super().registerProducer(producer, streaming)
            return
        self.producer = producer
        self.streamingProducer = streaming
        if streaming:
            producer.pauseProducing()

    def unregisterProducer(self) -> None:
        """
        See L{twisted.web.http.Request.unregisterProducer}.
        """
        if self._isShut or (self._gate is not None and self._gate.isHolding):
            self.producer = None
        else:
            super().unregisterProducer()

    def loseConnection(self) -> None:
        """
        See L{twisted.web.http.Request.loseConnection}.  What was written before
        leaves before.
        """
        if self._gate is not None and self._gate.isHolding:
            self._isToClose = True
        else:
            super().loseConnection()

    @property
    def _isShut(self) -> bool:
        """
        Whether nothing of the response passes ever again.
        """
        return self._isGuarded and (self._isRefused or self._disconnected)

    def _wait(self, waiting: Deferred[None]) -> Gate:
        """
        The gate behind which the response waits until it is true.
        """
        self._gate = Gate(self, self._pendingCommit, self._notSaved, waiting)
        return self._gate

    # What follows is for the gate.

    def passWrite(self, data: bytes) -> None:
        """
        Really write.  Where no body is to follow (RFC 9110, 6.4.1) the headers
        have said all.
        """
        if self._head is not None:
            self._restoreHead()
        if not self.startedWriting:
            self._settle()
        elif self.method == b"HEAD" or self.code in http.NO_BODY_CODES:
            return
        super().write(data)

    def passFinish(self) -> None:
        """
        Really finish.
        """
        if self._head is not None:
            self._restoreHead()
        if not self.startedWriting:
            self._settle()
        self._gate = None
        self._isGuarded = False
        self._leaveSessions()
        channel = self.channel
        super().finish()
        if self._isToClose and not hasattr(channel, "abortConnection"):
            channel.loseConnection()

    def holdBack(self) -> None:
        """
        The handler may say nothing more of the headers, just as if they had
        left; and its producer rests.
        """
        if not self.startedWriting:
            self._head = Head(self)
            self.startedWriting = 1
        if self.producer is not None:
            self.channel.unregisterProducer()
            if self.streamingProducer:
                self.producer.pauseProducing()

    def goOn(self) -> None:
        """
        Let the handler go on.
        """
        if self._isToClose:
            super().loseConnection()
        elif self.producer is not None:
            self.channel.registerProducer(self.producer, self.streamingProducer)
            if self.streamingProducer:
                self.producer.resumeProducing()

    def goneWrong(self, failure: Failure) -> None:
        """
        The response failed in a way that nobody has thought of.
        """
        self._log.failure("A request failed.", failure)
        if not self._disconnected and not self.finished:
            super().loseConnection()

    def _answerFailure(self, failure: Failure) -> None:
        """
        Answer with an error, and with nothing of what the handler has said.
        """
        if failure.check(SessionError):
            self._log.error("A session could not be used: {error}", error=failure.value)
        else:
            self._log.failure("A session could not be used.", failure)
        self._shut()
        self._clearResponse()
        if isTemporary(failure):
            self.setResponseCode(http.SERVICE_UNAVAILABLE)
            self.setHeader(b"Retry-After", RETRY_AFTER)
            body = b"The service is unavailable for a moment. Please try again.\n"
        else:
            self.setResponseCode(http.INTERNAL_SERVER_ERROR)
            body = b"The request could not be processed.\n"
        self.setHeader(b"Content-Type", b"text/plain; charset=utf-8")
        self.setHeader(b"Cache-Control", b"no-store")
        self.setHeader(b"Content-Length", b"%d" % len(body))
        super().write(body)
        super().finish()

    def _shut(self) -> None:
        """
        Let nothing of the handler's response pass any more.
        """
        self._isGuarded = self._isRefused = True
        if self._gate is not None:
            self._gate.shut()
        self.channel.unregisterProducer()
        self._stopProducer()
        self._leaveSessions()

    def _stopProducer(self) -> None:
        """
        Let the producer produce nothing any more.
        """
        producer, self.producer = self.producer, None
        if producer is not None:
            producer.stopProducing()

    def _cutOff(self) -> None:
        """
        End the connection so that the client sees that the response is not
        whole.
        """
        transport: Any = self.transport
        isDelimited = self.chunked or self.responseHeaders.hasHeader(b"content-length")
        if hasattr(self.channel, "abortConnection"):
            # A stream of HTTP/2: to lose it would end the response properly.
            self.channel.abortConnection()
            self.connectionLost(Failure(ConnectionAborted()))
        elif isDelimited:
            self.loseConnection()
        else:
            transport.abortConnection()

    def _restoreHead(self) -> None:
        """
        Make the headers what they were when the response was held back.
        """
        if self._head is not None:
            head, self._head = self._head, None
            head.restore(self)
            self.startedWriting = 0

    def _clearResponse(self) -> None:
        """
        Take back what the handler has said.
        """
        for name, _ in list(self.responseHeaders.getAllRawHeaders()):
            if name.lower() not in (b"server", b"date", b"connection"):
                self.responseHeaders.removeHeader(name)
        self.cookies.clear()
        self.etag = None
        self.lastModified = None
        self._encoder = None
        if self._inFakeHead:
            self.method, self._inFakeHead = b"HEAD", False

    # What follows is done by the side of the request that has sessions.

    def _pendingCommit(self) -> Deferred[None] | None:
        """
        Begin to make true what the response says.

        @return: What to wait for, if anything.
        """
        raise NotImplementedError

    def _notSaved(self, failure: Failure) -> None:
        """
        What the response says is not true.
        """
        raise NotImplementedError

    def _settle(self) -> None:
        """
        The headers leave.
        """
        raise NotImplementedError

    def _leaveSessions(self) -> None:
        """
        The request is done.
        """
        raise NotImplementedError


def isTemporary(failure: Failure) -> bool:
    """
    Whether the same request may succeed in a while.
    """
    return failure.check(StoreUnavailable, UnknownKey) is not None
