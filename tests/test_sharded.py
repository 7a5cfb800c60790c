"""
Tests for L{txsessions.sharded}.
"""

from __future__ import annotations

import sys
from random import Random

import pytest

from txsessions import sharded
from txsessions.sharded import SHARDS, ShardedDict


def test_asADictionary(monkeypatch: pytest.MonkeyPatch) -> None:
    """
    Whatever is put in and taken out, in whichever order, it has what a dictionary would have.
    """
    monkeypatch.setattr(sharded, "WHOLE", 100)
    random = Random(20261121)
    ours: ShardedDict[int] = ShardedDict()
    theirs: dict[str, int] = {}
    for number in range(3000):
        name = str(random.randrange(500))
        if random.random() < (0.6 if number < 1500 else 0.4):
            ours[name] = theirs[name] = number
        elif name in theirs and number % 2:
            del ours[name], theirs[name]
        else:
            assert ours.pop(name, None) == theirs.pop(name, None)
        name = str(random.randrange(500))
        assert ours.get(name) == theirs.get(name)
        assert (name in ours) == (name in theirs)
        assert len(ours) == len(theirs) and bool(ours) == bool(theirs)
    assert ours == theirs and sorted(ours) == sorted(theirs)
    for step in (ours.__getitem__, ours.__delitem__, ours.pop):
        with pytest.raises(KeyError):
            step("nobody")
    assert ours == theirs


def test_inSmallOnes() -> None:
    """
    None of the dictionaries has more than about its share; and what is emptied gives its room
    back.
    """
    ours: ShardedDict[None] = ShardedDict()
    assert len(ours._shards) == 1
    empty = max(map(sys.getsizeof, ours._shards))
    names = [f"{number:032x}" for number in range(64_000)]
    for name in names:
        ours[name] = None
    assert max(map(len, ours._shards)) < 1.3 * len(names) / SHARDS
    for name in names:
        ours.pop(name)
    assert max(map(sys.getsizeof, ours._shards)) <= empty
