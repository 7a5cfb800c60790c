"""
No cache gives one visitor's page to another.
"""

from __future__ import annotations

from typing import Any

import pytest
from scenes import count
from twisted.web.http_headers import Headers

from txsessions.testing import Response
from txsessions.web.caching import keepPrivate


def headersOf(response: Response) -> tuple[list[bytes] | None, list[bytes] | None]:
    """
    What a response says to caches.
    """
    headers = response.headers
    return headers.getRawHeaders(b"vary"), headers.getRawHeaders(b"cache-control")


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ([], [b"Cookie"]),
        ([b"Accept-Encoding"], [b"Accept-Encoding, Cookie"]),
        ([b"Accept-Encoding, cookie"], [b"Accept-Encoding, cookie"]),
        ([b"Accept", b"COOKIE"], [b"Accept", b"COOKIE"]),
        ([b"*"], [b"*"]),
        ([b"Cookie2"], [b"Cookie2, Cookie"]),
    ],
)
def test_vary(before, after):
    """
    Vary names Cookie, once, beside what the application says.
    """
    headers = Headers({b"vary": before} if before else {})
    keepPrivate(headers)
    assert headers.getRawHeaders(b"vary") == after


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ([], [b"private"]),
        ([b"public, max-age=60"], [b"private, max-age=60"]),
        ([b"max-age=60, S-MaxAge=600"], [b"private, max-age=60"]),
        ([b"no-cache"], [b"private, no-cache"]),
        ([b"PUBLIC"], [b"private"]),
        ([b"private"], [b"private"]),
        ([b"Private, max-age=60"], [b"Private, max-age=60"]),
        ([b"no-store"], [b"no-store"]),
        ([b"no-cache", b"no-store"], [b"no-cache", b"no-store"]),
        ([b'private="X-One"'], [b'private, private="X-One"']),
        ([b'private="X-One, X-Two", max-age=5'], [b'private, private="X-One, X-Two", max-age=5']),
        ([b'public, private="public, s-maxage=1"'], [b'private, private="public, s-maxage=1"']),
        ([b"private, public"], [b"private"]),
        ([b"private, s-maxage=60"], [b"private"]),
    ],
)
def test_cacheControl(before, after):
    """
    No shared cache may keep the response; what else the application says is kept.
    """
    headers = Headers({b"cache-control": before} if before else {})
    keepPrivate(headers)
    assert headers.getRawHeaders(b"cache-control") == after


def test_lookedAt(scene):
    """
    A response whose handler looked at the session says so, whatever it did with it;
    one whose handler did not says nothing.
    """
    uses: dict[str, Any] = {
        "get": lambda request: request.getSession(),
        "peek": lambda request: request.peekSession(),
        "in": lambda request: "n" in request.getSession().data,
        "len": lambda request: len(request.getSession().data),
        "iterate": lambda request: list(request.getSession().data),
        "touch": lambda request: request.getSession().touch(),
        "owner": lambda request: request.getSession().sessionKey,
        "rework": lambda request: request.getSession().rework(),
        "logIn": lambda request: request.getSession().logIn("anna"),
        "expire": lambda request: request.getSession().expire(),
        "write": count,
    }
    for use in uses.values():
        it = scene()
        browser = it.browser()
        for _ in range(2):
            response = it.get(browser, lambda request, use=use: (use(request), b"")[1])
            assert headersOf(response) == ([b"Cookie"], [b"private"])
        response = it.get(browser, lambda request: b"a picture")
        assert headersOf(response) == (None, None)


def test_everyStatus(scene):
    """
    So it is on redirects, error pages and 304.
    """

    def answer(request: Any) -> bytes:
        count(request)
        request.setHeader(b"Cache-Control", b"public, max-age=9")
        request.setResponseCode(int(request.args[b"code"][0]))
        return b""

    it = scene()
    browser = it.browser()
    path = it.page(answer)
    for code in (200, 302, 304, 404, 500):
        from txsessions.testing import resultOf

        response = resultOf(browser.get(f"{path}?code={code}"))
        assert response.code == code
        assert headersOf(response) == ([b"Cookie"], [b"private, max-age=9"])
