"""
A browser without a network: it drives any L{twisted.web.server.Site}, keeps its
cookies as browsers do, and opens no socket::

    browser = Browser(site)
    response = await browser.post("/login", {"user": "anna"})
    assert response.code == 200
    ...
    browser.close()
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any, Final, TypeAlias
from urllib.parse import urlencode, urljoin, urlsplit

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.web.http_headers import Headers
from twisted.web.server import Site

from .connection import Connection, requestBytes
from .cookiejar import CookieJar, Location
from .response import Response

Text: TypeAlias = str | bytes
HeaderLike: TypeAlias = Headers | Mapping[Text, Text | Sequence[Text]]
Form: TypeAlias = bytes | Mapping[str, str] | Sequence[tuple[str, str]]

REDIRECTS: Final = frozenset({301, 302, 303, 307, 308})

MAXIMUM_REDIRECTS: Final = 20
"""
Browsers give up after as many.
"""


class TooManyRedirects(Exception):
    """
    A site sends the browser in circles.
    """


class Requester:
    """
    The short forms of requests.
    """

    @abstractmethod
    def request(
        self,
        method: Text,
        path: Text,
        body: bytes = b"",
        headers: HeaderLike | None = None,
        *,
        version: bytes = b"HTTP/1.1",
    ) -> Deferred[Response]:
        """
        Send a request.

        @param method: Such as C{"GET"}.
        @param path: Path and query, sent as they are; or a whole URL that
            begins with C{http://} or C{https://}.
        @param body: The body.
        @param headers: Further headers, by name; a value may be a list of
            values.  They replace the browser's own: C{Host}, C{Cookie},
            C{Content-Length}.
        @param version: Of the protocol.
        @return: A L{Deferred} that fires with the L{Response}; and fails as
            L{Connection.send} says.
        """

    def get(
        self, path: Text, headers: HeaderLike | None = None, **options: Any
    ) -> Deferred[Response]:
        """
        Send a C{GET} request.

        @param options: See L{request}, and so for all that is returned.
        """
        return self.request("GET", path, headers=headers, **options)

    def post(
        self, path: Text, data: Form = b"", headers: HeaderLike | None = None, **options: Any
    ) -> Deferred[Response]:
        """
        Send a C{POST} request.

        @param data: The body, or the fields of a form.
        @param options: See L{request}, and so for all that is returned.
        """
        merged = asHeaders(headers)
        if not isinstance(data, bytes):
            data = urlencode(data).encode("ascii")
            if not merged.hasHeader(b"content-type"):
                merged.setRawHeaders(b"content-type", [b"application/x-www-form-urlencoded"])
        return self.request("POST", path, data, merged, **options)


class BrowserConnection(Connection, Requester):
    """
    A connection of a browser, with its cookies.
    """

    def __init__(self, browser: Browser, isSecure: bool, isSingle: bool = False) -> None:
        self._browser = browser
        self._isSecure = isSecure
        super().__init__(browser.site, isSecure, isSingle)

    def request(
        self,
        method: Text,
        path: Text,
        body: bytes = b"",
        headers: HeaderLike | None = None,
        *,
        version: bytes = b"HTTP/1.1",
    ) -> Deferred[Response]:
        """
        See L{Requester.request}.  The request need not wait for the responses
        to earlier ones.
        """
        location = self._browser.locate(path, self._isSecure)
        method = asBytes(method)
        merged = self._browser.headersFor(location, method, body, headers)
        if self.isSingle:
            merged.setRawHeaders(b"connection", [b"close"])
        answer = self.send(requestBytes(method, location.target, merged, body, version), method)
        return answer.addCallback(self._browser.keepCookies, location)


class Browser(Requester):
    """
    A browser in memory.

    It starts its site (C{site.doStart()}, which calls C{startFactory()} for the
    first of several browsers) as listening on a port would, and L{close} stops
    it again.

    A request gets a connection of its own, which it asks the server to close
    afterwards, so that any number can run at the same time; L{connect} gives
    one for several requests.

    When nothing on the way has to wait, the Deferred of a response has fired
    already when it is returned.  Otherwise it fires as soon as the server is
    done, be it in the middle of somebody's C{clock.advance()}.

    @ivar site: The site.
    @ivar isSecure: Whether requests are made over HTTPS, unless their URL says
        otherwise.  May be changed at any time.
    @ivar host: The host that they are made to.
    @ivar cookies: The L{CookieJar}.  Browsers may share one.
    """

    def __init__(
        self,
        site: Site,
        clock: IReactorTime | None = None,
        secure: bool = False,
        host: str = "localhost",
        cookies: CookieJar | None = None,
    ) -> None:
        """
        @param site: The site.
        @param clock: By which cookies expire; the site's if none is given.
        @param secure: See C{isSecure}.
        """
        self.site = site
        self.isSecure = secure
        self.host = host
        if cookies is None:
            cookies = CookieJar(site.reactor if clock is None else clock)
        self.cookies = cookies
        self._connections: list[Connection] = []
        self._isClosed = False
        site.doStart()

    def connect(self) -> BrowserConnection:
        """
        A connection on which requests can follow each other.
        """
        return self._connect(self.isSecure, isSingle=False)

    def request(
        self,
        method: Text,
        path: Text,
        body: bytes = b"",
        headers: HeaderLike | None = None,
        *,
        version: bytes = b"HTTP/1.1",
        follow: bool = False,
    ) -> Deferred[Response]:
        """
        See L{Requester.request}.

        @param follow: Whether to follow redirects, and answer with the first
            response that is none.  Then it may also fail with
            L{TooManyRedirects}.
        """
        if follow:
            return Deferred.fromCoroutine(self._follow(method, path, body, headers, version))
        isSecure = self.locate(path, self.isSecure).isSecure
        connection = self._connect(isSecure, isSingle=True)
        return connection.request(method, path, body, headers, version=version)

    async def _follow(
        self, method: Text, path: Text, body: bytes, headers: HeaderLike | None, version: bytes
    ) -> Response:
        """
        Follow redirects as browsers do (RFC 9110, 15.4): after 303, and by old
        custom after 301 and 302 to a C{POST}, with a C{GET}.
        """
        headers = asHeaders(headers)
        location = self.locate(path, self.isSecure)
        for _ in range(MAXIMUM_REDIRECTS + 1):
            url = urlOf(location)
            response = await self.request(method, url, body, headers, version=version)
            targets = response.headers.getRawHeaders(b"location")
            if response.code not in REDIRECTS or not targets:
                return response
            isPost = asBytes(method) == b"POST"
            if response.code == 303 or (isPost and response.code in (301, 302)):
                method, body = "HEAD" if asBytes(method) == b"HEAD" else "GET", b""
                headers.removeHeader(b"content-type")
            url = urljoin(url, targets[-1].decode("latin-1"))
            location = self.locate(url, location.isSecure)
        raise TooManyRedirects(f"the site redirected the browser {MAXIMUM_REDIRECTS} times")

    def close(self) -> None:
        """
        Drop all connections and stop the site (C{site.doStop()}).  A second
        call does nothing.
        """
        if not self._isClosed:
            self._isClosed = True
            for connection in self._connections:
                connection.disconnect()
            self.site.doStop()

    def locate(self, path: Text, isSecure: bool) -> Location:
        """
        Where a request for that path, or that URL, goes.
        """
        path = asBytes(path)
        if not path.startswith((b"http://", b"https://")):
            return Location(self.host, path, isSecure)
        parts = urlsplit(path.decode("latin-1"))
        target = parts._replace(scheme="", netloc="", fragment="").geturl() or "/"
        return Location(parts.netloc, target.encode("latin-1"), parts.scheme == "https")

    def headersFor(
        self, location: Location, method: bytes, body: bytes, headers: HeaderLike | None
    ) -> Headers:
        """
        The headers of a request.
        """
        merged = Headers({b"host": [location.host.encode("ascii")]})
        cookie = self.cookies.header(location)
        if cookie is not None:
            merged.setRawHeaders(b"cookie", [cookie])
        if body or method in (b"POST", b"PUT"):
            merged.setRawHeaders(b"content-length", [b"%d" % len(body)])
        for name, values in asHeaders(headers).getAllRawHeaders():
            merged.setRawHeaders(name, values)
        return merged

    def keepCookies(self, response: Response, location: Location) -> Response:
        """
        Take the cookies of a response.
        """
        for header in response.headers.getRawHeaders(b"set-cookie", []):
            self.cookies.receive(header, location)
        return response

    def _connect(self, isSecure: bool, isSingle: bool) -> BrowserConnection:
        """
        A new connection, which L{close} will find.
        """
        self._connections = [c for c in self._connections if c.isOpen]
        connection = BrowserConnection(self, isSecure, isSingle)
        self._connections.append(connection)
        return connection


def asBytes(text: Text) -> bytes:
    """
    Text of a request as bytes.
    """
    return text if isinstance(text, bytes) else text.encode("ascii")


def asHeaders(headers: HeaderLike | None) -> Headers:
    """
    Headers of their own, from whatever form they were given in.
    """
    if isinstance(headers, Headers):
        return headers.copy()
    merged = Headers()
    for name, value in (headers or {}).items():
        values = [value] if isinstance(value, str | bytes) else value
        for each in values:
            merged.addRawHeader(asBytes(name), asBytes(each))
    return merged


def urlOf(location: Location) -> str:
    """
    A location as a URL.
    """
    scheme = "https" if location.isSecure else "http"
    return f"{scheme}://{location.host}{location.target.decode('latin-1')}"
