"""
No cache may give one visitor's page to another.
"""

from __future__ import annotations

from typing import Final

from twisted.web.http_headers import Headers

_SHARING: Final = (b"public", b"s-maxage")


def keepPrivate(headers: Headers) -> None:
    """
    Say in a response's headers that it depends on the session: C{Vary: Cookie},
    and a C{Cache-Control} that lets no shared cache keep it (RFC 9111, 5.2.2.7).
    What the application says of caches already is kept as far as it agrees.
    """
    if not headers.hasHeader(b"vary") and not headers.hasHeader(b"cache-control"):
        headers.setRawHeaders(b"Vary", [b"Cookie"])
        headers.setRawHeaders(b"Cache-Control", [b"private"])
        return
    vary = _members(headers, b"vary")
    if b"*" not in vary and b"cookie" not in [name.lower() for name in vary]:
        headers.setRawHeaders(b"Vary", [b", ".join([*vary, b"Cookie"])])
    rules = _members(headers, b"cache-control")
    names = [rule.partition(b"=")[0].strip().lower() for rule in rules]
    if b"private" in names or b"no-store" in names:
        return
    kept = [rule for rule, name in zip(rules, names, strict=True) if name not in _SHARING]
    headers.setRawHeaders(b"Cache-Control", [b", ".join([b"private", *kept])])


def _members(headers: Headers, name: bytes) -> list[bytes]:
    """
    The members of a header that is a list (RFC 9110, 5.6.1).
    """
    values = headers.getRawHeaders(name) or []
    return [member.strip() for value in values for member in value.split(b",") if member.strip()]
