"""
Sites for the tests of the browser.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from twisted.internet.task import Clock
from twisted.web.resource import Resource
from twisted.web.server import NOT_DONE_YET, Site

from txsessions.testing import Browser


class Page(Resource):
    """
    Answers every path and method with C{answer(request)}.
    """

    isLeaf = True

    def __init__(self, answer):
        super().__init__()
        self.answer = answer

    def render(self, request):
        return self.answer(request)


class Later:
    """
    Answers when the test says so.
    """

    def __init__(self):
        self.requests = []
        self.lost = []

    def __call__(self, request):
        self.requests.append(request)
        request.notifyFinish().addErrback(self.lost.append)
        return NOT_DONE_YET

    def finish(self, number, body=b""):
        request = self.requests[number]
        request.write(body or request.uri)
        request.finish()


def browsing() -> Iterator[Callable[..., Browser]]:
    """
    Makes browsers of a stock site whose pages are answered by a function, and sees
    to it that they leave nothing behind.
    """
    clock = Clock()
    browsers = []

    def make(answer, **options):
        browsers.append(Browser(Site(Page(answer), reactor=clock), **options))
        return browsers[-1]

    yield make
    for browser in browsers:
        browser.close()
    assert clock.getDelayedCalls() == []
