"""
Requests of several processes on one session, with their store operations in every
order.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import attrs
import pytest
from scenes import (
    COOKIE,
    Errors,
    Scene,
    SharedStore,
    count,
    gated,
    look,
    setCookies,
    who,
)
from twisted.logger import globalLogPublisher

from txsessions.record import UNCHANGED
from txsessions.testing import CookieJar, Response, resultOf
from txsessions.testing.cookiejar import Location
from txsessions.testing.setcookie import parse

HOME = Location("localhost", b"/", False)


class Run:
    """
    Some requests of one browser, each to a site of its own, sent at the same time.

    @ivar responses: Theirs, in the order of the requests.
    @ivar first: The token that all of them brought.
    """

    def __init__(self, it: Scene, answers: list[Callable[[Any], Any]]) -> None:
        self.it = it
        self.browser = it.browser()
        begun = it.ask(self.browser, count)
        it.store.openAll()
        self.begun = resultOf(begun)
        self.first = self.begun.cookies[0].value
        self._waiting = [
            it.ask(it.browser(it.makeSite(), cookies=self.browser.cookies), answer)
            for answer in answers
        ]

    @property
    def responses(self) -> list[Response]:
        return [resultOf(waiting) for waiting in self._waiting]

    def look(self, token: bytes, answer: Callable[[Any], Any] = look) -> bytes:
        """
        What somebody with this token sees, whom no process knows.
        """
        browser = self.it.browser(self.it.makeSite())
        response = self.it.ask(browser, answer, headers={"Cookie": COOKIE + b"=" + token})
        self.it.store.openAll()
        return resultOf(response).body

    def tokens(self) -> set[bytes]:
        """
        All tokens that were ever given out.
        """
        given = {cookie.value for response in self.responses for cookie in response.cookies}
        return (given | {self.first}) - {b""}


def schedules(
    answers: list[Callable[[Any], Any]], memory: Callable[[], SharedStore] = SharedStore
) -> Iterator[Run]:
    """
    Runs of the same requests, with each order in which the operations of the store
    can happen.
    """
    left: list[list[int]] = [[]]
    errors = Errors()
    globalLogPublisher.addObserver(errors)
    while left:
        chosen = left.pop()
        it = Scene(errors, memory(), gated)
        run = Run(it, answers)
        for place in range(100):
            if not it.store.gates:
                break
            if place == len(chosen):
                left += [[*chosen, other] for other in range(1, len(it.store.gates))]
                chosen.append(0)
            it.store.gates[chosen[place]].open()
        yield run
        it.close()
    globalLogPublisher.removeObserver(errors)
    assert errors.texts() == []


def sets(key: str) -> Callable[[Any], Any]:
    """
    A handler that sets one key.
    """

    def answer(request: Any) -> bytes:
        request.getSession().data[key] = 1
        return b"done"

    return answer


def increments(request: Any) -> Any:
    """
    A handler that adds one to a number.
    """

    async def answer() -> bytes:
        await request.getSession().modify(lambda data: data.update(n=data["n"] + 1))
        return b"done"

    return answer()


async def logsOut(request: Any) -> bytes:
    """
    A handler that logs out.
    """
    await request.getSession().logOut()
    return b"done"


async def logsIn(request: Any) -> bytes:
    """
    A handler that logs somebody in.
    """
    await request.getSession().logIn("anna")
    return b"done"


async def reworks(request: Any) -> bytes:
    """
    A handler that gets a new token.
    """
    await request.getSession().rework()
    return b"done"


class Reviving(SharedStore):
    """
    Saves what has ended: broken on purpose.
    """

    def saveSession(self, change: Any) -> Any:
        self._records.setdefault(change.sid, getattr(self, "last", None))
        return super().saveSession(change)

    def deleteSession(self, sid: str, reason: str = "") -> Any:
        self.last = self._records.get(sid)
        return super().deleteSession(sid, reason)


class Overwriting(SharedStore):
    """
    Keeps of the attributes only those of the last change: broken on purpose.
    """

    def saveSession(self, change: Any) -> Any:
        done = super().saveSession(change)
        if change.set:
            record = self._records[change.sid]
            self._records[change.sid] = attrs.evolve(record, attributes=dict(change.set))
        return done


class Indifferent(SharedStore):
    """
    Does not care which verifier or version a change is for: broken on purpose.
    """

    def saveSession(self, change: Any) -> Any:
        return super().saveSession(
            attrs.evolve(change, expectedVersion=None, expectedVerifier=None)
        )


class Forgetful(SharedStore):
    """
    Forgets new verifiers: broken on purpose.
    """

    def saveSession(self, change: Any) -> Any:
        return super().saveSession(attrs.evolve(change, verifier=UNCHANGED))


def staysOut(run: Run) -> None:
    """
    Nothing that any of the requests was given opens the session.
    """
    assert [response.code for response in run.responses] == [200] * 3
    assert [run.look(token) for token in run.tokens() if token == run.first] == [b"none"]
    sid = run.first[:32].decode()
    assert sid not in run.it.memory._records


def keepsKeys(run: Run) -> None:
    """
    Everything that was set is there, and one token opens it.  What a request has
    set that came with the old token when that was dead already is in a session of
    its own, of which the browser was told.
    """
    assert [response.body for response in run.responses] == [b"done"] * 3
    expected = {run.first[:32].decode(): {"data:n"}}
    for key, response in zip("ab", run.responses, strict=False):
        token = response.cookies[0].value if response.cookies else run.first
        expected.setdefault(token[:32].decode(), set()).add(f"data:{key}")
    records = run.it.memory._records
    assert {sid: set(record.attributes) for sid, record in records.items()} == expected
    assert run.first not in opensOnce(run)


def endsLoggedIn(run: Run) -> None:
    """
    In whichever order the responses arrive, the browser ends logged in.
    """
    assert [response.code for response in run.responses] == [200] * len(run.responses)
    for responses in (run.responses, run.responses[::-1]):
        jar = CookieJar(run.it.clock)
        for response in (run.begun, *responses):
            for header in setCookies(response):
                assert parse(header) is not None
                jar.receive(header, HOME)
        assert run.look(jar.get(COOKIE) or b"", who) == b"'anna'"
    opensOnce(run)


def opensOnce(run: Run) -> list[bytes]:
    """
    See to it that one token opens each session.

    @return: These tokens.
    """
    opening = [token for token in run.tokens() if run.look(token) != b"none"]
    assert sorted(token[:32].decode() for token in opening) == sorted(run.it.memory._records)
    return opening


def counts(run: Run) -> None:
    """
    Three increments made three.
    """
    assert [response.body for response in run.responses] == [b"done"] * 3
    (record,) = run.it.memory._records.values()
    assert record.attributes["data:n"] == b"4"


CASES = {
    "logOut": ([sets("a"), sets("b"), logsOut], staysOut, Reviving),
    "logOuts": ([sets("a"), logsOut, logsOut], staysOut, Reviving),
    "rework": ([sets("a"), sets("b"), reworks], keepsKeys, Overwriting),
    "reworkTaken": ([sets("a"), sets("b"), reworks], keepsKeys, Forgetful),
    "twoTabs": ([logsIn, logsIn], endsLoggedIn, Indifferent),
    "threeTabs": ([logsIn, logsIn, logsIn], endsLoggedIn, Indifferent),
    "modify": ([increments, increments, increments], counts, Indifferent),
}


@pytest.mark.parametrize("case", CASES)
def test_everyOrder(case):
    """
    In every order of the operations: dead stays dead, no key is lost, no token but
    one opens the session, two tabs end logged in, increments count.
    """
    answers, judge, _ = CASES[case]
    number = 0
    for run in schedules(answers):
        judge(run)
        number += 1
        if number >= 400:
            break
    assert number >= 6


@pytest.mark.parametrize("case", CASES)
def test_control(case):
    """
    On a store that is broken on purpose some order shows it.
    """
    answers, judge, broken = CASES[case]
    for run in schedules(answers, broken):
        try:
            judge(run)
        except AssertionError:
            return
    raise AssertionError("no order shows it")
