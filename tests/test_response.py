"""
Responses are read from their bytes, however these arrive.
"""

from __future__ import annotations

import pytest

from txsessions.testing.response import MalformedResponse, ResponseParser

OK = b"HTTP/1.1 200 OK\r\n"

COMPLETE = [
    (b"GET", OK + b"Content-Length: 5\r\n\r\nhello", 200, b"hello"),
    (b"GET", OK + b"content-length:0\r\n\r\n", 200, b""),
    (b"GET", OK + b"Content-Length: 2\r\nContent-Length: 2\r\n\r\nab", 200, b"ab"),
    (b"GET", OK + b"Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n", 200, b"hello"),
    (
        b"GET",
        OK + b"Transfer-Encoding: Chunked\r\n\r\nA;x=y\r\n0123456789\r\n"
        b"1\r\n\n\r\n000\r\nTrailer: t\r\n\r\n",
        200,
        b"0123456789\n",
    ),
    (b"HEAD", OK + b"Content-Length: 5\r\n\r\n", 200, b""),
    (b"HEAD", OK + b"Transfer-Encoding: chunked\r\n\r\n", 200, b""),
    (b"GET", b"HTTP/1.1 204 No Content\r\n\r\n", 204, b""),
    (b"GET", b"HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\n", 304, b""),
    (b"GET", b"HTTP/1.1 100 Continue\r\n\r\n" + OK + b"Content-Length: 1\r\n\r\na", 200, b"a"),
    (b"GET", b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\n\r\n", 101, b""),
    (b"GET", b"HTTP/1.1 302\r\nContent-Length: 0\r\n\r\n", 302, b""),
]
"""
Methods of requests, responses, and what they say.
"""


@pytest.mark.parametrize(("method", "data", "code", "body"), COMPLETE)
def test_complete(method, data, code, body):
    """
    A response is complete with its last byte and not before, wherever it is cut.
    """
    for cut in range(len(data) + 1):
        parser = ResponseParser(method)
        rest = parser.feed(data[:cut])
        assert (rest, parser.isComplete) == (b"", cut == len(data))
        if not parser.isComplete:
            assert parser.feed(data[cut:] + b"HTTP/1.1 next") == b"HTTP/1.1 next"
        response = parser.result()
        assert (response.code, response.body) == (code, body)


@pytest.mark.parametrize(("method", "data", "code", "body"), COMPLETE)
def test_bytewise(method, data, code, body):
    """
    A response may come byte by byte.
    """
    parser = ResponseParser(method)
    for number in range(len(data)):
        assert not parser.isComplete
        assert parser.feed(data[number : number + 1]) == b""
    assert (parser.result().code, parser.result().body) == (code, body)


def test_untilClosed():
    """
    A response without a length ends where the server closes the connection.
    """
    parser = ResponseParser(b"GET")
    parser.feed(b"HTTP/1.0 200 OK\r\nA: b\r\n\r\n")
    parser.feed(b"hel")
    parser.feed(b"lo")
    assert not parser.isComplete
    assert parser.end(cleanly=True)
    assert parser.result().body == b"hello"
    assert parser.result().version == b"HTTP/1.0"


def test_notClosedCleanly():
    """
    A response without a length is not complete when the connection broke.
    """
    parser = ResponseParser(b"GET")
    parser.feed(OK + b"\r\nhel")
    assert not parser.end(cleanly=False)
    with pytest.raises(ValueError, match="not complete"):
        parser.result()


@pytest.mark.parametrize(
    "data",
    [
        b"",
        OK,
        OK + b"Content-Length: 5\r\n\r\nhell",
        OK + b"Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n",
        OK + b"Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n",
        b"HTTP/1.1 100 Continue\r\n\r\n",
    ],
)
def test_cutOff(data):
    """
    A response that is cut off is not complete, however the connection was closed.
    """
    for cleanly in (True, False):
        parser = ResponseParser(b"GET")
        parser.feed(data)
        assert not parser.end(cleanly=cleanly)


@pytest.mark.parametrize(
    "data",
    [
        b"hello\r\n",
        b"HTTP/2 200 OK\r\n",
        b"HTTP/1.1 20 OK\r\n",
        b"HTTP/1.1 2xx OK\r\n",
        OK + b"no colon\r\n",
        OK + b": no name\r\n",
        OK + b"A : b\r\n",
        OK + b"Content-Length: -1\r\n\r\n",
        OK + b"Content-Length: 1\r\nContent-Length: 2\r\n\r\n",
        OK + b"Transfer-Encoding: gzip\r\n\r\n",
        OK + b"Transfer-Encoding: chunked\r\n\r\nx\r\n",
        OK + b"Transfer-Encoding: chunked\r\n\r\n2\r\nabc\r\n",
    ],
)
def test_malformed(data):
    """
    What is no response is refused.
    """
    with pytest.raises(MalformedResponse):
        ResponseParser(b"GET").feed(data)


def test_cookies():
    """
    A response tells the cookies that it sets, in their order, and no value in its repr.
    """
    parser = ResponseParser(b"HEAD")
    parser.feed(OK + b"Set-Cookie: a=secret; Path=/\r\nset-cookie: b=2; HttpOnly\r\n\r\n")
    response = parser.result()
    assert [(cookie.name, cookie.value) for cookie in response.cookies] == [
        (b"a", b"secret"),
        (b"b", b"2"),
    ]
    assert response.headers.getRawHeaders("Set-Cookie") == [
        "a=secret; Path=/",
        "b=2; HttpOnly",
    ]
    assert "secret" not in repr(response)
