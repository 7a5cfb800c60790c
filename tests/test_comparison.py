"""
Tests for L{txsessions.comparison}.
"""

from __future__ import annotations

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from txsessions.comparison import TOLERANCE, Verdict, compare, update
from txsessions.errors import SessionEnded
from txsessions.record import Change, Record, apply

SID = "0123456789abcdef" * 2

RECORD = Record(SID, b"v" * 32, 1000.0, 2000.0, 1800.0, None, "anna", {"data:a": b"1"})

CHANGES = {
    "verifier": b"w" * 32,
    "sessionTimeout": 900.0,
    "absoluteTimeout": 86400.0,
    "sessionKey": None,
    "attributes": {"data:a": b"2"},
}

texts = st.sampled_from([b"1", b"2", b'"x"'])
records = st.builds(
    Record,
    sid=st.just(SID),
    verifier=st.sampled_from([b"v" * 32, b"w" * 32]),
    created=st.just(1000.0),
    lastModified=st.floats(1000, 1e6),
    sessionTimeout=st.floats(60, 1e5),
    absoluteTimeout=st.none() | st.floats(1e6, 1e7),
    sessionKey=st.none() | st.sampled_from(["anna", "bert"]),
    attributes=st.dictionaries(st.sampled_from(["data:a", "data:b", "component:c"]), texts),
    version=st.integers(1, 9),
)


def test_same():
    """
    A record is the same as itself, and as one whose times are off by less than
    two clocks may be, or that has counted its changes otherwise.
    """
    assert compare(RECORD, RECORD) is Verdict.SAME
    near = attrs.evolve(RECORD, created=1000.4, lastModified=1999.5, version=7)
    assert compare(RECORD, near) is Verdict.SAME
    assert compare(near, RECORD) is Verdict.SAME


@pytest.mark.parametrize("name", CHANGES)
def test_laterChange(name):
    """
    Where the content differs in any fact, the one that was touched later is the
    newer one, whoever has counted more changes.
    """
    later = attrs.evolve(RECORD, **{name: CHANGES[name]}, lastModified=2000 + 2 * TOLERANCE)
    for version in (1, 9):
        assert compare(attrs.evolve(later, version=version), RECORD) is Verdict.OLDER
        assert compare(RECORD, attrs.evolve(later, version=version)) is Verdict.NEWER


@pytest.mark.parametrize("name", CHANGES)
def test_changeAtTheSameTime(name):
    """
    Where the content differs and the times do not, who has counted more changes
    is the newer one; if that does not differ either, nobody knows.
    """
    changed = attrs.evolve(RECORD, **{name: CHANGES[name]})
    assert compare(attrs.evolve(changed, version=2), RECORD) is Verdict.OLDER
    assert compare(RECORD, attrs.evolve(changed, version=2)) is Verdict.NEWER
    assert compare(changed, RECORD) is Verdict.OTHER


def test_touched():
    """
    A touch in the source makes the copy an older one; a touch of the copy is no
    matter.
    """
    touched = attrs.evolve(RECORD, lastModified=2060.0)
    assert compare(touched, RECORD) is Verdict.OLDER
    assert compare(RECORD, touched) is Verdict.SAME


def test_anotherBeginning():
    """
    What began at another time is another session.
    """
    assert compare(attrs.evolve(RECORD, created=1100.0), RECORD) is Verdict.OTHER


@given(record=records, copy=records)
def test_update(record, copy):
    """
    An older copy is like the record after the changes, whatever they differ in
    and however long ago the copy's deadline was; nobody can break in between.
    """
    if compare(record, copy) is not Verdict.OLDER:
        return
    after = copy
    for change in update(record, copy):
        assert change.expectedVersion == after.version
        after = apply(after, change)
    assert attrs.evolve(after, version=record.version) == attrs.evolve(
        record, lastModified=max(record.lastModified, copy.lastModified)
    )


def test_lateTouch():
    """
    A copy whose deadline has passed because it was told of no touches gets the
    record's deadline first; without that, it would be refused (the control).
    """
    late = attrs.evolve(RECORD, lastModified=9000.0)
    first, second = update(late, RECORD)
    between = apply(RECORD, first)
    assert between.lastModified + between.sessionTimeout == 9000 + 1800
    assert compare(late, apply(between, second)) is Verdict.SAME
    with pytest.raises(SessionEnded):
        apply(RECORD, Change(SID, lastModified=9000.0))


def test_mereTouch():
    """
    A touch alone counts as no change of the copy's content.
    """
    (change,) = update(attrs.evolve(RECORD, lastModified=2100.0), RECORD)
    assert change.isTouch
