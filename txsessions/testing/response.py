"""
Responses, read from the bytes that a server writes.
"""

from __future__ import annotations

from collections.abc import Generator, Sequence
from typing import TypeAlias

import attrs
from twisted.web.http_headers import Headers

from .setcookie import SetCookie, parse

Parsing: TypeAlias = Generator[None, None, "Response"]


class MalformedResponse(Exception):
    """
    What a server wrote is no HTTP response.
    """


@attrs.frozen
class Response:
    """
    What a server answered.

    @ivar code: The status, an L{int}.
    @ivar headers: The headers.
    @ivar body: The body, without the coding of the transfer.
    @ivar phrase: The words after the status.
    @ivar version: C{b"HTTP/1.1"} or C{b"HTTP/1.0"}.
    @ivar cookies: The cookies that it sets, whether the browser took them or
        not.
    """

    code: int
    headers: Headers = attrs.field(repr=False)
    body: bytes
    phrase: bytes = b""
    version: bytes = b"HTTP/1.1"
    cookies: Sequence[SetCookie] = attrs.field(init=False)

    @cookies.default
    def _cookies(self) -> Sequence[SetCookie]:
        """
        The cookies in the headers.
        """
        parsed = map(parse, self.headers.getRawHeaders(b"set-cookie", []))
        return tuple(cookie for cookie in parsed if cookie is not None)


class ResponseParser:
    """
    Reads one response, as its bytes come.
    """

    def __init__(self, method: bytes) -> None:
        """
        @param method: That of the request.  Not every response has a body.
        """
        self._complete: Response | None = None
        self._method = method
        self._buffer = bytearray()
        self._isEnded = False
        self._parsing = self._response()

    def feed(self, data: bytes) -> bytes:
        """
        Read on.

        @return: What came behind the response.
        @raise MalformedResponse: This is no response.
        """
        self._buffer += data
        self._advance()
        if self._complete is None:
            return b""
        rest = bytes(self._buffer)
        self._buffer.clear()
        return rest

    def end(self, cleanly: bool) -> bool:
        """
        No more bytes come.

        @param cleanly: Whether the server has closed the connection, which
            completes some responses.
        @return: Whether the response is complete.
        """
        self._isEnded = cleanly
        self._advance()
        return self.isComplete

    @property
    def isComplete(self) -> bool:
        """
        Whether the whole response has come.
        """
        return self._complete is not None

    def result(self) -> Response:
        """
        The response, when it is complete.
        """
        if self._complete is None:
            raise ValueError("the response is not complete")
        return self._complete

    def _advance(self) -> None:
        """
        Parse as far as the bytes go.
        """
        if self._complete is None:
            try:
                next(self._parsing)
            except StopIteration as complete:
                self._complete = complete.value

    def _response(self) -> Parsing:
        """
        Parse a response behind any number of interim ones.
        """
        while True:
            version, code, phrase = parseStatus((yield from self._line()))
            headers = yield from self._headers()
            if not 100 <= code < 200 or code == 101:
                break
        body = yield from self._body(code, headers)
        return Response(code, headers, body, phrase, version)

    def _body(self, code: int, headers: Headers) -> Generator[None, None, bytes]:
        """
        The body: there is none, or it has one of three forms (RFC 9112, 6.3).
        """
        if self._method == b"HEAD" or code in (101, 204, 304):
            return b""
        coding = headers.getRawHeaders(b"transfer-encoding")
        if coding is not None:
            if [value.lower() for value in coding] != [b"chunked"]:
                raise MalformedResponse("a transfer coding other than chunked")
            return (yield from self._chunks())
        lengths = set(headers.getRawHeaders(b"content-length", []))
        if not lengths:
            return (yield from self._untilClosed())
        if len(lengths) > 1 or not lengths.copy().pop().isdigit():
            raise MalformedResponse("a Content-Length that is no number")
        return (yield from self._take(int(lengths.pop())))

    def _chunks(self) -> Generator[None, None, bytes]:
        """
        A body in chunks (RFC 9112, 7.1), and the trailers behind it.
        """
        body = b""
        while True:
            line = yield from self._line()
            try:
                length = int(line.partition(b";")[0].strip(), 16)
            except ValueError:
                raise MalformedResponse("a chunk without a length") from None
            if length == 0:
                yield from self._headers()
                return body
            body += yield from self._take(length)
            if (yield from self._line()) != b"":
                raise MalformedResponse("a chunk that is longer than it says")

    def _untilClosed(self) -> Generator[None, None, bytes]:
        """
        All that comes until the connection is closed.
        """
        while not self._isEnded:
            yield
        return (yield from self._take(len(self._buffer)))

    def _headers(self) -> Generator[None, None, Headers]:
        """
        Headers, and the empty line behind them.
        """
        headers = Headers()
        while line := (yield from self._line()):
            name, colon, value = line.partition(b":")
            if not colon or not name or name != name.strip():
                raise MalformedResponse("a header without a name")
            headers.addRawHeader(name, value.strip(b" \t"))
        return headers

    def _line(self) -> Generator[None, None, bytes]:
        """
        A line, without its end.
        """
        while (length := self._buffer.find(b"\r\n")) < 0:
            yield
        line = yield from self._take(length)
        yield from self._take(2)
        return line

    def _take(self, length: int) -> Generator[None, None, bytes]:
        """
        So many bytes.
        """
        while len(self._buffer) < length:
            yield
        taken = bytes(self._buffer[:length])
        del self._buffer[:length]
        return taken


def parseStatus(line: bytes) -> tuple[bytes, int, bytes]:
    """
    Version, status and words of a status line.
    """
    version, _, rest = line.partition(b" ")
    code, _, phrase = rest.partition(b" ")
    if not version.startswith(b"HTTP/1.") or len(code) != 3 or not code.isdigit():
        raise MalformedResponse("the status line is none")
    return version, int(code), phrase
