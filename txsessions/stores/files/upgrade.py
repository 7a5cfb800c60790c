"""
Makes a directory that an older version has made one of the present format.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, suppress
from itertools import groupby, islice
from typing import Final

from ...errors import CorruptRecord
from ...record import Record
from .directory import SHARDS, Directory
from .owners import Owners, bucketOf
from .shard import Shard

TOGETHER: Final = 10_000
"""
How many sessions are listed with one sync of each bucket.
"""


def upgrade(directory: Directory, owners: Owners) -> None:
    """
    List the sessions of all owners.  What was interrupted begins anew; several
    processes may do this at the same time, but none of the older version.
    """
    owned = _owned(directory)
    while some := list(islice(owned, TOGETHER)):
        some.sort(key=_bucketOf)
        for bucket, pairs in groupby(some, _bucketOf):
            with ExitStack() as stack:
                owners.enter(stack, bucket, pairs)
    directory.renew()


def _owned(directory: Directory) -> Iterator[tuple[str, str]]:
    """
    All owners, each with a session.
    """
    for name in SHARDS:
        # Nobody waits for the lock of a bucket with that of a shard in his hands.
        with directory.shard(name) as shard:
            found = [_ownedBy(shard, sid) for sid in shard.sids()]
        yield from (pair for pair in found if pair is not None)


def _ownedBy(shard: Shard, sid: str) -> tuple[str, str] | None:
    """
    The owner of a session, and the session.
    """
    with suppress(CorruptRecord):
        record = shard.read(sid)
        if isinstance(record, Record) and record.sessionKey is not None:
            return record.sessionKey, sid
    return None


def _bucketOf(owned: tuple[str, str]) -> str:
    """
    The bucket of the owner in a pair.
    """
    return bucketOf(owned[0])
