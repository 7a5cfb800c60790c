"""
The cookies that a browser holds: RFC 6265bis, sections 5.7 and 5.8.

There is no list of public suffixes in here: a C{Domain} without a dot is taken
for one.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import count
from typing import Final

import attrs
from twisted.internet.interfaces import IReactorTime

from .setcookie import SetCookie, parse

LONGEST: Final = 400 * 86400.0
"""
No cookie lives longer, in seconds (5.6.1 and 5.6.2).
"""

_isAddress = re.compile(r"[0-9.]+|\[.*\]").fullmatch


@attrs.frozen
class Location:
    """
    Where a request goes.

    @ivar host: The host as in the C{Host} header, maybe with a port.
    @ivar target: Path and query.
    @ivar isSecure: Whether it goes over HTTPS.
    """

    host: str
    target: bytes
    isSecure: bool

    @property
    def hostname(self) -> str:
        """
        The host without a port, in lower case.  Cookies know no ports.
        """
        return re.sub(r":[0-9]*$", "", self.host).lower()

    @property
    def path(self) -> bytes:
        """
        The target without its query.
        """
        return self.target.partition(b"?")[0]

    @property
    def defaultPath(self) -> bytes:
        """
        The path of a cookie that has none of its own (5.1.4).
        """
        return self.path.rpartition(b"/")[0] or b"/"


@attrs.frozen
class Cookie:
    """
    A cookie as a browser keeps it.

    @ivar name: Its name.
    @ivar value: Its value.
    @ivar domain: The host that set it, or the domain that it is for.
    @ivar isHostOnly: Whether it is sent to that very host only.
    @ivar path: Where it is sent, and below.
    @ivar expiry: When it expires, in seconds since the epoch; C{None}: with
        the browser.
    @ivar isSecure: Whether it is sent over HTTPS only.
    @ivar isHTTPOnly: Whether scripts cannot see it.
    @ivar sameSite: C{"Strict"}, C{"Lax"}, C{"None"} or C{"Default"}.  It is
        noted and no more: all requests of a test come from the same site.
    @ivar order: Counts the cookies of a jar; one that replaces another takes
        its place.
    """

    name: bytes
    value: bytes = attrs.field(repr=False)
    domain: str
    isHostOnly: bool
    path: bytes
    expiry: float | None
    isSecure: bool
    isHTTPOnly: bool
    sameSite: str
    order: int = 0

    @property
    def identity(self) -> tuple[bytes, str, bool, bytes]:
        """
        Cookies that have this in common replace each other.
        """
        return (self.name, self.domain, self.isHostOnly, self.path)


class CookieJar:
    """
    Takes cookies from responses and gives them to requests.

    @ivar clock: By which they expire.
    """

    def __init__(self, clock: IReactorTime) -> None:
        self.clock = clock
        self._cookies: dict[tuple[bytes, str, bool, bytes], Cookie] = {}
        self._order = count()

    def __iter__(self) -> Iterator[Cookie]:
        """
        The cookies that have not expired, in the order in which they came.
        """
        self._evict()
        return iter(sorted(self._cookies.values(), key=lambda cookie: cookie.order))

    def __len__(self) -> int:
        self._evict()
        return len(self._cookies)

    def get(self, name: bytes) -> bytes | None:
        """
        The value of the first cookie of that name; C{None} if there is none.
        """
        return next((cookie.value for cookie in self if cookie.name == name), None)

    def copy(self) -> CookieJar:
        """
        A jar of its own with the same cookies.
        """
        other = CookieJar(self.clock)
        other._cookies = dict(self._cookies)
        other._order = count(1 + max((each.order for each in self._cookies.values()), default=-1))
        return other

    def clear(self) -> None:
        """
        Forget all cookies.
        """
        self._cookies.clear()

    def receive(self, header: bytes, location: Location) -> Cookie | None:
        """
        Take the cookie from one C{Set-Cookie} header.

        @return: The cookie as it is kept, also when that has expired already
            and only deletes another; C{None} if browsers ignore it.
        """
        parsed = parse(header)
        cookie = None if parsed is None else self._cookie(parsed, location)
        if parsed is None or cookie is None or self._isRefused(cookie, parsed, location):
            return None
        old = self._cookies.get(cookie.identity)
        order = next(self._order) if old is None else old.order
        cookie = attrs.evolve(cookie, order=order)
        self._cookies[cookie.identity] = cookie
        self._evict()
        return cookie

    def header(self, location: Location) -> bytes | None:
        """
        The value of the C{Cookie} header of a request; C{None} for none.

        Cookies with longer paths come first, then those that were set first
        (5.8.3, step 2).
        """
        sent = [cookie for cookie in self if _isSent(cookie, location)]
        sent.sort(key=lambda cookie: -len(cookie.path))
        pairs = [c.name + b"=" + c.value if c.name else c.value for c in sent]
        return b"; ".join(pairs) if pairs else None

    def _cookie(self, parsed: SetCookie, location: Location) -> Cookie | None:
        """
        The cookie with its domain, path and expiry; C{None} if its domain is
        not for that host to use (5.7, steps 4 to 9).
        """
        host, domain = location.hostname, parsed.domain
        if domain and "." not in domain:
            if domain != host:
                return None
            domain = ""
        if domain and not domainMatches(host, domain):
            return None
        expiry = parsed.expiry(self.clock.seconds())
        if expiry is not None:
            expiry = min(expiry, self.clock.seconds() + LONGEST)
        return Cookie(
            name=parsed.name,
            value=parsed.value,
            domain=domain or host,
            isHostOnly=not domain,
            path=parsed.path or location.defaultPath,
            expiry=expiry,
            isSecure=parsed.isSecure,
            isHTTPOnly=parsed.isHTTPOnly,
            sameSite=parsed.sameSite,
        )

    def _isRefused(self, cookie: Cookie, parsed: SetCookie, location: Location) -> bool:
        """
        Whether the cookie may not be set from there, or not in this form.
        """
        if not location.isSecure and (cookie.isSecure or self._overlaysSecure(cookie)):
            return True
        if cookie.sameSite == "None" and not cookie.isSecure:
            # All browsers refuse it, though the specification leaves it to them.
            return True
        return not keepsPrefix(cookie, parsed)

    def _overlaysSecure(self, cookie: Cookie) -> bool:
        """
        Whether a cookie from plain HTTP would stand before one that came over
        HTTPS (5.7, step 16).
        """
        return any(
            other.isSecure
            and other.name == cookie.name
            and (
                domainMatches(other.domain, cookie.domain)
                or domainMatches(cookie.domain, other.domain)
            )
            and pathMatches(cookie.path, other.path)
            for other in self
        )

    def _evict(self) -> None:
        """
        Forget what has expired.
        """
        now = self.clock.seconds()
        for identity, cookie in list(self._cookies.items()):
            if cookie.expiry is not None and cookie.expiry <= now:
                del self._cookies[identity]


def keepsPrefix(cookie: Cookie, parsed: SetCookie) -> bool:
    """
    Whether a cookie is what the prefix of its name says (5.7, steps 20 to 22).
    A cookie without a name must not look as if it had one with a prefix.
    """
    name = (cookie.name or cookie.value).lower()
    if not name.startswith((b"__secure-", b"__host-")):
        return True
    if not cookie.name or not cookie.isSecure:
        return False
    if name.startswith(b"__secure-"):
        return True
    return cookie.isHostOnly and parsed.path == b"/"


def domainMatches(host: str, domain: str) -> bool:
    """
    Whether a host is of a domain (5.1.3).
    """
    return host == domain or (host.endswith("." + domain) and _isAddress(host) is None)


def pathMatches(path: bytes, below: bytes) -> bool:
    """
    Whether a path is at or below another one (5.1.4).
    """
    return path == below or (
        path.startswith(below) and (below.endswith(b"/") or path[len(below) :].startswith(b"/"))
    )


def _isSent(cookie: Cookie, location: Location) -> bool:
    """
    Whether a request takes the cookie along (5.8.3, step 1).
    """
    host = location.hostname
    isOfHost = host == cookie.domain if cookie.isHostOnly else domainMatches(host, cookie.domain)
    return (
        isOfHost
        and pathMatches(location.path or b"/", cookie.path)
        and (location.isSecure or not cookie.isSecure)
    )
