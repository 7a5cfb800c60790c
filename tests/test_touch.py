"""
The idle time-out slides, and the absolute one does not.
"""

from __future__ import annotations

from typing import Any

import pytest
from scenes import SharedStore, count, look, stored

from txsessions import Session
from txsessions.lifetime import IDLE
from txsessions.testing import FailingStore


class TestTouch:
    """
    The idle time-out slides.
    """

    def test_slides(self, scene):
        """
        A session lives for its time-out from its last visit: alive one second
        before, gone then, however little time was between its visits.
        """
        for pause in (1, 10, 59, 60, 61, 400, 899):
            it = scene()
            browser = it.browser()
            it.get(browser, count)
            it.clock.advance(pause)
            assert it.get(browser, look).body == b"1"
            it.clock.advance(899)
            assert it.get(browser, look).body == b"1"
            it.clock.advance(900)
            assert it.get(browser, look).body == b"none"
            assert it.memory._records == {}

    def test_slidesInSmallSteps(self, scene):
        """
        So it is when time goes on in small steps, and timers run in between.
        """
        it, told = scene(), []
        browser = it.browser()
        it.get(browser, count)
        (session,) = it.site.sessions.values()
        session.notifyOnExpire(lambda: told.append(it.clock.seconds()))
        start = it.clock.seconds()
        it.clock.advance(17)
        it.get(browser, look)
        while it.clock.seconds() < start + 17 + 899:
            it.clock.advance(1)
        assert told == []
        it.clock.advance(1)
        assert told == [start + 17 + 900]

    def test_control(self, scene):
        """
        The test notices a session of whose touches the store does not hear.
        """

        class Forgetful(Session):
            def nextDuty(self) -> float | None:
                return float("inf")

        it = scene()
        it.site.sessionFactory = Forgetful
        browser = it.browser()
        it.get(browser, count)
        it.clock.advance(10)
        it.get(browser, look)
        it.clock.advance(899)
        assert it.get(browser, look).body == b"none"

    def test_slidesElsewhere(self, scene):
        """
        A process that only sweeps does not end a session of whose touch only
        another one knows.
        """
        it = scene(SharedStore())
        browser = it.browser()
        other = it.browser(it.makeSite())
        assert it.get(browser, count).body == b"1"
        it.clock.advance(50)
        it.get(browser, look)
        for _ in range(899):
            it.clock.advance(1)
        assert it.get(browser, look).body == b"1"
        assert it.get(other, look).body == b"none"
        for _ in range(900):
            it.clock.advance(1)
        assert it.memory._records == {}

    def test_storeDownAtLastCall(self, scene):
        """
        A store that cannot hear of a touch when it has to is told again.
        """
        it = scene(wrap=FailingStore)
        browser = it.browser()
        it.get(browser, count)
        it.clock.advance(10)
        it.get(browser, look)
        it.clock.advance(880)
        it.store.fail()
        for _ in range(12):
            it.clock.advance(1)
        it.store.mend()
        for _ in range(7):
            it.clock.advance(1)
        assert it.get(browser, look).body == b"1"
        it.errors.events.clear()

    def test_stockLoad(self, scene):
        """
        site.getSession(uid) of stock code slides the time-out too.
        """
        it = scene()
        session = stored(it)
        for _ in range(5):
            it.clock.advance(800)
            assert it.site.getSession(session.uid) is session
        assert session.endReason is None
        it.clock.advance(900)
        with pytest.raises(KeyError):
            it.site.getSession(session.uid)

    def test_absolute(self, scene):
        """
        The absolute time-out is not extended by visits, nor by a rework, and is
        stored with the session.
        """
        it = scene()

        async def begin(request: Any) -> bytes:
            request.getSession().absoluteTimeout = 2000
            return count(request)

        async def renew(request: Any) -> bytes:
            await request.getSession().rework()
            return b""

        browser = it.browser()
        it.get(browser, begin)
        for _ in range(4):
            it.clock.advance(499)
            it.get(browser, renew)
        assert it.get(browser, look).body == b"1"
        it.clock.advance(4)
        assert it.get(browser, look).body == b"none"

    def test_shorter(self, scene):
        """
        A time-out that is made shorter while the session lives ends it, and tells
        so, when the shorter time is over.
        """
        it, told = scene(), []
        browser = it.browser()
        it.get(browser, count)

        def shorten(request: Any) -> bytes:
            session = request.getSession()
            session.sessionTimeout = 10
            session.notifyOnExpire(lambda: told.append(session.endReason))
            return b""

        it.get(browser, shorten)
        it.clock.advance(9)
        assert told == []
        it.clock.advance(1)
        assert told == [IDLE]

    def test_lateTouch(self, scene):
        """
        A session that is past its deadline when it is loaded is none, though nobody
        has ended it yet.
        """
        it = scene(SharedStore())
        browser = it.browser()
        it.get(browser, count)
        late = it.makeSite()
        late.sessionManager._sweeper = None
        it.site.sessionManager._sweeper.stop()
        it.site.sessionExpiry.stop()
        it.clock.advance(901)
        assert len(it.memory._records) == 1
        assert it.get(it.browser(late, cookies=browser.cookies), look).body == b"none"
