"""
Many records in little room.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator, MutableMapping
from itertools import chain
from typing import Any, Final

import msgspec

from ..record import NOTHING, Record
from ..sharded import ShardedDict

RECENT: Final = 10_000
"""
How many records are kept as they are: as many as there are live sessions.
"""


class Row(msgspec.Struct, array_like=True, gc=False):
    """
    A record but for its handle.
    """

    verifier: bytes
    created: float
    lastModified: float
    sessionTimeout: float
    absoluteTimeout: float | None
    sessionKey: str | None
    version: int
    attributes: dict[str, bytes]

    def __repr__(self) -> str:
        return f"<Row version {self.version}>"

    def __rich_repr__(self) -> list[tuple[str, Any]]:
        """
        The same for C{rich}, to which a struct shows all.
        """
        return [("version", self.version)]


OWNERS: Final = (str, type(None))
TIMES: Final = (float, int)

_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(Row).decode


class PackedRecords(MutableMapping[str, Record]):
    """
    Records by their handle: those that were put in last as they are, the others as
    bytes.  These take a third of the room, and Python's collector of garbage looks
    at none of them: a dict of strings and bytes is not its business.

    @ivar _recent: Those that were put in last, in that order.
    @ivar _packed: The others.
    """

    __slots__ = ("_packed", "_recent")

    def __init__(self) -> None:
        self._recent: OrderedDict[str, Record] = OrderedDict()
        self._packed: ShardedDict[bytes | Record] = ShardedDict()

    def get(self, sid: str, default: Any = None) -> Any:
        """
        See C{dict.get}.
        """
        record = self._recent.get(sid)
        if record is None:
            packed = self._packed.get(sid)
            return default if packed is None else _unpacked(sid, packed)
        return record

    def pop(self, sid: str, *default: Any) -> Any:
        """
        See C{dict.pop}.
        """
        record = self._recent.pop(sid, None)
        if record is None:
            packed = self._packed.pop(sid, *default)
            return _unpacked(sid, packed) if isinstance(packed, (bytes, Record)) else packed
        return record

    def __getitem__(self, sid: str) -> Record:
        record: Record | None = self.get(sid)
        if record is None:
            raise KeyError(sid)
        return record

    def __setitem__(self, sid: str, record: Record) -> None:
        recent = self._recent
        isNew = sid not in recent
        recent[sid] = record
        if isNew:
            self._packed.pop(sid, None)
            if len(recent) > RECENT:
                oldest = next(iter(recent))
                self._packed[oldest] = _packed(recent[oldest])
                del recent[oldest]

    def __delitem__(self, sid: str) -> None:
        if self._recent.pop(sid, None) is None:
            del self._packed[sid]

    def __contains__(self, sid: object) -> bool:
        return sid in self._recent or sid in self._packed

    def __iter__(self) -> Iterator[str]:
        return chain(self._packed, self._recent)

    def __len__(self) -> int:
        return len(self._packed) + len(self._recent)

    def __repr__(self) -> str:
        return f"<{len(self)} records>"


def _packed(record: Record) -> bytes | Record:
    """
    A record as bytes; as it is if it would not come back: there is text in it
    that is no Unicode, or a value of a type of its own.
    """
    if not _isUsual(record):
        return record
    row = Row(
        record.verifier,
        record.created,
        record.lastModified,
        record.sessionTimeout,
        record.absoluteTimeout,
        record.sessionKey,
        record.version,
        dict(record.attributes),
    )
    try:
        return _encode(row)
    except (UnicodeEncodeError, OverflowError, TypeError):
        return record


def _isUsual(record: Record) -> bool:
    """
    Whether the facts of a record are of the types that are written.
    """
    return (
        type(record.sessionKey) in OWNERS
        and type(record.created) in TIMES
        and type(record.lastModified) in TIMES
        and type(record.sessionTimeout) in TIMES
        and (record.absoluteTimeout is None or type(record.absoluteTimeout) in TIMES)
        and type(record.verifier) is bytes
    )


def _unpacked(sid: str, packed: bytes | Record) -> Record:
    """
    What L{_packed} was made of.
    """
    if isinstance(packed, Record):
        return packed
    row = _decode(packed)
    return Record(
        sid,
        row.verifier,
        row.created,
        row.lastModified,
        row.sessionTimeout,
        row.absoluteTimeout,
        row.sessionKey,
        row.attributes or NOTHING,
        row.version,
    )
