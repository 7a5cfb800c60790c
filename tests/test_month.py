"""
A month of a site, in virtual time.
"""

from __future__ import annotations

from functools import partial
from heapq import heappop, heappush
from random import Random
from time import process_time
from typing import Any

from pages import Page
from twisted.internet.task import Clock

from txsessions import Session, Site
from txsessions.interfaces import ISessionExpired
from txsessions.lifetime import ABSOLUTE, IDLE
from txsessions.stores.memory import MemoryStore
from txsessions.testing import Browser, CookieJar, resultOf

HOUR = 3600.0

DAY = 24 * HOUR


class TimelessSite(Site):
    """
    Notes no time in the access log, which a stock site looks up every second: two and a half
    million times in a month.
    """

    def _updateLogDateTime(self) -> None:
        """
        See L{twisted.web.http.HTTPFactory}.
        """
        self._logDateTime = "-"


class Month:
    """
    Visitors of a site, each with a session, who come again and again until they do not.

    @ivar due: When the session of each ends, and why, as far as that is known now.
    @ivar ended: The same, as their callbacks were told.
    @ivar told: The C{sid} of each that an observer was told of, and how long after its
        end.
    @ivar wrong: What was not to be.
    """

    def __init__(self, visitors: int) -> None:
        self.random = Random(20261121)
        self.clock = Clock()
        self.site = TimelessSite(Page(self.answer), reactor=self.clock, sessionStore=MemoryStore())
        self.site.subscribe(self.tell, ISessionExpired)
        self.browser = Browser(self.site, self.clock)
        self.jars = [CookieJar(self.clock) for _ in range(visitors)]
        self.plans: list[tuple[float, int]] = []
        self.due: dict[int, tuple[float, str]] = {}
        self.ended: dict[int, tuple[float, str]] = {}
        self.told: dict[str, float] = {}
        self.wrong: list[Any] = []

    def answer(self, request: Any) -> bytes:
        """
        What the site does: each visit begins the idle time-out anew.
        """
        session = request.getSession()
        number = int(request.path[1:])
        if number not in self.due:
            session.sessionTimeout = self.random.choice([0.25 * HOUR, HOUR, DAY, 7 * DAY])
            session.absoluteTimeout = self.random.choice([None, None, 3 * HOUR, 20 * DAY])
            session.notifyOnExpire(partial(self.end, number, session))
        session.data["visits"] = session.data.get("visits", 0) + 1
        idle = (self.clock.seconds() + session.sessionTimeout, IDLE)
        absolute = (session.created + (session.absoluteTimeout or 100 * DAY), ABSOLUTE)
        self.due[number] = min(idle, absolute)
        if self.random.random() < 0.8:
            delay = session.sessionTimeout * self.random.uniform(0.2, 0.999)
            if self.clock.seconds() + delay < absolute[0]:
                heappush(self.plans, (self.clock.seconds() + delay, number))
        return b"%d" % session.data["visits"]

    def end(self, number: int, session: Any) -> None:
        """
        The callback of a session.
        """
        if number in self.ended or not session.data["visits"]:
            self.wrong.append(number)
        self.ended[number] = (self.clock.seconds(), session.endReason)

    def tell(self, event: Any) -> None:
        """
        The observer of all.
        """
        if event.sid in self.told:
            self.wrong.append(event)
        self.told[event.sid] = self.clock.seconds() - event.time

    def run(self, end: float) -> None:
        """
        Let time pass, from one thing to the next.
        """
        while self.clock.seconds() < end:
            calls = self.clock.getDelayedCalls()
            moments = [*(call.getTime() for call in calls[:1]), *(at for at, _ in self.plans[:1])]
            self.clock.advance(max(0.0, min(end, *moments) - self.clock.seconds()))
            while self.plans and self.plans[0][0] <= self.clock.seconds():
                _, number = heappop(self.plans)
                self.browser.cookies = self.jars[number]
                assert resultOf(self.browser.get(f"/{number}")).code == 200

    def late(self) -> list[int]:
        """
        Whose session did not end when it was due, or for another reason.
        """
        return [
            number
            for number, (moment, reason) in self.due.items()
            if moment <= self.clock.seconds()
            and not (
                number in self.ended
                and abs(self.ended[number][0] - moment) < 1e-3
                and self.ended[number][1] == reason
            )
        ]


def monthOf(visitors: int, **attributes: Any) -> Month:
    """
    A month that is over.

    @param attributes: What is other than usual at the site.
    """
    month = Month(visitors)
    vars(month.site).update(attributes)
    for number in range(visitors):
        heappush(month.plans, (month.random.uniform(0, 20 * DAY), number))
    month.run(30 * DAY)
    month.browser.close()
    return month


def test_month() -> None:
    """
    In thirty days of a site with a thousand visitors the callback of each session is called
    at the second at which the session is due, once and with the right reason, an observer is
    told in that second, and nothing is left of it; and that takes seconds.
    """
    began = process_time()
    month = monthOf(1_000)
    assert month.wrong == [] and month.late() == []
    assert len(month.told) == len(month.ended) > 900 and max(month.told.values()) < 1e-3
    assert {reason for _, reason in month.ended.values()} == {IDLE, ABSOLUTE}
    assert len(month.site.sessions) == 1_000 - len(month.ended)
    assert process_time() - began < 30


class LateSession(Session):
    """
    Broken on purpose: it tells its callbacks a second too late.
    """

    def ended(self, reason: str) -> None:
        """
        See L{Session.ended}.
        """
        self.site.reactor.callLater(1.0, super().ended, reason)


def test_control() -> None:
    """
    The same finds callbacks that are called a second too late.
    """
    assert monthOf(20, sessionFactory=LateSession).late()
