"""
The policy of the session's cookie, and how it is found among those of a request.
"""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from txsessions.cookie import MAXIMUM_CANDIDATES, SessionCookie, cookieValues
from txsessions.testing import CookieJar
from txsessions.testing.cookiejar import Location
from txsessions.testing.setcookie import parse
from txsessions.token import INSECURE, SECURE

TOKEN = b"0123456789abcdef" * 4


class TestPolicy:
    """
    SessionCookie.
    """

    def test_defaults(self):
        """
        By default the names are stock Twisted's, for the whole site, out of the
        reach of scripts, with SameSite=Lax, and Secure over HTTPS.
        """
        policy = SessionCookie()
        insecure, secure = policy.nameFor(INSECURE), policy.nameFor(SECURE)
        assert (insecure, secure) == (b"TWISTED_SESSION", b"TWISTED_SECURE_SESSION")
        assert policy.line(INSECURE, insecure, TOKEN) == (
            b"TWISTED_SESSION=" + TOKEN + b"; Path=/; HttpOnly; SameSite=Lax"
        )
        assert policy.line(SECURE, secure, TOKEN) == (
            b"TWISTED_SECURE_SESSION=" + TOKEN + b"; Path=/; Secure; HttpOnly; SameSite=Lax"
        )

    def test_everything(self):
        """
        Every attribute can be chosen.
        """
        policy = SessionCookie(
            name="id",
            secureName="sid",
            path="/app",
            domain="example.org",
            sameSite="none",
            httpOnly=False,
            secure="always",
            prefix="__Secure-",
            partitioned=True,
            maxAge=3600,
        )
        cookie = parse(policy.line(SECURE, policy.nameFor(SECURE), TOKEN))
        assert cookie is not None
        assert (cookie.name, cookie.value) == (b"__Secure-sid", TOKEN)
        assert cookie.attributes == {
            b"max-age": b"3600",
            b"path": b"/app",
            b"domain": b"example.org",
            b"secure": b"",
            b"samesite": b"None",
            b"partitioned": b"",
        }

    def test_audiences(self):
        """
        auto tells HTTPS from HTTP, always takes all for HTTPS, never none.
        """
        audiences = {
            secure: [SessionCookie(secure=secure).audience(isSecure) for isSecure in (True, False)]
            for secure in ("auto", "always", "never")
        }
        assert audiences == {
            "auto": [SECURE, INSECURE],
            "always": [SECURE, SECURE],
            "never": [INSECURE, INSECURE],
        }

    def test_names(self):
        """
        Another name gives the cookie of HTTPS another one too; the site path of
        twisted.web.distrib goes behind, as in stock Twisted.
        """
        policy = SessionCookie(name="id", prefix="__Host-")
        assert policy.nameFor(INSECURE) == b"id"
        assert policy.nameFor(SECURE) == b"__Host-id_SECURE"
        assert policy.nameFor(INSECURE, [b"a", b"b"]) == b"id_a_b"

    @pytest.mark.parametrize(
        ("options", "word"),
        [
            ({"prefix": "__Host-", "path": "/app"}, "__Host-"),
            ({"prefix": "__Host-", "domain": "example.org"}, "__Host-"),
            ({"prefix": "__Host-", "secure": "never"}, "Secure"),
            ({"prefix": "__Secure-", "secure": "never"}, "Secure"),
            ({"prefix": "Host-"}, "prefix"),
            ({"name": "__Host-id"}, "prefix="),
            ({"name": "__secure-id"}, "prefix="),
            ({"secureName": "__Host-id"}, "prefix="),
            ({"sameSite": "none"}, "always"),
            ({"sameSite": "none", "secure": "never"}, "always"),
            ({"sameSite": "sometimes"}, "sameSite"),
            ({"sameSite": "Lax"}, "sameSite"),
            ({"partitioned": True}, "always"),
            ({"secure": "perhaps"}, "secure"),
            ({"secure": True}, "secure"),
            ({"name": "a b"}, "name"),
            ({"name": ""}, "name"),
            ({"name": "a=b"}, "name"),
            ({"name": "caf\xe9"}, "name"),
            ({"secureName": "a;b"}, "name"),
            ({"name": "same", "secureName": "same"}, "differ"),
            ({"path": "app"}, "path"),
            ({"path": "/a;b"}, "path"),
            ({"path": "/\r\n"}, "path"),
            ({"path": "/" + "a" * 1024}, "path"),
            ({"domain": "a b"}, "domain"),
            ({"domain": ""}, "domain"),
            ({"domain": "a.b" * 400}, "domain"),
            ({"maxAge": 0}, "maxAge"),
            ({"maxAge": -1}, "maxAge"),
            ({"maxAge": 1.5}, "maxAge"),
            ({"maxAge": True}, "maxAge"),
        ],
    )
    def test_contradictions(self, options, word):
        """
        What no browser would take is refused when the policy is made, in one line
        that says what to change.
        """
        with pytest.raises(ValueError, match=word) as caught:
            SessionCookie(**options)
        assert "\n" not in str(caught.value)

    @pytest.mark.parametrize(
        "token", [b"", b"a b", b'a"b', b"a,b", b"a;b", b"a\\b", b"\xff", b"a\n"]
    )
    def test_badToken(self, token):
        """
        An application's own id that cannot be a cookie's value is refused, and not
        sent as something else; the text does not repeat it.
        """
        with pytest.raises(ValueError, match="sent as a cookie") as caught:
            SessionCookie().line(INSECURE, b"id", token)
        assert not token or repr(token) not in str(caught.value)

    def test_longToken(self):
        """
        Name and value fit into 4096 bytes, or are refused.
        """
        policy = SessionCookie()
        assert parse(policy.line(INSECURE, b"id", b"a" * 4094)) is not None
        with pytest.raises(ValueError, match="4096"):
            policy.line(INSECURE, b"id", b"a" * 4095)

    @given(
        st.builds(
            dict,
            name=st.sampled_from(["id", "session.id", "A-b_c"]),
            path=st.sampled_from(["/", "/app", "/a/b/"]),
            domain=st.sampled_from([None, "example.org", ".example.org", "www.example.org"]),
            sameSite=st.sampled_from(["lax", "strict", "none"]),
            httpOnly=st.booleans(),
            secure=st.sampled_from(["auto", "always", "never"]),
            prefix=st.sampled_from(["", "__Host-", "__Secure-"]),
            partitioned=st.booleans(),
            maxAge=st.sampled_from([None, 1, 10**9]),
        ),
        st.booleans(),
    )
    def test_browsers(self, options, isSecure):
        """
        Whatever policy can be made, a browser takes the cookie, sends it back, and
        forgets it by the deletion cookie.
        """
        try:
            policy = SessionCookie(**options)
        except ValueError:
            return
        isSecure = isSecure or policy.secure == "always"
        location = Location("www.example.org", b"/a/b/app", isSecure)
        if not location.path.startswith(policy.path.encode()):
            location = Location("www.example.org", policy.path.encode() + b"/x", isSecure)

        class Now:
            def seconds(self) -> float:
                return 1000.0

        jar = CookieJar(Now())
        audience = policy.audience(isSecure)
        name = policy.nameFor(audience)
        assert jar.receive(policy.line(audience, name, TOKEN), location) is not None
        header = jar.header(location)
        assert header is not None
        assert cookieValues([header], name) == [TOKEN]
        jar.receive(policy.deletionLine(audience, name), location)
        assert len(jar) == 0

    def test_repr(self):
        """
        A policy shows what it is and keeps nothing that is secret.
        """
        assert "sameSite='lax'" in repr(SessionCookie())


