"""
Which requests are something that a person does, and which a browser does by
itself.
"""

from __future__ import annotations

from collections.abc import Iterable

from twisted.web.http_headers import Headers


def isPrefetch(headers: Headers) -> bool:
    """
    Whether a browser fetches a page before anybody wants to see it (Fetch
    standard, C{Sec-Purpose}).
    """
    if not headers.hasHeader(b"sec-purpose"):
        return False
    return any(b"prefetch" in value for value in headers.getRawHeaders(b"sec-purpose", ()))


def isNavigation(headers: Headers) -> bool:
    """
    Whether a browser loads a page, and not a part of one (Fetch Metadata,
    C{Sec-Fetch-Mode}); also what does not say.
    """
    modes = headers.getRawHeaders(b"sec-fetch-mode")
    return modes is None or b"navigate" in modes


def isUnder(path: bytes, paths: Iterable[bytes]) -> bool:
    """
    Whether a path is one of those, or lies under one of them.
    """
    return any(
        path == each or path.startswith(each if each.endswith(b"/") else each + b"/")
        for each in paths
    )
