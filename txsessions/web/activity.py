"""
Which requests are something that a person does, and which a browser does by
itself.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from twisted.web.http_headers import Headers

from .headers import kept

_PURPOSE: Final = kept(b"sec-purpose")
_MODE: Final = kept(b"sec-fetch-mode")


def isPrefetch(headers: Headers) -> bool:
    """
    Whether a browser fetches a page before anybody wants to see it (Fetch
    standard, C{Sec-Purpose}).
    """
    purposes = headers._rawHeaders.get(_PURPOSE)
    return purposes is not None and any(b"prefetch" in purpose for purpose in purposes)


def isNavigation(headers: Headers) -> bool:
    """
    Whether a browser loads a page, and not a part of one (Fetch Metadata,
    C{Sec-Fetch-Mode}); also what does not say.
    """
    modes = headers._rawHeaders.get(_MODE)
    return modes is None or b"navigate" in modes


def isUnder(path: bytes, paths: Iterable[bytes]) -> bool:
    """
    Whether a path is one of those, or lies under one of them.
    """
    return any(
        path == each or path.startswith(each if each.endswith(b"/") else each + b"/")
        for each in paths
    )
