"""
Tests for the judge of a chaos run, on histories that are made up.
"""

from __future__ import annotations

from typing import Any

import pytest

from txsessions.courier import BATCH
from txsessions.lifetime import IDLE, LOGOUT
from txsessions.testing.chaos import checker, endings
from txsessions.testing.chaos.checker import check
from txsessions.testing.chaos.endings import Ending, checkEndings
from txsessions.testing.chaos.history import History
from txsessions.testing.chaos.notebook import Told
from txsessions.testing.chaos.operation import (
    ADD,
    BEGIN,
    DONE,
    FAILED,
    LOGIN,
    LOST,
    NONE,
    PROBE,
    READ,
    REFUSED,
    WRITE,
    Operation,
)
from txsessions.testing.chaos.operation import (
    LOGOUT as ASKED_TO_END,
)


class Made:
    """
    A history that is made up; its session has begun from 0 to 1.
    """

    def __init__(self) -> None:
        self.history = History("mine")
        self.add(BEGIN, 0, 1, cookie=-1, hasCookie=True)

    def add(self, kind: str, start: float, end: float, **facts: Any) -> Made:
        """
        A request.
        """
        told = {"cookie": 0, "outcome": DONE, **facts}
        if told["outcome"] == DONE:
            told.setdefault("name", "mine")
        number = len(self.history.operations)
        self.history.operations.append(Operation(number, 0, 0, kind, start=start, end=end, **told))
        return self

    def write(self, start: float, end: float, token: int, **facts: Any) -> Made:
        """
        A write of C{"mine.<token>"} to the key C{"k"}.
        """
        return self.add(WRITE, start, end, key="k", token=f"mine.{token}", **facts)

    def read(self, start: float, end: float, token: int | None, **facts: Any) -> Made:
        """
        A read that finds that.
        """
        found = {} if token is None else {"k": f"mine.{token}"}
        return self.add(READ, start, end, found=found, **facts)

    def anomalies(self) -> list[str]:
        """
        What is wrong with it, by kind.
        """
        return [each.kind for each in check(self.history)]


class TestWrites:
    """
    What was acknowledged is read.
    """

    def test_kept(self) -> None:
        """
        Whoever asks after the answer reads what was written, until somebody else writes.
        """
        made = Made().read(1, 2, None).write(2, 3, 1).read(4, 5, 1).write(5, 6, 2).read(7, 8, 2)
        assert made.anomalies() == []

    @pytest.mark.parametrize("found", [None, 1])
    def test_missing(self, found: int | None) -> None:
        """
        What was there before is an anomaly, with the requests that show it.
        """
        made = Made().write(1, 2, 1).write(3, 4, 2).read(5, 6, found)
        (anomaly,) = check(made.history)
        assert anomaly.kind == checker.MISSING
        assert "mine.2 was acknowledged" in anomaly.text
        assert "#2 client 0 at worker 0, cookie 0: write k = mine.2: done" in anomaly.story()
        assert made.history.operations[-1] in anomaly.operations

    def test_overlapping(self) -> None:
        """
        Of writes at the same time either is the last; and a read during a write finds it
        or does not.
        """
        for found in (1, 2):
            assert Made().write(1, 4, 1).write(2, 3, 2).read(5, 6, found).anomalies() == []
        for found in (None, 1):
            assert Made().write(1, 4, 1).read(2, 3, found).anomalies() == []

    @pytest.mark.parametrize("outcome", [LOST, REFUSED])
    def test_unknown(self, outcome: str) -> None:
        """
        What nobody acknowledged is there or not, also later than what was acknowledged
        after it; but it hides nothing.
        """
        for found in (1, 2):
            made = Made().write(1, 2, 1).write(3, 4, 2, outcome=outcome).read(5, 6, found)
            assert made.anomalies() == []
        made = Made().write(1, 2, 1, outcome=outcome).write(3, 4, 2)
        assert made.read(5, 6, 1).anomalies() == []
        assert made.read(7, 8, None).anomalies() == [checker.MISSING]

    def test_refusedByNobody(self) -> None:
        """
        A write that found no session was not done.
        """
        made = Made().write(1, 2, 1).add(ASKED_TO_END, 2, 3).write(3, 4, 2, outcome=NONE)
        assert made.anomalies() == []

    @pytest.mark.parametrize(
        "facts",
        [{"token": 9}, {"token": 1, "start": 1, "end": 2}],
        ids=["never", "too early"],
    )
    def test_unwritten(self, facts: Any) -> None:
        """
        What nobody has written yet cannot be read.
        """
        given = {"start": 5, "end": 6, **facts}
        assert Made().read(**given).write(3, 4, 1).anomalies() == [checker.UNWRITTEN]

    def test_foreign(self) -> None:
        """
        Neither another session's name nor what was written into it is ever read.
        """
        assert Made().read(1, 2, None, name="yours").anomalies() == [checker.FOREIGN]
        made = Made().add(READ, 1, 2, found={"k": "yours.1"})
        assert made.anomalies() == [checker.FOREIGN]


