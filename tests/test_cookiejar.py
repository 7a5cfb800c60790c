"""
Cookies are taken, kept and sent as RFC 6265bis has it.
"""

from __future__ import annotations

import pytest
from twisted.internet.task import Clock

from txsessions.testing.cookiejar import CookieJar, Location, domainMatches, pathMatches
from txsessions.testing.setcookie import parse, parseDate


def at(target: bytes = b"/", host: str = "www.example.org", secure: bool = False) -> Location:
    """
    Where a request goes.
    """
    return Location(host, target, secure)


HTTPS = at(secure=True)


@pytest.fixture
def clock() -> Clock:
    """
    A clock somewhere in 2001.
    """
    clock = Clock()
    clock.advance(1_000_000_000)
    return clock


@pytest.fixture
def jar(clock: Clock) -> CookieJar:
    """
    An empty jar.
    """
    return CookieJar(clock)


@pytest.mark.parametrize(
    ("header", "name", "value"),
    [
        (b"a=b", b"a", b"b"),
        (b" a\t=  b c ; Path=/", b"a", b"b c"),
        (b"a=b=c", b"a", b"b=c"),
        (b'a="b;c"', b"a", b'"b'),
        (b"a=", b"a", b""),
        (b"=b", b"", b"b"),
        (b"b", b"", b"b"),
        (b"a=\xff\x80", b"a", b"\xff\x80"),
        (b"a=b\tc", b"a", b"b\tc"),
        (b"a=" + b"x" * 4095, b"a", b"x" * 4095),
    ],
)
def test_pairs(header, name, value):
    """
    Name and value are split at the first equals sign, without blanks around them.
    """
    cookie = parse(header)
    assert (cookie.name, cookie.value) == (name, value)


@pytest.mark.parametrize(
    "header",
    [
        b"",
        b"=",
        b" ; Path=/",
        b"a=b\0",
        b"a=b\r",
        b"a=\x7f",
        b"a=b; Path=/\x01",
        b"a=" + b"x" * 4096,
    ],
)
def test_ignored(header, jar):
    """
    A cookie that is empty, too big or has control characters is ignored.
    """
    assert parse(header) is None
    assert jar.receive(header, HTTPS) is None
    assert len(jar) == 0


def test_attributes():
    """
    Attributes have names of any case; the last of equal ones counts, one that is
    too long does not.
    """
    cookie = parse(b"a=b; SECURE; httpOnly=x; Path=/a; path=/b ;SameSite=lAX;; Domain=.Example.ORG")
    assert (cookie.isSecure, cookie.isHTTPOnly) == (True, True)
    assert (cookie.path, cookie.sameSite, cookie.domain) == (b"/b", "Lax", "example.org")
    cookie = parse(b"a=b; Path=/" + b"x" * 1024 + b"; SameSite=nonsense")
    assert (cookie.path, cookie.sameSite) == (None, "Default")
    assert (cookie.isSecure, cookie.isHTTPOnly, cookie.domain) == (False, False, "")


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("Sun, 09 Sep 2001 01:46:40 GMT", 1e9),
        ("Sunday, 09-Sep-01 01:46:40 GMT", 1e9),
        ("Sun Sep  9 01:46:40 2001", 1e9),
        ("9 september 2001 1:46:40", 1e9),
        ("01:46:40 9 sep 2001", 1e9),
        ("Thu, 01 Jan 1970 00:00:00 GMT", 0.0),
        ("Thu, 01-Jan-70 00:00:00", 0.0),
        ("1 Jan 1969 23:59:59", -31449601.0),
        ("1 Jan 69 00:00:00", 3124224000.0),
        ("", None),
        ("tomorrow", None),
        ("30 Feb 2001 00:00:00", None),
        ("1 Jan 2001 24:00:00", None),
        ("1 Jan 2001", None),
        ("1 Jan 1600 00:00:00", None),
    ],
)
def test_dates(text, seconds):
    """
    A date is read in each of the forms that servers use.
    """
    assert parseDate(text) == seconds


def test_session(jar, clock):
    """
    A cookie without an expiry stays, and goes back to the host that set it.
    """
    cookie = jar.receive(b"a=b; HttpOnly; SameSite=Strict", at())
    assert (cookie.expiry, cookie.isHostOnly, cookie.domain) == (None, True, "www.example.org")
    assert (cookie.isHTTPOnly, cookie.sameSite) == (True, "Strict")
    clock.advance(10**9)
    assert jar.header(at()) == b"a=b"
    assert jar.header(at(host="example.org")) is None
    assert jar.header(at(host="a.www.example.org")) is None
    assert jar.header(at(host="WWW.Example.org:8080")) == b"a=b"


