"""
The slots of a Cluster: in which one a key is, and which node has it.
"""

from __future__ import annotations

from binascii import crc_hqx
from collections.abc import Sequence
from typing import Any, Final

from .address import Address

SLOTS: Final = 16384
"""
How many slots a Cluster has.
"""


def slotOf(key: str | bytes) -> int:
    """
    The slot of a key.  Of a key with a part in braces only that part counts,
    so that keys can be kept together.
    """
    if isinstance(key, str):
        key = key.encode("utf-8")
    start = key.find(b"{") + 1
    if start:
        end = key.find(b"}", start)
        if end > start:
            key = key[start:end]
    return crc_hqx(key, 0) & (SLOTS - 1)


def parseSlots(reply: Sequence[Any], asked: Address) -> list[Address | None]:
    """
    For each slot the address of the master that has it, or C{None}.

    @param reply: The reply to C{CLUSTER SLOTS}.
    @param asked: Who gave it: a node that does not know its own host means
        the one by which it was reached.
    """
    masters: list[Address | None] = [None] * SLOTS
    for first, last, master, *_ in reply:
        host = (master[0] or b"").decode("ascii")
        address = Address(asked.host if host in ("", "?") else host, master[1])
        masters[first : last + 1] = [address] * (last + 1 - first)
    return masters


def parseRedirection(text: str, asked: Address) -> Address:
    """
    The address in C{"MOVED slot host:port"} or C{"ASK slot host:port"}.

    @param asked: Who said so; it means itself by an empty host.
    """
    host, _, port = text.split(" ")[2].rpartition(":")
    return Address(host or asked.host, int(port))