class TestCounter:
    """
    The counter is exact between what was acknowledged and what may have been.
    """

    def test_right(self) -> None:
        """
        One that was not answered counts or does not.
        """
        for total in (1, 2):
            made = Made().add(ADD, 1, 2, total=1).add(ADD, 3, 4, outcome=LOST)
            assert made.add(READ, 5, 6, found={}, total=total).anomalies() == []

    @pytest.mark.parametrize("total", [0, 3])
    def test_wrong(self, total: int) -> None:
        """
        Fewer than were acknowledged, or more than had begun, are an anomaly.
        """
        made = Made().add(ADD, 1, 2, total=1).add(ADD, 3, 4, outcome=LOST)
        made.add(READ, 5, 6, found={}, total=total)
        assert made.anomalies() == [checker.COUNT]

    def test_twice(self) -> None:
        """
        Two increments do not make the same number.
        """
        made = Made().add(ADD, 1, 4, total=1).add(ADD, 2, 3, total=1)
        assert made.anomalies() == [checker.COUNT]


class TestEnds:
    """
    What is dead stays dead, and what lives stays alive.
    """

    def test_dead(self) -> None:
        """
        Nothing answers after the end; what had begun before gets its normal answer.
        """
        made = Made().add(ASKED_TO_END, 2, 3).write(1, 5, 1).add(PROBE, 6, 7, outcome=NONE)
        assert made.anomalies() == []

    @pytest.mark.parametrize("kind", [PROBE, WRITE, ADD])
    def test_revived(self, kind: str) -> None:
        """
        Whatever is answered after the end is an anomaly.
        """
        assert checker.REVIVED in Made().add(ASKED_TO_END, 2, 3).add(kind, 4, 5).anomalies()

    @pytest.mark.parametrize("outcome", [LOST, REFUSED])
    def test_perhapsDead(self, outcome: str) -> None:
        """
        After an end that was not acknowledged it lives or does not; but what was once
        found dead does not live.
        """
        made = Made().add(ASKED_TO_END, 2, 3, outcome=outcome).read(4, 5, None)
        assert made.add(READ, 6, 7, outcome=NONE).anomalies() == []
        assert made.read(8, 9, None).anomalies() == [checker.REVIVED]

    def test_vanished(self) -> None:
        """
        A session that nobody has ended is there.
        """
        made = Made().add(READ, 1, 2, outcome=NONE).add(ASKED_TO_END, 3, 4, outcome=NONE)
        assert made.anomalies() == [checker.VANISHED, checker.VANISHED]

    def test_oldCookie(self) -> None:
        """
        After a log-in the old cookie is dead, and the new one is not.
        """
        made = Made().add(LOGIN, 1, 2, hasCookie=True).add(PROBE, 3, 4, outcome=NONE)
        assert made.read(3, 4, None, cookie=1).anomalies() == []
        assert made.add(PROBE, 2.5, 3, found={}).anomalies() == [checker.OLD]
        made = Made().add(LOGIN, 1, 2, hasCookie=True).add(READ, 3, 4, cookie=1, outcome=NONE)
        assert made.anomalies() == [checker.VANISHED]

    def test_perhapsOldCookie(self) -> None:
        """
        After a log-in that was not answered the old cookie opens the session, or does not.
        """
        assert Made().add(LOGIN, 1, 2, outcome=LOST).read(3, 4, None).anomalies() == []
        made = Made().add(LOGIN, 1, 2, outcome=LOST).add(READ, 3, 4, outcome=NONE)
        assert made.anomalies() == []


