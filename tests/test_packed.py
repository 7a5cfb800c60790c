"""
Tests for L{txsessions.stores.packed}.
"""

from __future__ import annotations

import gc
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from interpreter import needsPlainDicts

from txsessions.record import Record
from txsessions.stores import packed
from txsessions.stores.packed import PackedRecords

TIMES = st.floats(allow_nan=False, width=64)
TEXTS = st.text(alphabet=st.characters(exclude_categories=()), max_size=5)


def newRecord(number: int, **facts: Any) -> Record:
    """
    A record.
    """
    usual = {"created": 0.0, "lastModified": 0.0, "sessionTimeout": 900.0}
    return Record(f"{number:032x}", bytes(32), **{**usual, **facts})


@pytest.fixture(autouse=True)
def few(monkeypatch: pytest.MonkeyPatch) -> None:
    """
    All but three are packed.
    """
    monkeypatch.setattr(packed, "RECENT", 3)


@given(
    st.builds(
        Record,
        st.just("0" * 32),
        st.binary(max_size=40),
        TIMES,
        TIMES,
        TIMES,
        st.none() | TIMES,
        st.none() | TEXTS,
        st.dictionaries(TEXTS, st.binary(max_size=9)),
        st.integers(1, 2**63 - 1),
    )
)
def test_comesBack(record: Record) -> None:
    """
    Every record comes back as it was, with every bit, and also with text that is no Unicode.
    """
    records = PackedRecords()
    records[record.sid] = record
    for number in range(1, 4):
        records[newRecord(number).sid] = newRecord(number)
    assert records[record.sid] is not record or "\\ud" in ascii(record.__reduce__())
    assert records[record.sid] == record
    assert records.pop(record.sid) == record
    assert record.sid not in records


@given(st.lists(st.tuples(st.integers(0, 9), st.sampled_from("spd"))))
def test_asDict(steps: list[tuple[int, str]]) -> None:
    """
    It does what a dict does.
    """
    records, plain = PackedRecords(), dict[str, Record]()
    for version, (number, step) in enumerate(steps, 1):
        record = newRecord(number, version=version)
        sid = record.sid
        if step == "s":
            records[sid] = plain[sid] = record
        elif step == "p":
            assert records.pop(sid, None) == plain.pop(sid, None)
        elif sid in plain:
            del records[sid], plain[sid]
        else:
            with pytest.raises(KeyError):
                del records[sid]
            with pytest.raises(KeyError):
                records.pop(sid)
        assert records == plain and len(records) == len(plain)
        assert sorted(records) == sorted(plain)
        assert (sid in records, records.get(sid)) == (sid in plain, plain.get(sid))


class Name(str):
    """
    A name of an application's own type.
    """


@pytest.mark.parametrize(
    "facts",
    [
        {"sessionKey": Name("anna")},
        {"sessionTimeout": 10**30},
        {"sessionTimeout": True},
        {"absoluteTimeout": Decimal(9)},
        {"attributes": {Name("data:a"): b"1"}},
        {"attributes": {"data:a": memoryview(b"1")}},
    ],
)
def test_unusual(facts: dict[str, Any]) -> None:
    """
    A record with a value of another type than is written comes back as it was, and the records
    beside it are not touched.
    """
    records = PackedRecords()
    records[newRecord(0).sid] = newRecord(0, **facts)
    for number in range(1, 9):
        records[newRecord(number).sid] = newRecord(number)
    assert len(records) == 9
    assert records[newRecord(0).sid] == newRecord(0, **facts)
    assert type(records[newRecord(0).sid].sessionTimeout) is type(
        newRecord(0, **facts).sessionTimeout
    )


@needsPlainDicts
def test_notCollected() -> None:
    """
    The collector of garbage does not look at those that are packed.
    """
    records = PackedRecords()
    for number in range(1000):
        records[newRecord(number).sid] = newRecord(number, attributes={"data:visits": b"1"})
    gc.collect()
    assert not any(map(gc.is_tracked, records._packed._shards)) and len(records._packed) == 997
