"""
What stands at the head of a response.
"""

from __future__ import annotations

from typing import Any

NAMES = ("code", "code_message", "etag", "lastModified")


class Head:
    """
    What a handler has said of a response's headers until a certain moment.

    @ivar _facts: The attributes of the request that are values.
    @ivar _headers: Its C{responseHeaders}.
    @ivar _cookies: Its C{cookies}.
    """

    __slots__ = ("_cookies", "_facts", "_headers")

    def __init__(self, request: Any) -> None:
        self._facts = [getattr(request, name) for name in NAMES]
        self._headers = request.responseHeaders.copy()
        self._cookies = list(request.cookies)

    def restore(self, request: Any) -> None:
        """
        Take back what was said later.
        """
        for name, fact in zip(NAMES, self._facts, strict=True):
            setattr(request, name, fact)
        request.responseHeaders = self._headers
        request.cookies = self._cookies
