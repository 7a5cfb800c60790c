"""
The in-memory browser follows redirects, when that is asked for.
"""

from __future__ import annotations

import pytest
from pages import browsing

from txsessions.testing import TooManyRedirects, resultOf


@pytest.fixture
def browse():
    """
    Makes browsers.
    """
    yield from browsing()


@pytest.fixture
def browser(browse):
    """
    Of a site that redirects C{/303/x} to C{/x} with that status.
    """

    def answer(request):
        request.addCookie(b"seen", request.path.strip(b"/").replace(b"/", b"-"), path=b"/")
        if request.path == b"/circle":
            request.redirect(b"circle")
            return b""
        if request.path == b"/secure":
            request.redirect(b"https://example.org/end")
            return b""
        _, code, *rest = request.path.split(b"/")
        if code.isdigit():
            request.setResponseCode(int(code))
            request.setHeader(b"Location", b"/" + b"/".join(rest))
            return b"moved"
        cookie = request.getHeader(b"cookie") or b""
        return b" ".join([request.method, request.uri, request.content.read(), cookie])

    return browse(answer)


def test_notFollowed(browser):
    """
    Without being asked for a redirect is a response like any other.
    """
    response = resultOf(browser.get("/302/end"))
    assert (response.code, response.body) == (302, b"moved")


def test_followed(browser):
    """
    A redirect is followed, with the cookies that were set on the way.
    """
    response = resultOf(browser.get("/302/301/end?x=y", follow=True))
    assert response.code == 200
    assert response.body.startswith(b"GET /end")
    assert response.body.endswith(b"seen=301-end")


@pytest.mark.parametrize(
    ("code", "body"),
    [
        (301, b"GET /end "),
        (302, b"GET /end "),
        (303, b"GET /end "),
        (307, b"POST /end a=b"),
        (308, b"POST /end a=b"),
    ],
)
def test_post(browser, code, body):
    """
    A POST becomes a GET, unless the status says that it must not.
    """
    response = resultOf(browser.post(f"/{code}/end", {"a": "b"}, follow=True))
    assert response.body.startswith(body)


def test_head(browser):
    """
    A HEAD stays one.
    """
    response = resultOf(browser.request("HEAD", "/303/end", follow=True))
    assert (response.code, response.body) == (200, b"")


def test_toHTTPS(browser):
    """
    A redirect to HTTPS goes there, without the cookies of the other host.
    """
    assert resultOf(browser.get("/secure", follow=True)).body == b"GET /end  "


def test_circle(browser):
    """
    A browser does not run in circles.
    """
    with pytest.raises(TooManyRedirects):
        resultOf(browser.get("/circle", follow=True))