def test_maxAge(jar, clock):
    """
    A cookie is sent until its age, and no more at it; Max-Age comes before Expires.
    """
    jar.receive(b"a=b; Max-Age=10; Expires=Thu, 01 Jan 1970 00:00:00 GMT", at())
    clock.advance(9)
    assert jar.header(at()) == b"a=b"
    clock.advance(1)
    assert jar.header(at()) is None
    assert list(jar) == []


def test_expires(jar, clock):
    """
    A cookie is sent until its date.
    """
    jar.receive(b"a=b; Expires=Sun, 09 Sep 2001 01:47:00 GMT; Max-Age=nonsense", at())
    clock.advance(19)
    assert jar.header(at()) == b"a=b"
    clock.advance(1)
    assert jar.header(at()) is None


def test_longest(jar, clock):
    """
    No cookie lives longer than 400 days, however big the number.
    """
    jar.receive(b"a=b; Max-Age=" + b"9" * 1000, at())
    jar.receive(b"c=d; Expires=Fri, 31 Dec 9999 23:59:59 GMT", at())
    clock.advance(400 * 86400 - 1)
    assert len(jar) == 2
    clock.advance(1)
    assert len(jar) == 0


@pytest.mark.parametrize(
    "deletion",
    [b"a=; Max-Age=0", b"a=; Max-Age=-1", b"a=; Expires=Thu, 01 Jan 1970 00:00:00 GMT"],
)
def test_deletion(jar, deletion):
    """
    A cookie that has expired when it comes deletes the one it would replace, if path
    and domain are the same.
    """
    jar.receive(b"a=b; Path=/x", at())
    jar.receive(deletion + b"; Path=/", at())
    jar.receive(deletion + b"; Path=/x; Domain=example.org", at())
    assert jar.get(b"a") == b"b"
    jar.receive(deletion + b"; Path=/x", at())
    assert jar.get(b"a") is None


def test_replacement(jar):
    """
    A cookie replaces one of the same name, host and path, and takes its place.
    """
    jar.receive(b"a=1", at())
    jar.receive(b"b=1", at())
    jar.receive(b"a=2", at())
    jar.receive(b"A=3", at())
    assert jar.header(at()) == b"a=2; b=1; A=3"


def test_domain(jar):
    """
    A cookie with a domain is sent to all hosts of it.
    """
    cookie = jar.receive(b"a=b; Domain=Example.org", at())
    assert (cookie.isHostOnly, cookie.domain) == (False, "example.org")
    for host in ("example.org", "www.example.org", "a.b.example.org"):
        assert jar.header(at(host=host)) == b"a=b"
    for host in ("badexample.org", "example.com", "org"):
        assert jar.header(at(host=host)) is None


def test_foreignDomain(jar):
    """
    A cookie is ignored whose domain is not that of the host, or is no domain.
    """
    for domain in (b"example.com", b"org", b"a.www.example.org", b"ample.org"):
        assert jar.receive(b"a=b; Domain=" + domain, at()) is None
    cookie = jar.receive(b"a=b; Domain=localhost", at(host="localhost"))
    assert cookie.isHostOnly
    assert jar.receive(b"a=b; Domain=0.0.1", at(host="127.0.0.1")) is None
    assert jar.receive(b"a=b; Domain=127.0.0.1", at(host="127.0.0.1")) is not None


@pytest.mark.parametrize(
    ("host", "domain", "matches"),
    [
        ("example.org", "example.org", True),
        ("www.example.org", "example.org", True),
        ("wwwexample.org", "example.org", False),
        ("example.org", "www.example.org", False),
        ("1.2.3.4", "3.4", False),
        ("[::1]", "1]", False),
    ],
)
def test_domainMatches(host, domain, matches):
    """
    A host is of its domain, and an address is of none.
    """
    assert domainMatches(host, domain) is matches


@pytest.mark.parametrize(
    ("path", "below", "matches"),
    [
        (b"/", b"/", True),
        (b"/a", b"/", True),
        (b"/a", b"/a", True),
        (b"/a/", b"/a", True),
        (b"/a/b", b"/a", True),
        (b"/a/b", b"/a/", True),
        (b"/ab", b"/a", False),
        (b"/a", b"/a/", False),
        (b"/A", b"/a", False),
    ],
)
def test_pathMatches(path, below, matches):
    """
    A path is below another one at a slash only.
    """
    assert pathMatches(path, below) is matches


