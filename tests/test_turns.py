"""
Tests for L{txsessions.turns}.
"""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.defer import CancelledError, Deferred, fail, succeed
from twisted.python.failure import Failure

from txsessions.turns import Turns


def outcomes(deferred: Deferred[Any]) -> list[Any]:
    """
    A list to which the result of the Deferred will be added.
    """
    results: list[Any] = []
    deferred.addBoth(
        lambda result: results.append(result.value if isinstance(result, Failure) else result)
    )
    return results


def test_atOnce() -> None:
    """
    A step that can begin at once begins at once, and leaves nothing busy when it is done.
    """
    turns = Turns()
    for step in (lambda: 1, lambda: succeed(1)):
        assert outcomes(turns.run(step)) == [1]
        assert not turns.isBusy
    assert turns.now(lambda: 1) == 1
    assert not turns.isBusy


def test_oneAfterTheOther() -> None:
    """
    A step begins when the one before it is done, and no sooner.
    """
    turns = Turns()
    first: Deferred[str] = Deferred()
    begun = []
    one = outcomes(turns.run(lambda: begun.append("one") or first))
    two = outcomes(turns.run(lambda: begun.append("two") or succeed("second")))
    assert (begun, one, two, turns.isBusy) == (["one"], [], [], True)
    first.callback("first")
    assert (begun, one, two, turns.isBusy) == (["one", "two"], ["first"], ["second"], False)


def raising() -> Any:
    """
    A step that fails before it returns.
    """
    raise ValueError("step")


@pytest.mark.parametrize("broken", [raising, lambda: fail(ValueError("step"))])
def test_failures(broken: Any) -> None:
    """
    A step that fails, however it does so, does not stand in the way of the next one.
    """
    turns = Turns()
    first: Deferred[str] = Deferred()
    turns.run(lambda: first)
    waiting = outcomes(turns.run(broken))
    after = outcomes(turns.run(lambda: "after"))
    first.callback("")
    assert isinstance(waiting[0], ValueError) and after == ["after"]
    assert isinstance(outcomes(turns.run(broken))[0], ValueError)
    assert not turns.isBusy


def test_raisingNow() -> None:
    """
    A step that raises when it is run at once raises there, and the next one begins.
    """
    turns = Turns()
    with pytest.raises(ValueError, match="step"):
        turns.now(raising)
    assert outcomes(turns.run(lambda: 1)) == [1]


def test_oneThatBeginsAnother() -> None:
    """
    A step that is asked for in the middle of another one, or by whoever waited for it, comes
    after those that wait already.
    """
    turns = Turns()
    first: Deferred[None] = Deferred()
    order: list[str] = []

    def second() -> None:
        order.append("second")
        turns.run(lambda: order.append("asked for by the second"))

    turns.run(lambda: first)
    done = turns.run(second)
    done.addCallback(lambda _: turns.run(lambda: order.append("asked for after the second")))
    turns.run(lambda: order.append("third"))
    first.callback(None)
    assert order == ["second", "third", "asked for by the second", "asked for after the second"]


def test_manyAtOnce() -> None:
    """
    Any number of steps may wait for one, and be done as soon as they begin.
    """
    turns = Turns()
    first: Deferred[None] = Deferred()
    turns.run(lambda: first)
    results = [outcomes(turns.run(lambda number=number: number)) for number in range(5_000)]
    first.callback(None)
    assert results == [[number] for number in range(5_000)]
    assert not turns.isBusy


def test_cancelled() -> None:
    """
    Whoever gives up waiting gets nothing, and disturbs nobody.
    """
    turns = Turns()
    first: Deferred[None] = Deferred()
    turns.run(lambda: first)
    waiting = turns.run(lambda: "late")
    result = outcomes(waiting)
    after = outcomes(turns.run(lambda: "after"))
    waiting.cancel()
    first.callback(None)
    assert isinstance(result[0], CancelledError) and after == ["after"]


@given(st.lists(st.sampled_from(["now", "later", "error"]), max_size=12), st.randoms())
def test_neverTwoAtOnce(kinds: list[str], random: Any) -> None:
    """
    Whatever steps there are, they run one at a time and in the order in which they were asked
    for, and each gets its answer.
    """
    turns, order, open_ = Turns(), [], []
    results = []

    def step(number: int, kind: str) -> Any:
        assert not open_
        order.append(number)
        if kind == "now":
            return number
        if kind == "error":
            raise ValueError(number)
        answer: Deferred[int] = Deferred()
        open_.append((answer, number))
        return answer

    for number, kind in enumerate(kinds):
        results.append(outcomes(turns.run(lambda number=number, kind=kind: step(number, kind))))
        if open_ and random.random() < 0.5:
            answer, value = open_.pop()
            answer.callback(value)
    while open_:
        answer, value = open_.pop()
        answer.callback(value)
    assert order == list(range(len(kinds)))
    for number, (kind, [result]) in enumerate(zip(kinds, results, strict=True)):
        assert isinstance(result, ValueError) if kind == "error" else result == number
    assert not turns.isBusy
