"""
A large dictionary in small ones.
"""

from __future__ import annotations

from collections.abc import Iterator, MutableMapping
from itertools import chain
from typing import Any, Final, TypeVar

V = TypeVar("V")

SHARDS: Final = 64
"""
How many dictionaries there are; a power of two.  Python makes a dictionary anew when
it is full, which takes 60 milliseconds where it has 1.4 million names, and one where
it has the share of these.
"""

WHOLE: Final = 5_000
"""
Up to how many names there is one dictionary only: there may be many who have few.
"""


class ShardedDict(MutableMapping[str, V]):
    """
    A dictionary of names.  However much there is in it, no operation takes long; and
    what is emptied gives its room back.

    @ivar _shards: The dictionaries.
    @ivar _mask: The bits of the hash of a name that say which of them has it.
    @ivar _count: How many names there are.
    """

    __slots__ = ("_count", "_mask", "_shards")

    def __init__(self) -> None:
        self._shards: tuple[dict[str, V], ...] = ({},)
        self._mask = 0
        self._count = 0

    def get(self, name: str, default: Any = None) -> Any:
        """
        See C{dict.get}.
        """
        return self._shards[hash(name) & self._mask].get(name, default)

    def pop(self, name: str, *default: Any) -> Any:
        """
        See C{dict.pop}.
        """
        shard = self._shards[hash(name) & self._mask]
        before = len(shard)
        value = shard.pop(name, *default)
        self._count += len(shard) - before
        if not shard:
            shard.clear()
        return value

    def __getitem__(self, name: str) -> V:
        return self._shards[hash(name) & self._mask][name]

    def __setitem__(self, name: str, value: V) -> None:
        shard = self._shards[hash(name) & self._mask]
        before = len(shard)
        shard[name] = value
        self._count += len(shard) - before
        if self._count > WHOLE and not self._mask:
            self._divide()

    def __delitem__(self, name: str) -> None:
        self.pop(name)

    def __contains__(self, name: object) -> bool:
        return name in self._shards[hash(name) & self._mask]

    def __iter__(self) -> Iterator[str]:
        return chain.from_iterable(self._shards)

    def __len__(self) -> int:
        return self._count

    def __repr__(self) -> str:
        return f"<{len(self)} names>"

    def _divide(self) -> None:
        """
        Have many dictionaries from now on.
        """
        (whole,) = self._shards
        self._shards, self._mask = tuple({} for _ in range(SHARDS)), SHARDS - 1
        for name, value in whole.items():
            self._shards[hash(name) & self._mask][name] = value