class TestAnswers:
    """
    What an answer looks like.
    """

    @pytest.mark.parametrize(
        "kind, outcome", [(READ, REFUSED), (BEGIN, REFUSED), (READ, DONE), (READ, NONE)]
    )
    def test_cookie(self, kind: str, outcome: str) -> None:
        """
        Neither a 503 nor an answer of a session that goes on brings a cookie.
        """
        made = Made().add(ASKED_TO_END, 1, 9, outcome=LOST)
        made.add(kind, 2, 3, outcome=outcome, status=503, hasCookie=True)
        assert made.anomalies() == [checker.COOKIE]

    def test_status(self) -> None:
        """
        No request fails in any other way than by a 503.
        """
        assert Made().add(READ, 1, 2, outcome=FAILED, status=500).anomalies() == [checker.STATUS]


SID = "0" * 32


def told(**facts: Any) -> Told:
    """
    What the observer was told.
    """
    usual = {"eventID": "e", "sid": SID, "reason": LOGOUT, "session": "mine", "toldAt": 10.0}
    return Told("worker-0", **{**usual, **facts})


class TestEndings:
    """
    What ended is told.
    """

    def kinds(self, *lines: Told, isCertain: bool = True, allowed: int = BATCH) -> list[str]:
        """
        What is wrong with what was told of a session that was ended at 9.
        """
        ended = {SID: Ending("mine", 9.0, isCertain)}
        return [each.kind for each in checkEndings(ended, lines, allowed)]

    def test_right(self) -> None:
        """
        Once, or again where something was hit; where nobody knows whether it ended, not
        at all.
        """
        assert self.kinds(told()) == []
        assert self.kinds(told(), told()) == []
        assert self.kinds(isCertain=False) == []

    def test_untold(self) -> None:
        """
        An end that was acknowledged and not told is an anomaly.
        """
        assert self.kinds() == [endings.UNTOLD]

    @pytest.mark.parametrize(
        "facts",
        [{"reason": IDLE}, {"session": "yours"}, {"toldAt": 8.0}],
        ids=lambda facts: next(iter(facts)),
    )
    def test_wrong(self, facts: Any) -> None:
        """
        It is told as what it was, with what was in it, and not before it was asked for.
        """
        assert self.kinds(told(**facts)) == [endings.WRONG]

    def test_several(self) -> None:
        """
        It is told by one event.
        """
        assert self.kinds(told(), told(eventID="f")) == [endings.WRONG]

    def test_nobodyEnded(self) -> None:
        """
        What lives is not told.
        """
        assert self.kinds(told(), told(sid="1" * 32, eventID="f")) == [endings.WRONG]

    @pytest.mark.parametrize("reason, kinds", [(LOGOUT, []), (IDLE, [endings.WRONG])])
    def test_abandoned(self, reason: str, kinds: list[str]) -> None:
        """
        A session whose beginning was not acknowledged may be ended by the site, and not
        expire.
        """
        lines = [told(reason=reason)]
        assert [each.kind for each in checkEndings({}, lines, BATCH, {"mine"})] == kinds
        assert [each.kind for each in checkEndings({}, lines, BATCH, {"yours"})] == [endings.WRONG]

    def test_repeated(self) -> None:
        """
        It is not told more often than the faults explain.
        """
        assert self.kinds(told(), told(), allowed=0) == [endings.REPEATED]
