"""
No cache may give one visitor's page to another.
"""

from __future__ import annotations

import re
from typing import Final

from twisted.web.http_headers import Headers

from .headers import kept

_SHARING: Final = (b"public", b"s-maxage")

_VARY: Final = kept(b"vary")
_CACHE_CONTROL: Final = kept(b"cache-control")

_findMembers = re.compile(rb'(?:[^,"]|"(?:[^"\\]|\\.)*"?)+').findall


def keepPrivate(headers: Headers) -> None:
    """
    Say in a response's headers that it depends on the session: C{Vary: Cookie},
    and a C{Cache-Control} that lets no shared cache keep it (RFC 9111, 5.2.2.7).
    What the application says of caches already is kept as far as it agrees.
    """
    raw = headers._rawHeaders
    if _VARY not in raw and _CACHE_CONTROL not in raw:
        # At every response: what setRawHeaders makes of them is known.
        raw[_VARY], raw[_CACHE_CONTROL] = [b"Cookie"], [b"private"]
        return
    vary = _members(headers, b"vary")
    if b"*" not in vary and b"cookie" not in [name.lower() for name in vary]:
        headers.setRawHeaders(b"Vary", [b", ".join([*vary, b"Cookie"])])
    rules = _members(headers, b"cache-control")
    kept = [rule for rule in rules if rule.partition(b"=")[0].strip().lower() not in _SHARING]
    # One that names fields, private="X-One", is for these fields only.
    if not {b"private", b"no-store"}.intersection(rule.lower() for rule in kept):
        kept.insert(0, b"private")
    if kept != rules:
        headers.setRawHeaders(b"Cache-Control", [b", ".join(kept)])


def _members(headers: Headers, name: bytes) -> list[bytes]:
    """
    The members of a header that is a list; a comma within quotes separates none
    (RFC 9110, 5.6.1 and 5.6.4).
    """
    values = headers.getRawHeaders(name) or []
    members = [member.strip() for value in values for member in _findMembers(value)]
    return [member for member in members if member]
