"""
Where a server is, and as whom to connect: what libpq is told.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final

import attrs
import psycopg
from psycopg import pq
from psycopg.conninfo import conninfo_to_dict, make_conninfo

DEFAULTS: Final[Mapping[str, str]] = {
    # Long enough for a server at the other end of the world, in seconds.
    "connect_timeout": "3",
    # A connection that carries nothing is known to be dead after 25 seconds,
    # and one on which something waits to be confirmed after 10.
    "keepalives_idle": "10",
    "keepalives_interval": "5",
    "keepalives_count": "3",
    "tcp_user_timeout": "10000",
    # Of several hosts, the one that takes writes.
    "target_session_attrs": "read-write",
    "fallback_application_name": "txsessions",
}
"""
What is asked of libpq where the user asks for nothing else.
"""

FORCED: Final[Mapping[str, str]] = {"client_encoding": "UTF8"}
"""
What is asked of libpq whatever the user asks for.
"""

MASK: Final = "***"

_options = pq.Conninfo.get_defaults()

KEYWORDS: Final = frozenset(option.keyword.decode() for option in _options)
"""
The keywords that this libpq knows.
"""

SECRETS: Final = frozenset(
    option.keyword.decode() for option in _options if b"*" in (option.dispchar or b"")
) | {"password", "sslpassword"}
"""
Those whose value is nobody's business.
"""

ADVICE: Final = (
    "the address of a PostgreSQL server is written with libpq's keywords, such as "
    "'host=127.0.0.1 port=5432 user=web dbname=web', or as a URI, in which special "
    "characters are percent-encoded"
)
"""
What an address that is not understood is answered with.  It repeats nothing of
it: where a quotation is missing, any part may be a piece of a password.
"""

TOGETHER: Final = (
    "one of libpq's keywords stands in the value of another; in the text of a store there are "
    "colons in between: postgres:host=127.0.0.1:port=5432:user=web:dbname=web"
)
"""
What a connection string is answered with that was written as one value.
"""

_keywordsIn = re.compile(r"\s(\w+)\s*=").findall


@attrs.frozen
class Address:
    """
    What libpq is told.

    @ivar parameters: Its keywords with their values.
    @ivar label: The server, for texts that people read.
    """

    parameters: Mapping[str, str] = attrs.field(repr=False)
    label: str

    def conninfo(self) -> str:
        """
        The connection string.
        """
        return make_conninfo(**self.parameters)

    def masked(self, text: str) -> str:
        """
        The text in one line, and without secrets.
        """
        for keyword in SECRETS & self.parameters.keys():
            secret = self.parameters[keyword]
            if secret:
                text = text.replace(secret, MASK)
        return " ".join(text.split())


def parse(dsn: str, keywords: Mapping[str, Any]) -> Address:
    """
    The address that a connection string and keywords give together.  Of two
    values the keyword's counts.

    @raise ValueError: They give none.
    """
    if not keywords.keys() <= KEYWORDS:
        raise ValueError(f"libpq does not know one of the keywords; {ADVICE}")
    try:
        given = conninfo_to_dict(dsn, **keywords)
    except (psycopg.Error, UnicodeError, TypeError):
        raise ValueError(ADVICE) from None
    parameters = {keyword: str(value) for keyword, value in given.items()}
    if not _isPlausible(parameters):
        raise ValueError(ADVICE)
    if _isRunTogether(parameters):
        raise ValueError(TOGETHER)
    return Address({**DEFAULTS, **parameters, **FORCED}, _label(parameters))


def _isPlausible(parameters: Mapping[str, str]) -> bool:
    """
    Whether this can be meant.  A password that is not percent-encoded in a URI
    ends up in the name of the host, the port or the database, from where it
    would be shown to everybody.
    """
    if "\0" in "".join(parameters.values()):
        return False
    ports = parameters.get("port", "").split(",")
    if not all(not port or (port.isascii() and port.isdigit()) for port in ports):
        return False
    names = (parameters.get(keyword, "") for keyword in ("host", "hostaddr", "dbname"))
    # An abstract socket of Linux begins with an at sign.
    return not any("@" in name.lstrip("@") for name in names)


def _isRunTogether(parameters: Mapping[str, str]) -> bool:
    """
    Whether a value goes on with another keyword, which may be the password: as
    a part of a host, a user or a database it would be shown to everybody.
    """
    shown = (value for keyword, value in parameters.items() if keyword not in SECRETS)
    return any(not KEYWORDS.isdisjoint(_keywordsIn(value)) for value in shown)


def _label(parameters: Mapping[str, str]) -> str:
    """
    What the server is called: host and port, as far as they are given.
    """
    host = parameters.get("host") or parameters.get("hostaddr")
    port = parameters.get("port")
    parts = [part for part in (host, port) if part]
    return f"PostgreSQL at {':'.join(parts)}" if parts else "PostgreSQL"
