"""
Tests for L{txsessions.record}.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import permutations
from typing import Any

import attrs
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from rich.pretty import pretty_repr

from txsessions.errors import SessionEnded, VersionConflict
from txsessions.lifetime import ABSOLUTE, IDLE
from txsessions.record import UNCHANGED, Change, Record, apply, mergedAttributes

SID = "00112233445566778899aabbccddeeff"

names = st.sampled_from([f"data:{letter}" for letter in "abcdef"])
texts = st.integers(0, 9).map(lambda number: b"%d" % number)
attributes = st.dictionaries(names, texts)
verifiers = st.sampled_from([bytes([number]) * 32 for number in range(4)])
seconds = st.floats(0, 2000)

records = st.builds(
    Record,
    sid=st.just(SID),
    verifier=verifiers,
    created=seconds,
    lastModified=seconds,
    sessionTimeout=seconds,
    absoluteTimeout=st.none() | seconds,
    sessionKey=st.none() | st.sampled_from(["anna", "ben"]),
    attributes=attributes,
    version=st.integers(1, 5),
)
changes = st.builds(
    Change,
    sid=st.just(SID),
    set=attributes,
    unset=st.frozensets(names),
    lastModified=st.none() | seconds,
    sessionKey=st.sampled_from([UNCHANGED, None, "anna", "ben"]),
    verifier=st.just(UNCHANGED) | verifiers,
    sessionTimeout=st.just(UNCHANGED) | seconds,
    absoluteTimeout=st.just(UNCHANGED) | st.none() | seconds,
    expectedVersion=st.none() | st.integers(1, 5),
    expectedVerifier=st.none() | verifiers,
)


def newRecord(**facts: Any) -> Record:
    """
    A record of a session that begins at 1000.
    """
    usual = {"verifier": b"v" * 32, "created": 1000.0, "lastModified": 1000.0}
    return Record(**{"sid": SID, "sessionTimeout": 900.0, **usual, **facts})


def applied(record: Record, *some: Change) -> Record:
    """
    The record after these changes, in this order.
    """
    for change in some:
        record = apply(record, change)
    return record


def outcome(record: Record, change: Change) -> Record:
    """
    The record after a change, if it applies.
    """
    try:
        return apply(record, change)
    except (VersionConflict, SessionEnded):
        assume(False)
        raise


class TestContent:
    """
    What becomes of attributes.
    """

    def test_setAndUnset(self) -> None:
        """
        A change sets and removes attributes, and leaves all others as they are.
        """
        record = newRecord(attributes={"data:a": b"1", "data:b": b"2", "data:c": b"3"})
        change = Change(SID, set={"data:a": b"9", "data:d": b"4"}, unset=frozenset({"data:b"}))
        assert apply(record, change).attributes == {
            "data:a": b"9",
            "data:c": b"3",
            "data:d": b"4",
        }

    @given(attributes, st.lists(st.tuples(names, st.none() | texts), max_size=4))
    def test_disjointChangesCommute(self, before: Any, wishes: list[Any]) -> None:
        """
        Changes of different attributes all survive, in whichever order they come.
        """
        record = newRecord(attributes=before)
        some = [
            Change(SID, unset=frozenset({name})) if text is None else Change(SID, set={name: text})
            for name, text in dict(wishes).items()
        ]
        expected = {**before, **{name: text for name, text in wishes if text is not None}}
        for name, text in dict(wishes).items():
            if text is None:
                expected.pop(name, None)
            else:
                expected[name] = text
        for order in permutations(some):
            assert applied(record, *order).attributes == expected

    @given(records, changes)
    def test_nothingIsShared(self, record: Record, change: Change) -> None:
        """
        A change makes a new record, and leaves the old one and itself as they were.
        """
        before = attrs.evolve(record, attributes=dict(record.attributes))
        outcome(record, change)
        assert record == before

    @given(records, changes)
    def test_idempotent(self, record: Record, change: Change) -> None:
        """
        A change that is applied twice has the effect of one, but for the version.
        """
        change = attrs.evolve(change, expectedVersion=None, expectedVerifier=None)
        once = outcome(record, change)
        twice = outcome(once, change)
        assert attrs.evolve(twice, version=once.version) == once

    def test_untouchedMappingStays(self) -> None:
        """
        A change that is not of attributes copies none.
        """
        before = {"data:a": b"1"}
        assert mergedAttributes(before, Change(SID, sessionKey="anna")) is before


class TestFacts:
    """
    What becomes of the single facts.
    """

    @pytest.mark.parametrize(
        ("name", "value"),
        [
            ("sessionKey", "anna"),
            ("sessionKey", None),
            ("verifier", b"n" * 32),
            ("sessionTimeout", 60.0),
            ("absoluteTimeout", 3600.0),
            ("absoluteTimeout", None),
        ],
    )
    def test_oneFact(self, name: str, value: Any) -> None:
        """
        A change of one fact, to nothing as well, changes that fact alone.
        """
        record = newRecord(sessionKey="ben", absoluteTimeout=7200.0)
        change = Change(SID, **{name: value})
        assert not change.isTouch
        assert apply(record, change) == attrs.evolve(record, version=2, **{name: value})

    @given(records, changes)
    def test_birthStays(self, record: Record, change: Change) -> None:
        """
        No change makes a session another one, or younger.
        """
        after = outcome(record, change)
        assert (after.sid, after.created) == (record.sid, record.created)

    @given(records, changes)
    def test_version(self, record: Record, change: Change) -> None:
        """
        Each change of content counts once, and a touch does not count.
        """
        after = outcome(record, change)
        assert after.version == record.version + (0 if change.isTouch else 1)
        if change.isTouch:
            assert attrs.evolve(after, lastModified=record.lastModified) == record


class TestTouch:
    """
    What becomes of the time of the last touch.
    """

    @given(records, changes)
    def test_neverBack(self, record: Record, change: Change) -> None:
        """
        The time of the last touch never goes back.
        """
        assert outcome(record, change).lastModified >= record.lastModified

    @given(records, st.lists(seconds, max_size=4))
    def test_anyOrder(self, record: Record, moments: list[float]) -> None:
        """
        Touches that arrive in another order than they were made come to the same.
        """
        lively = attrs.evolve(record, sessionTimeout=1e6, absoluteTimeout=None)
        touches = [Change(SID, lastModified=moment) for moment in moments]
        ends = {applied(lively, *order).lastModified for order in permutations(touches)}
        assert ends == {max([record.lastModified, *moments])}

    @pytest.mark.parametrize(
        ("facts", "last", "reason"),
        [({}, 1900.0, IDLE), ({"absoluteTimeout": 100.0}, 1100.0, ABSOLUTE)],
    )
    def test_tooLate(self, facts: Any, last: float, reason: str) -> None:
        """
        A touch a second before the deadline counts; one at the deadline revives nothing, not
        even when it brings a longer time-out with it.
        """
        record = newRecord(**facts)
        assert apply(record, Change(SID, lastModified=last - 1)).lastModified == last - 1
        for change in (
            Change(SID, lastModified=last),
            Change(SID, lastModified=last, sessionTimeout=1e9, absoluteTimeout=None),
            Change(SID, lastModified=last + 1e9, set={"data:a": b"1"}),
        ):
            with pytest.raises(SessionEnded) as caught:
                apply(record, change)
            assert caught.value.reason == reason


class TestExpectations:
    """
    Changes that are meant for one state of the record.
    """

    @given(records, changes)
    def test_onlyAsExpected(self, record: Record, change: Change) -> None:
        """
        A change applies to the version and the verifier that it expects, and to no other.
        """
        fits = change.expectedVersion in (None, record.version) and change.expectedVerifier in (
            None,
            record.verifier,
        )
        try:
            apply(record, change)
        except VersionConflict:
            assert not fits
        except SessionEnded:
            assert fits
        else:
            assert fits

    def test_compareAndSet(self) -> None:
        """
        Of two changes that expect the same version one applies.
        """
        record = newRecord()
        change = Change(SID, set={"data:a": b"1"}, expectedVersion=1)
        after = apply(record, change)
        with pytest.raises(VersionConflict):
            apply(after, change)


def secretsIn(value: Any) -> Iterator[str]:
    """
    What must not be seen of a record or a change, as it would be seen.
    """
    for text in ("anna", "hunter2", "data:", "verif", "12345"):
        if text in value:
            yield text


def test_representation() -> None:
    """
    The text forms of a record and a change show the public handle and nothing secret.
    """
    facts: Any = {"verifier": b"verif", "sessionKey": "anna", "lastModified": 12345.0}
    record = newRecord(attributes={"data:pin": b'"hunter2"'}, created=12345.0, **facts)
    change = Change(
        SID,
        set={"data:pin": b'"hunter2"'},
        unset=frozenset({"data:pin"}),
        expectedVerifier=b"verif",
        **facts,
    )
    for value in (record, change):
        for text in (repr(value), str(value), f"{value}", f"{value!s:>5}", pretty_repr(value)):
            assert SID in text
            assert not list(secretsIn(text))
    assert repr(UNCHANGED) == "UNCHANGED"
