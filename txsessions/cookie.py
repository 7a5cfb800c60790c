"""
The session's cookie: under which name and with which attributes it is set, and
how it is found among the cookies of a request.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from typing import Final

import attrs

from .token import INSECURE, SECURE

MAXIMUM_PAIR: Final = 4096
"""
Bytes of name and value together (RFC 6265bis, 5.6).
"""

MAXIMUM_ATTRIBUTE: Final = 1024
"""
Bytes of one attribute's value (RFC 6265bis, 5.6).
"""

MAXIMUM_CANDIDATES: Final = 2
"""
How many cookies of the session's name in one request are tried: an honest
browser sends a second one where an older one was set for another path.
"""

BLANKS: Final = b" \t"

_isToken = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+").fullmatch
_isPath = re.compile(r"/[\x20-\x3a\x3c-\x7e]*").fullmatch
_isDomain = re.compile(r"\.?[0-9A-Za-z-]+(\.[0-9A-Za-z-]+)*").fullmatch
_isCookieValue = re.compile(rb"[\x21\x23-\x2b\x2d-\x3a\x3c-\x5b\x5d-\x7e]+").fullmatch

_PREFIXES: Final = ("", "__Secure-", "__Host-")
_SAME_SITE: Final = {"strict": b"Strict", "lax": b"Lax", "none": b"None"}


@attrs.frozen(kw_only=True)
class SessionCookie:
    """
    The policy of a site's session cookies.

    There are two cookies, because a session that is used over HTTPS must not
    be opened by a token that travelled over plain HTTP.  Contradictions raise
    C{ValueError} here, and not at the first response.

    @ivar name: The name of the cookie for plain HTTP.  As in stock Twisted by
        default.
    @ivar secureName: The name of the one for HTTPS, without the prefix; by
        default C{TWISTED_SECURE_SESSION}, or for another C{name} that with
        C{_SECURE} behind it.
    @ivar path: For which paths it is sent.
    @ivar domain: For which domain and its subdomains it is sent; C{None}: for
        the host alone.
    @ivar sameSite: C{"lax"}, C{"strict"} or C{"none"}; the latter needs
        C{secure="always"}.
    @ivar httpOnly: Whether scripts may not read it.
    @ivar secure: Which requests count as HTTPS: C{"auto"}, those that are;
        C{"always"}, all of them, for a site behind a proxy that ends TLS;
        C{"never"}, none, which is for development.
    @ivar prefix: C{"__Host-"}, C{"__Secure-"} or C{""}: begins the name of the
        cookie for HTTPS (RFC 6265bis, 4.1.3).
    @ivar partitioned: Whether it is kept apart for each top-level site; needs
        C{secure="always"}.
    @ivar names: The names of the cookies, by audience.
    @ivar maxAge: How long the browser keeps it, in seconds from the moment the
        session began or got a new token; C{None}: until it is closed.  That is
        for the browser only: the session ends by its own time-outs.
    """

    name: str = "TWISTED_SESSION"
    secureName: str = attrs.field()
    path: str = "/"
    domain: str | None = None
    sameSite: str = "lax"
    httpOnly: bool = True
    secure: str = "auto"
    prefix: str = ""
    partitioned: bool = False
    maxAge: int | None = None
    names: dict[bytes, bytes] = attrs.field(init=False, repr=False, eq=False)
    _tails: dict[bytes, bytes] = attrs.field(init=False, repr=False, eq=False)
    _audiences: dict[bytes, bytes] = attrs.field(init=False, repr=False, eq=False)
    _findPairs: Callable[[bytes], list[tuple[bytes, bytes]]] = attrs.field(
        init=False, repr=False, eq=False
    )

    @secureName.default
    def _defaultSecureName(self) -> str:
        """
        As stock Twisted derives it.
        """
        return "TWISTED_SECURE_SESSION" if self.name == "TWISTED_SESSION" else f"{self.name}_SECURE"

    @names.default
    def _makeNames(self) -> dict[bytes, bytes]:
        """
        The names of the cookies, by audience.
        """
        return {
            INSECURE: self.name.encode("ascii", "replace"),
            SECURE: (self.prefix + self.secureName).encode("ascii", "replace"),
        }

    @_tails.default
    def _makeTails(self) -> dict[bytes, bytes]:
        """
        What follows the value of a cookie, by audience.
        """
        return {audience: self._tail(audience) for audience in (INSECURE, SECURE)}

    @_audiences.default
    def _makeAudiences(self) -> dict[bytes, bytes]:
        """
        The audiences of the cookies, by name.
        """
        return {name: audience for audience, name in self.names.items()}

    @_findPairs.default
    def _makeFinder(self) -> Callable[[bytes], list[tuple[bytes, bytes]]]:
        """
        What finds the cookies of either name in a header.
        """
        return _finder(self.names.values())

    def __attrs_post_init__(self) -> None:
        self._checkForms()
        self._checkContradictions()

    def audience(self, isSecure: bool) -> bytes:
        """
        For whom the session of a request is.

        @param isSecure: Whether the request came over HTTPS.
        """
        if self.secure == "auto":
            return SECURE if isSecure else INSECURE
        return SECURE if self.secure == "always" else INSECURE

    def nameFor(self, audience: bytes, sitePath: Sequence[bytes] = ()) -> bytes:
        """
        The name of the cookie.

        @param sitePath: C{request.sitepath}, which sets apart the sites of
            L{twisted.web.distrib} as in stock Twisted.
        """
        name = self.names[audience]
        return b"_".join([name, *sitePath]) if sitePath else name

    def tokensIn(self, headers: Sequence[bytes]) -> list[tuple[bytes, list[bytes]]]:
        """
        The audiences of which there are cookies in some headers, with their
        values, as L{cookieValues} finds them.
        """
        # Several are the same as one in which semicolons are between them.
        pairs = self._findPairs(headers[0] if len(headers) == 1 else b";".join(headers))
        if len(pairs) == 1:
            name, value = pairs[0]
            return [(self._audiences[name], [value.rstrip(BLANKS)])]
        return [
            (audience, _candidates(value for found, value in pairs if found == name))
            for name, audience in self._audiences.items()
            if any(found == name for found, _ in pairs)
        ]

    def line(self, audience: bytes, name: bytes, token: bytes) -> bytes:
        """
        The value of a C{Set-Cookie} header that gives the browser its token.

        @raise ValueError: The token (an application's own id) cannot be the
            value of a cookie.
        """
        if _isCookieValue(token) is None or len(name) + len(token) > MAXIMUM_PAIR:
            raise ValueError(
                "a session's uid is sent as a cookie: printable ASCII without spaces, quotes, "
                f"commas, semicolons and backslashes, {MAXIMUM_PAIR} bytes with its name"
            )
        age = b"" if self.maxAge is None else b"; Max-Age=%d" % self.maxAge
        return name + b"=" + token + age + self._tails[audience]

    def deletionLine(self, audience: bytes, name: bytes) -> bytes:
        """
        The value of a C{Set-Cookie} header that makes the browser forget the
        token.  It repeats every attribute, for without them it would not be
        the same cookie, or would be refused.
        """
        expired = b"=; Max-Age=0; Expires=Thu, 01 Jan 1970 00:00:00 GMT"
        return name + expired + self._tails[audience]

    def _tail(self, audience: bytes) -> bytes:
        """
        The attributes that every C{Set-Cookie} of this audience has.
        """
        isSecure = audience == SECURE and self.secure != "never"
        attributes = [
            (True, b"; Path=" + self.path.encode("ascii", "replace")),
            (
                self.domain is not None,
                b"; Domain=" + (self.domain or "").encode("ascii", "replace"),
            ),
            (isSecure, b"; Secure"),
            (self.httpOnly, b"; HttpOnly"),
            (True, b"; SameSite=" + _SAME_SITE.get(self.sameSite, b"")),
            (self.partitioned and isSecure, b"; Partitioned"),
        ]
        return b"".join(text for isWanted, text in attributes if isWanted)

    def _checkForms(self) -> None:
        """
        Refuse what has the wrong form.
        """
        for name in (self.name, self.secureName):
            if _isToken(name) is None:
                raise ValueError(f"{name!r} is no name of a cookie")
        if self.name == self.prefix + self.secureName:
            raise ValueError("name and secureName must differ")
        if _isPath(self.path) is None or len(self.path) > MAXIMUM_ATTRIBUTE:
            raise ValueError(f"path={self.path!r} is no path: it begins with '/', and has no ';'")
        if self.domain is not None and (
            _isDomain(self.domain) is None or len(self.domain) > MAXIMUM_ATTRIBUTE
        ):
            raise ValueError(f"domain={self.domain!r} is no domain")
        if self.sameSite not in _SAME_SITE:
            raise ValueError(f"sameSite={self.sameSite!r} is none of 'lax', 'strict', 'none'")
        if self.secure not in ("auto", "always", "never"):
            raise ValueError(f"secure={self.secure!r} is none of 'auto', 'always', 'never'")
        if self.prefix not in _PREFIXES:
            raise ValueError(f"prefix={self.prefix!r} is none of '__Host-', '__Secure-', ''")
        if self.maxAge is not None and (type(self.maxAge) is not int or self.maxAge <= 0):
            raise ValueError(f"maxAge={self.maxAge!r} is no number of seconds above 0")

    def _checkContradictions(self) -> None:
        """
        Refuse what no browser would take.
        """
        for name in (self.name, self.secureName):
            if name.lower().startswith(("__host-", "__secure-")):
                raise ValueError("say prefix='__Host-', and not name='__Host-…'")
        if self.prefix and self.secure == "never":
            raise ValueError(f"prefix={self.prefix!r} needs Secure, and secure='never' denies it")
        if self.prefix == "__Host-" and (self.path != "/" or self.domain is not None):
            raise ValueError("prefix='__Host-' needs path='/' and no domain (RFC 6265bis, 4.1.3.2)")
        if self.sameSite == "none" and self.secure != "always":
            raise ValueError("sameSite='none' needs secure='always': browsers refuse it elsewhere")
        if self.partitioned and self.secure != "always":
            raise ValueError("partitioned needs secure='always': browsers refuse it elsewhere")


def cookieValues(headers: Iterable[bytes], name: bytes) -> list[bytes]:
    """
    The values of the cookies of exactly this name, in the order in which they
    came.

    The raw header is read: nothing but spaces and tabs is stripped, nothing is
    decoded, and a pair without a name has none, so that no other name can be
    made to look like this one (RFC 6265bis, 5.7 and 8.6).
    """
    findPairs = _finder([name])
    return _candidates(value for header in headers for _, value in findPairs(header))


def _finder(names: Iterable[bytes]) -> Callable[[bytes], list[tuple[bytes, bytes]]]:
    """
    What finds the pairs of these names in a header.
    """
    alternatives = b"|".join(re.escape(name) for name in names)
    return re.compile(rb"(?:\A|;)[ \t]*(" + alternatives + rb")=([^;]*)").findall


def _candidates(values: Iterable[bytes]) -> list[bytes]:
    """
    Those of some values that are tried.
    """
    return [value.rstrip(BLANKS) for value in values][:MAXIMUM_CANDIDATES]