NAME = b"__Host-id"

SPOOFS = [
    b"\xe2\x80\x80__Host-id=evil",
    b"\xc2\x85__Host-id=evil",
    b"\xc2\xa0__Host-id=evil",
    b"\x85__Host-id=evil",
    b"\xa0__Host-id=evil",
    b"\x0b__Host-id=evil",
    b"\x0c__Host-id=evil",
    b"\x1c__Host-id=evil",
    b"\x00__Host-id=evil",
    b"%5f_Host-id=evil",
    b"__%48ost-id=evil",
    b"=__Host-id=evil",
    b"=evil",
    b"__Host-id",
    b"__host-id=evil",
    b"__HOST-ID=evil",
    b"__Host-id =evil",
    b"__Host-id\t=evil",
    b"__Host-idx=evil",
    b"x__Host-id=evil",
    b'"__Host-id"=evil',
    b"__Host-id\x0b=evil",
    b"a=__Host-id=evil",
    b"a=1,__Host-id=evil",
    b"__Host-id:evil",
    b"\xff\xfe__Host-id=evil",
]


class TestFinding:
    """
    cookieValues.
    """

    @pytest.mark.parametrize("pair", SPOOFS)
    def test_spoofs(self, pair):
        """
        Nothing but the exact name counts, wherever it stands and whatever the
        browser was made to send.
        """
        assert cookieValues([pair], NAME) == []
        assert cookieValues([b"a=1; " + pair + b"; b=2"], NAME) == []
        assert cookieValues([pair + b"; __Host-id=good"], NAME) == [b"good"]

    @pytest.mark.parametrize(
        ("headers", "values"),
        [
            ([b"__Host-id=a"], [b"a"]),
            ([b" \t__Host-id=a \t"], [b"a"]),
            ([b"a=1;__Host-id=a;b=2"], [b"a"]),
            ([b"a=1;;; ;__Host-id=a;"], [b"a"]),
            ([b"__Host-id="], [b""]),
            ([b"__Host-id=a=b=c"], [b"a=b=c"]),
            ([b'__Host-id="a"'], [b'"a"']),
            ([b'__Host-id="a; b"'], [b'"a']),
            ([b"__Host-id=%61"], [b"%61"]),
            ([b"__Host-id=a, b"], [b"a, b"]),
            ([b"__Host-id=a\x00b"], [b"a\x00b"]),
            ([b"__Host-id=a\xff"], [b"a\xff"]),
            ([b"$Version=1; __Host-id=a; $Path=/"], [b"a"]),
            ([b"__Host-id=a; __Host-id=b"], [b"a", b"b"]),
            ([b"__Host-id=a", b"x=1; __Host-id=b"], [b"a", b"b"]),
            ([b"__Host-id=a; __Host-id=b; __Host-id=c"], [b"a", b"b"]),
            ([], []),
            ([b""], []),
        ],
    )
    def test_values(self, headers, values):
        """
        Values are as they stand in the header, at most two, in their order; nothing
        is decoded.
        """
        assert cookieValues(headers, NAME) == values

    def test_bomb(self):
        """
        Headers that are made to be slow are not.
        """
        bombs = [
            b"; ".join(b"__Host-id=%d" % number for number in range(2000)),
            b"__Host-id" * 1800,
            b";" * 16384,
            b"=" * 16384,
            b" \t" * 8192 + b"__Host-id=a",
            b"__Host-id=" + b"a" * 16384,
            b"; ".join([b"a=__Host-id"] * 1200),
        ]
        begun = time.process_time()
        for bomb in bombs * 10:
            assert len(cookieValues([bomb], NAME)) <= MAXIMUM_CANDIDATES
        assert (time.process_time() - begun) / 70 < 0.005

    @given(st.lists(st.binary(max_size=60), max_size=4))
    def test_anything(self, headers):
        """
        Whatever comes, each value stands behind the exact name and an equals sign.
        """
        for value in cookieValues(headers, b"id"):
            assert any(b"id=" + value in header for header in headers)
