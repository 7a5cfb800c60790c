"""
A site starts and stops without leaving anything behind.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from scenes import (
    count,
    gated,
    look,
)
from twisted.web.server import NOT_DONE_YET

from txsessions.testing import FailingStore, HangingStore, resultOf


class TestStopping:
    """
    Start and stop.
    """

    def test_noTimers(self, scene):
        """
        A stopped Site leaves no timers, whatever its sessions are.
        """
        it = scene()

        def answer(request: Any) -> bytes:
            session = request.getSession()
            session.notifyOnExpire(lambda: None)
            session.extra = 1
            return count(request)

        browser = it.browser()
        it.get(browser, answer)
        it.get(it.browser(), look)
        it.site.makeSession()
        for each in it._browsers:
            each.close()
        assert it.clock.getDelayedCalls() == []

    def test_lateRequest(self, scene):
        """
        So it is when a request that was under way ends, or a session begins, after
        the stop.
        """
        it = scene()
        browser = it.browser()
        requests = []
        connection = browser.connect()
        response = it.ask(connection, lambda r: (count(r), requests.append(r), NOT_DONE_YET)[2])
        it.site.doStop()
        requests[0].finish()
        assert resultOf(response).code == 200
        assert it.get(connection, count).code == 200
        it.site.makeSession().notifyOnExpire(lambda: None)
        connection.disconnect()
        assert it.clock.getDelayedCalls() == []
        it.site.doStart()

    def test_restart(self, scene):
        """
        A site can be started again, and its sessions expire then.
        """
        it, told = scene(), []
        it.site.doStart()
        it.site.makeSession().notifyOnExpire(lambda: told.append(1))
        it.site.doStop()
        it.clock.advance(2000)
        assert told == []
        it.site.doStart()
        it.clock.advance(0)
        assert told == [1]
        it.site.doStop()
        assert it.clock.getDelayedCalls() == []

    def test_touchesAreSaved(self, scene):
        """
        A stop tells the store of touches that it does not know, so that a restart
        shortens nobody's session.
        """
        it = scene()
        browser = it.browser()
        it.get(browser, count)
        it.clock.advance(50)
        it.get(browser, look)
        browser.close()
        it.clock.advance(899)
        again = it.browser(it.makeSite(), cookies=browser.cookies)
        assert it.get(again, look).body == b"1"

    def test_waitsForSaves(self, scene):
        """
        stopSessions() waits until what is being saved is saved.
        """
        it = scene(wrap=gated)
        browser = it.browser()
        response = it.ask(browser, count)
        stopped = it.site.stopSessions()
        with pytest.raises(AssertionError, match="not fired"):
            resultOf(stopped)
        it.store.openAll()
        resultOf(stopped)
        assert resultOf(response).code == 200
        assert len(it.memory._records) == 1

    def test_storeHangs(self, scene):
        """
        A store that hangs, in whichever operation, does not keep a site from
        stopping.
        """
        for operations in ((), ("claimExpired",), ("saveSession", "createSession")):
            it = scene(wrap=HangingStore)
            browser = it.browser()
            it.get(browser, count)
            it.store.hang(*operations)
            it.clock.advance(50)
            it.get(browser, look) if operations else None
            response = it.ask(browser, count)
            it.clock.advance(900)
            stopped = it.site.stopSessions()
            it.clock.pump([1] * 60)
            assert resultOf(stopped) is None
            assert response.called
            it.store.release()
            response.addErrback(lambda failure: None)
            it.errors.events.clear()

    def test_storeDown(self, scene):
        """
        Neither does one that is down.
        """
        it = scene(wrap=FailingStore)
        browser = it.browser()
        it.get(browser, count)
        it.clock.advance(50)
        it.get(browser, look)
        it.store.fail()
        assert resultOf(it.site.stopSessions()) is None
        it.errors.events.clear()

    def test_realReactor(self, tmp_path: Path):
        """
        On a real reactor that stops, the site stops without a word.
        """
        script = tmp_path / "served.py"
        script.write_text(
            "import sys\n"
            "from twisted.internet import reactor\n"
            "from twisted.python import log\n"
            "from twisted.web.resource import Resource\n"
            "from txsessions import Site\n"
            "log.startLogging(sys.stderr)\n"
            "site = Site(Resource())\n"
            "reactor.listenTCP(0, site, interface='127.0.0.1')\n"
            "reactor.callWhenRunning(lambda: site.makeSession().notifyOnExpire(print))\n"
            "reactor.callLater(0.1, reactor.stop)\n"
            "reactor.run()\n"
            "print('left', len(reactor.getDelayedCalls()))\n"
        )
        done = subprocess.run(
            [sys.executable, "-W", "error::DeprecationWarning", str(script)],
            capture_output=True,
            text=True,
            timeout=60,
            check=True,
        )
        assert "Traceback" not in done.stderr, done.stderr
        assert "left 0\n" in done.stderr
