"""
What one C{Set-Cookie} header says, read as browsers do: RFC 6265bis, section 5.6.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import datetime, timezone
from typing import Final

import attrs

MAXIMUM: Final = 4096
"""
How many bytes name and value may have together (5.6, step 5).
"""

MAXIMUM_ATTRIBUTE: Final = 1024
"""
How many bytes the value of an attribute may have (5.6).
"""

MONTHS: Final = ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"]

_hasControls = re.compile(rb"[\x00-\x08\x0a-\x1f\x7f]").search
_splitDate = re.compile(r"[\x09\x20-\x2f\x3b-\x40\x5b-\x60\x7b-\x7e]+").split
_matchTime = re.compile(r"(\d{1,2}):(\d{1,2}):(\d{1,2})(?:\D.*)?", re.DOTALL).fullmatch
_matchDay = re.compile(r"(\d{1,2})(?:\D.*)?", re.DOTALL).fullmatch
_matchYear = re.compile(r"(\d{2,4})(?:\D.*)?", re.DOTALL).fullmatch
_matchSeconds = re.compile(rb"-?[0-9]+").fullmatch


@attrs.frozen
class SetCookie:
    """
    A cookie as a server wrote it, whether a browser takes it or not.

    @ivar name: Its name.
    @ivar value: Its value.
    @ivar attributes: Names of attributes in lower case to their values; of two
        with the same name the last one counts.
    """

    name: bytes
    value: bytes = attrs.field(repr=False)
    attributes: Mapping[bytes, bytes]

    @property
    def isSecure(self) -> bool:
        """
        Whether it is for HTTPS only.
        """
        return b"secure" in self.attributes

    @property
    def isHTTPOnly(self) -> bool:
        """
        Whether scripts cannot see it.
        """
        return b"httponly" in self.attributes

    @property
    def path(self) -> bytes | None:
        """
        Its path; C{None} when it is to be taken from the request (5.6.4).
        """
        path = self.attributes.get(b"path", b"")
        return path if path.startswith(b"/") else None

    @property
    def domain(self) -> str:
        """
        Its domain without a leading dot, in lower case; empty for none (5.6.3).
        """
        return self.attributes.get(b"domain", b"").decode("latin-1").lower().removeprefix(".")

    @property
    def sameSite(self) -> str:
        """
        C{"Strict"}, C{"Lax"}, C{"None"}, or C{"Default"} for anything else
        (5.6.7).
        """
        value = self.attributes.get(b"samesite", b"").decode("latin-1").capitalize()
        return value if value in ("Strict", "Lax", "None") else "Default"

    def expiry(self, now: float) -> float | None:
        """
        When it expires, in seconds since the epoch; C{None}: with the browser.
        C{Max-Age} comes before C{Expires} (5.7, step 3).
        """
        seconds = self.attributes.get(b"max-age", b"")
        if _matchSeconds(seconds):
            # Longer numbers say no more than "for ever", and int() refuses them.
            return now + int(seconds[:20]) if int(seconds[:20]) > 0 else float("-inf")
        return parseDate(self.attributes.get(b"expires", b"").decode("latin-1"))


def parse(header: bytes) -> SetCookie | None:
    """
    The cookie in the value of a header; C{None} if browsers ignore it.
    """
    if _hasControls(header):
        return None
    pair, *attributes = header.split(b";")
    name, equals, value = pair.partition(b"=")
    if not equals:
        name, value = b"", pair
    name, value = name.strip(b" \t"), value.strip(b" \t")
    if not 0 < len(name) + len(value) <= MAXIMUM:
        return None
    return SetCookie(name, value, _attributes(attributes))


def _attributes(texts: list[bytes]) -> Mapping[bytes, bytes]:
    """
    The attributes, without those whose values are too long.
    """
    pairs = (text.partition(b"=") for text in texts)
    stripped = ((name.strip(b" \t").lower(), value.strip(b" \t")) for name, _, value in pairs)
    return {name: value for name, value in stripped if len(value) <= MAXIMUM_ATTRIBUTE}


def parseDate(text: str) -> float | None:
    """
    A date in whatever form servers write it (5.1.1), in seconds since the
    epoch; C{None} if it is none.
    """
    time = day = month = year = None
    for token in _splitDate(text):
        if time is None and (found := _matchTime(token)):
            time = [int(number) for number in found.groups()]
        elif day is None and (found := _matchDay(token)):
            day = int(found.group(1))
        elif month is None and token[:3].lower() in MONTHS:
            month = MONTHS.index(token[:3].lower()) + 1
        elif year is None and (found := _matchYear(token)):
            year = int(found.group(1))
    if time is None or day is None or month is None or year is None:
        return None
    if year < 100:
        year += 1900 if year >= 70 else 2000
    if year < 1601:
        return None
    hour, minute, second = time
    try:
        return datetime(year, month, day, hour, minute, second, tzinfo=timezone.utc).timestamp()
    except ValueError:
        return None
