"""
Headers by the names under which L{Headers} keeps them.

To make such a name out of another one is most of the work of looking for a header;
for those that are looked for at every request it is done once, and they are looked up in
C{headers._rawHeaders}.
"""

from __future__ import annotations

from twisted.web.http_headers import Headers


def kept(name: bytes) -> bytes:
    """
    The name under which L{Headers} keeps a header.
    """
    return next(iter(Headers({name: [b""]})._rawHeaders))


def copied(headers: Headers) -> Headers:
    """
    A copy that has what these have now.
    """
    copy = Headers()
    copy._rawHeaders = {name: values[:] for name, values in headers._rawHeaders.items()}
    return copy
