"""
Tests for L{txsessions.stores.pages}.
"""

from __future__ import annotations

from random import Random

import pytest

from txsessions.stores import pages
from txsessions.stores.pages import Pages


def test_asADictionary(monkeypatch: pytest.MonkeyPatch) -> None:
    """
    Whatever is added and taken out, in whichever order, it has what a dictionary would have,
    and no page that is empty but the last.
    """
    monkeypatch.setattr(pages, "PAGE", 10)
    random = Random(20261121)
    ours: Pages[int] = Pages()
    theirs: dict[str, int] = {}
    for number in range(3000):
        if random.random() < (0.6 if number < 1500 else 0.4):
            ours.add(str(number), number)
            theirs[str(number)] = number
        else:
            name = random.choice([*theirs, "nobody"])
            ours.discard(name)
            theirs.pop(name, None)
        name = str(random.randrange(number + 1))
        assert ours.get(name) == theirs.get(name)
        assert (name in ours) == (name in theirs)
        assert len(ours) == len(theirs)
        assert all(ours._pages[:-1]) and max(map(len, ours._pages)) <= 10
    assert {name: ours[name] for name in theirs} == theirs
    with pytest.raises(KeyError):
        ours["nobody"]