@pytest.mark.parametrize(
    ("target", "path"),
    [(b"/", b"/"), (b"/a", b"/"), (b"/a/", b"/a"), (b"/a/b?c=/d/e", b"/a"), (b"*", b"/")],
)
def test_defaultPath(jar, target, path):
    """
    A cookie without a path is for the directory of the request.
    """
    assert jar.receive(b"a=b", at(target)).path == path
    assert jar.receive(b"b=c; Path=relative", at(target)).path == path


def test_order(jar):
    """
    Cookies with longer paths are sent first, then those that came first.
    """
    jar.receive(b"a=1; Path=/", at())
    jar.receive(b"b=2; Path=/x", at())
    jar.receive(b"a=3; Path=/x/y", at())
    jar.receive(b"c=4; Path=/x", at())
    assert jar.header(at(b"/x/y/z?q")) == b"a=3; b=2; c=4; a=1"
    assert jar.header(at(b"/x")) == b"b=2; c=4; a=1"
    assert jar.header(at(b"/xy")) == b"a=1"


def test_nameless(jar):
    """
    A cookie without a name is sent as its value alone.
    """
    jar.receive(b"b", at())
    assert jar.header(at()) == b"b"


def test_secure(jar):
    """
    A secure cookie is sent over HTTPS only, and other ones both ways.
    """
    jar.receive(b"a=1; Secure", HTTPS)
    jar.receive(b"b=2", HTTPS)
    assert jar.header(at()) == b"b=2"
    assert jar.header(HTTPS) == b"a=1; b=2"


def test_secureFromPlain(jar):
    """
    Plain HTTP sets no secure cookie, and does not overlay or delete one.
    """
    assert jar.receive(b"a=1; Secure", at()) is None
    jar.receive(b"a=1; Secure; Path=/login", HTTPS)
    for header in (
        b"a=2; Path=/login",
        b"a=2; Path=/login/x",
        b"a=2; Path=/login; Max-Age=0",
        b"a=2; Path=/login; Domain=example.org",
    ):
        assert jar.receive(header, at()) is None
    assert jar.receive(b"a=3; Path=/", at()) is not None
    assert jar.receive(b"b=4; Path=/login", at()) is not None
    assert jar.receive(b"a=5; Path=/login", at(host="example.com")) is not None
    assert jar.header(at(b"/login", secure=True)) == b"a=1; b=4; a=3"
    assert jar.receive(b"a=6; Path=/login", HTTPS) is not None
    assert jar.header(at(b"/login", secure=True)) == b"a=6; b=4; a=3"


def test_sameSiteNone(jar):
    """
    SameSite=None needs Secure.
    """
    assert jar.receive(b"a=1; SameSite=None", HTTPS) is None
    assert jar.receive(b"a=1; SameSite=None; Secure", HTTPS).sameSite == "None"


@pytest.mark.parametrize(
    "header",
    [
        b"__Secure-a=1",
        b"__secure-a=1; Path=/",
        b"__Host-a=1; Path=/",
        b"__Host-a=1; Secure",
        b"__Host-a=1; Secure; Path=/x",
        b"__Host-a=1; Secure; Path=/; Domain=www.example.org",
        b"__HOST-a=1; Secure; Path=/; Domain=example.org",
        b"__Host-a; Secure; Path=/",
        b"=__Secure-a=1; Secure",
    ],
)
def test_brokenPrefix(jar, header):
    """
    A cookie that is not what the prefix of its name says is ignored.
    """
    assert jar.receive(header, HTTPS) is None


def test_prefix(jar):
    """
    A cookie that is what the prefix of its name says is taken, over HTTPS.
    """
    for header in (
        b"__Secure-a=1; Secure; Domain=example.org; Path=/x",
        b"__Host-a=1; Secure; Path=/",
        b"__Hosta=1",
    ):
        assert jar.receive(header, HTTPS) is not None
    assert jar.receive(b"__Host-a=2; Secure; Path=/", at()) is None
    assert jar.get(b"__Host-a") == b"1"


def test_defaultPathIsNoRoot(jar):
    """
    __Host- wants its path to be said, even where it would be / anyway.
    """
    assert jar.receive(b"__Host-a=1; Secure", at(b"/", secure=True)) is None


def test_clear(jar):
    """
    A jar can be emptied.
    """
    jar.receive(b"a=1", at())
    jar.clear()
    assert (len(jar), jar.header(at()), jar.get(b"a")) == (0, None, None)


def test_repr(jar):
    """
    The value of a cookie is not in its repr.
    """
    cookie = jar.receive(b"a=secret", at())
    assert "secret" not in repr(cookie) + repr(parse(b"a=secret"))
