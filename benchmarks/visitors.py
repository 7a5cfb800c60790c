"""
Visitors over plain sockets: they begin sessions faster than a browser would, and look
whether those count.
"""

from __future__ import annotations

import re
import selectors
import socket
from collections.abc import Iterator, Sequence

TOGETHER = 16

NUMBER = re.compile(rb"#(\d+)")


class Connection:
    """
    A connection that asks again and again.
    """

    def __init__(self, port: int) -> None:
        self._port = port
        self._socket: socket.socket | None = None
        self._answer = b""

    def ask(self, cookie: str | None) -> int:
        """
        Send a request.

        @return: The descriptor at which the response will arrive.
        """
        if self._socket is None:
            self._socket = socket.create_connection(("127.0.0.1", self._port), 30)
        header = f"Cookie: {cookie}\r\n" if cookie else ""
        self._answer = b""
        self._socket.sendall(f"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\n{header}\r\n".encode())
        return self._socket.fileno()

    def read(self) -> tuple[bytes, bytes] | None:
        """
        Read what has arrived.

        @return: The head and the body, when all is here.
        """
        assert self._socket is not None
        data = self._socket.recv(65536)
        self._answer += data
        head, separator, body = self._answer.partition(b"\r\n\r\n")
        length = re.search(rb"(?i)\r\ncontent-length: *(\d+)", head)
        whole = bool(separator) and (
            len(body) >= int(length[1]) if length else body.endswith(b"0\r\n\r\n")
        )
        if not data or (whole and re.search(rb"(?i)\r\nconnection: *close", head)):
            self.close()
            whole = whole or (bool(separator) and length is None)
            if not whole:
                raise RuntimeError("the server has closed a connection before its response")
        return (head, body) if whole else None

    def close(self) -> None:
        """
        Close it.
        """
        if self._socket is not None:
            self._socket.close()
            self._socket = None


def begin(port: int, count: int, together: int = TOGETHER) -> list[str]:
    """
    Begin so many sessions, some at a time.

    @return: Their cookies, as a browser sends them.
    """
    return [_cookie(head) for head, _ in _asked(port, [None] * count, together)]


def counted(port: int, cookies: Sequence[str]) -> int:
    """
    The sum of what some sessions have counted.
    """
    found = [NUMBER.search(body) for _, body in _asked(port, cookies, 1)]
    return sum(int(each[1]) for each in found if each)


def _cookie(head: bytes) -> str:
    """
    The cookies that a response sets.
    """
    if not head.startswith(b"HTTP/1.1 200 "):
        status, _, _ = head.decode("latin-1").partition("\r\n")
        raise RuntimeError(f"the server says {status}")
    values = re.findall(rb"(?i)\r\nset-cookie: *([^;\r]*)", head)
    return "; ".join(value.decode() for value in values) or "none=0"


def _asked(
    port: int, cookies: Sequence[str | None], together: int
) -> Iterator[tuple[bytes, bytes]]:
    """
    The responses to requests with these cookies, as they arrive.
    """
    left = iter(cookies)
    with selectors.DefaultSelector() as selector:
        for _, cookie in zip(range(together), left, strict=False):
            connection = Connection(port)
            selector.register(connection.ask(cookie), selectors.EVENT_READ, connection)
        while selector.get_map():
            for key, _ in selector.select():
                answer = key.data.read()
                if answer is None:
                    continue
                yield answer
                selector.unregister(key.fd)
                cookie = next(left, "")
                if cookie == "":
                    key.data.close()
                else:
                    selector.register(key.data.ask(cookie), selectors.EVENT_READ, key.data)
