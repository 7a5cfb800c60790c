"""
What stands at the head of a response.
"""

from __future__ import annotations

from typing import Any

from .headers import copied


class Head:
    """
    What a handler has said of a response's headers until a certain moment.

    @ivar _facts: Its C{code}, C{code_message}, C{etag} and C{lastModified}.
    @ivar _headers: Its C{responseHeaders}.
    @ivar _cookies: Its C{cookies}.
    """

    __slots__ = ("_cookies", "_facts", "_headers")

    def __init__(self, request: Any) -> None:
        self._facts = (request.code, request.code_message, request.etag, request.lastModified)
        self._headers = copied(request.responseHeaders)
        self._cookies = list(request.cookies)

    def restore(self, request: Any) -> None:
        """
        Take back what was said later.
        """
        request.code, request.code_message, request.etag, request.lastModified = self._facts
        request.responseHeaders = self._headers
        request.cookies = self._cookies
