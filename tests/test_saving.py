"""
commit, modify, rework, logIn of a session.
"""

from __future__ import annotations

from typing import Any

import attrs
import pytest
from scenes import SharedStore, count, gated, look, stored

from txsessions.errors import (
    InvalidSessionData,
    SessionEnded,
    SessionError,
    StoreUnavailable,
)
from txsessions.record import Change
from txsessions.testing import FailingStore, HangingStore, resultOf
from txsessions.token import reworked


class TestSaving:
    """
    commit, modify, rework, logIn.
    """

    def test_nested(self, scene):
        """
        Changes inside of nested values are stored, and nothing is when nothing
        changed.
        """
        it = scene()
        session = stored(it)
        session.data["cart"] = {"items": [{"n": 1}]}
        resultOf(session.commit())
        session.data["cart"]["items"][0]["n"] = 2
        session.data["cart"]["items"].append([])
        resultOf(session.commit())
        record = it.memory._records[session.sid]
        assert record.attributes["data:cart"] == b'{"items":[{"n":2},[]]}'
        resultOf(session.commit())
        assert it.memory._records[session.sid] is record

    def test_commitOfEnded(self, scene):
        """
        Nothing of a session that has ended can be saved, and each call says so.
        """
        session = stored(scene())
        resultOf(session.logOut())
        session.data["n"] = 2
        for waiting in (
            session.commit(),
            session.modify(dict),
            session.rework(),
            session.logIn("anna"),
        ):
            with pytest.raises(SessionEnded):
                resultOf(waiting)

    def test_modify(self, scene):
        """
        modify() gives what its function returns, and what it raised changes nothing.
        """
        it = scene()
        session = stored(it)

        def increment(data: Any) -> int:
            data["n"] += 1
            return data["n"]

        assert resultOf(session.modify(increment)) == 2
        assert session.data["n"] == 2
        with pytest.raises(ZeroDivisionError):
            resultOf(session.modify(lambda data: data.update(n=5) or 1 / 0))
        assert session.data["n"] == 2
        assert it.memory._records[session.sid].attributes["data:n"] == b"2"
        with pytest.raises(InvalidSessionData):
            resultOf(session.modify(lambda data: data.update(n=object())))

    def test_modifyOverSites(self, scene):
        """
        N increments by sites that share a store make N, whoever is in between.
        """
        it = scene(SharedStore())
        browser = it.browser()
        it.get(browser, count)
        sites = [it.makeSite() for _ in range(3)]
        browsers = [it.browser(site, cookies=browser.cookies) for site in sites]

        async def increment(request: Any) -> bytes:
            def add(data: Any) -> None:
                data["n"] += 1

            await request.getSession().modify(add)
            return b"done"

        for _ in range(20):
            for each in browsers:
                assert it.get(each, increment).body == b"done"
        assert it.get(browser, look).body == b"61"

    def test_modifyInParallel(self, scene):
        """
        So they do when all of them read before any of them writes.
        """
        it = scene(SharedStore(), wrap=gated)
        browser = it.browser()
        first = it.ask(browser, count)
        it.store.openAll()
        resultOf(first)
        browsers = [it.browser(it.makeSite(), cookies=browser.cookies) for _ in range(4)]

        async def increment(request: Any) -> bytes:
            await request.getSession().modify(lambda data: data.update(n=data["n"] + 1))
            return b"done"

        waiting = [it.ask(each, increment) for each in browsers]
        while it.store.gates:
            for gate in list(it.store.gates):
                gate.open()
        assert [resultOf(each).body for each in waiting] == [b"done"] * 4
        (record,) = it.memory._records.values()
        assert record.attributes["data:n"] == b"5"

    def test_modifyControl(self, scene):
        """
        The test notices a store that does not look at versions.
        """

        class Blind(SharedStore):
            def saveSession(self, change: Change) -> Any:
                return super().saveSession(attrs.evolve(change, expectedVersion=None))

        it = scene(Blind(), wrap=gated)
        browser = it.browser()
        first = it.ask(browser, count)
        it.store.openAll()
        resultOf(first)
        browsers = [it.browser(it.makeSite(), cookies=browser.cookies) for _ in range(4)]

        async def increment(request: Any) -> bytes:
            await request.getSession().modify(lambda data: data.update(n=data["n"] + 1))
            return b"done"

        waiting = [it.ask(each, increment) for each in browsers]
        while it.store.gates:
            for gate in list(it.store.gates):
                gate.open()
        for each in waiting:
            resultOf(each)
        (record,) = it.memory._records.values()
        assert record.attributes["data:n"] != b"5"

    def test_rework(self, scene):
        """
        A rework gives a new token of the same handle; the old one opens nothing.
        """
        it = scene()
        session = stored(it)
        before, sid = session.uid, session.sid
        token = resultOf(session.rework())
        assert token == session.uid != before
        assert (session.sid, token[:32]) == (sid, before[:32])
        assert it.site.getSession(token) is session
        with pytest.raises(KeyError):
            it.site.getSession(before)
        assert len(it.site.sessions) == 1

    def test_logIn(self, scene):
        """
        A log-in sets the owner and the token in one change of the record, along
        with what else has changed.
        """
        it = scene()
        session = stored(it)
        session.data["cart"] = [1]
        before = it.memory._records[session.sid]
        assert resultOf(session.logIn("anna")) is None
        after = it.memory._records[session.sid]
        assert after.version == before.version + 1
        assert after.verifier != before.verifier
        assert after.sessionKey == session.sessionKey == "anna"
        assert after.attributes["data:cart"] == b"[1]"
        with pytest.raises(TypeError, match="a session key is a str"):
            session.logIn(b"anna")

    def test_failedLogIn(self, scene):
        """
        A log-in that the store refuses changes neither owner nor token.
        """
        it = scene(wrap=FailingStore)
        session = stored(it)
        before = session.uid
        it.store.fail("logInSession")
        with pytest.raises(StoreUnavailable):
            resultOf(session.logIn("anna"))
        assert (session.uid, session.sessionKey) == (before, None)

    def test_logInOfNew(self, scene):
        """
        A session that is not stored yet is stored by a log-in, with a token that it
        did not begin with.
        """
        it = scene()
        it.browser()
        session = it.site.makeSession()
        before = session.uid
        resultOf(session.logIn("anna"))
        assert session.uid != before
        assert it.memory._records[session.sid].sessionKey == "anna"

    def test_sessionKey(self, scene):
        """
        sessionKey may be set like any other fact, and is saved.
        """
        it = scene()
        session = stored(it)
        session.sessionKey = "anna"
        resultOf(session.commit())
        assert [record.sid for record in resultOf(it.memory.findSessions("anna"))] == [session.sid]

    def test_hangingCommit(self, scene):
        """
        A commit that hangs fails after its time-out, and what comes after it waits
        its turn.
        """
        it = scene(wrap=HangingStore)
        session = stored(it)
        it.store.hang("saveSession")
        session.data["n"] = 2
        first, second = session.commit(), session.commit()
        it.clock.advance(5)
        with pytest.raises(StoreUnavailable):
            resultOf(first)
        it.store.release()
        assert resultOf(second) is None
        assert it.memory._records[session.sid].attributes["data:n"] == b"2"

    def test_entropyFails(self, scene):
        """
        Without randomness there is no new token: the call fails, and raises nothing.
        """
        it = scene()
        session = stored(it)
        before = session.uid

        def broken(size: int) -> bytes:
            raise OSError("no randomness")

        it.site._entropy = broken
        for waiting in (session.rework(), session.logIn("anna")):
            with pytest.raises(OSError, match="no randomness"):
                resultOf(waiting)
        assert (session.uid, session.sessionKey) == (before, None)

    def test_entropyRepeats(self, scene):
        """
        A new token that is the old one is refused: the old one would not be dead.
        """
        it = scene()
        session = stored(it)
        verifier = bytes.fromhex(session.uid[32:].decode())
        assert reworked(session.sid, lambda size: verifier) == session.uid
        it.site._entropy = lambda size: verifier
        with pytest.raises(SessionError, match="randomness"):
            resultOf(session.logIn("anna"))
        assert session.sessionKey is None

    def test_conflict(self, scene):
        """
        A log-in whose session another worker has just given a new token for another
        owner gets a token of its own: whoever got that one was not let in as him.
        """
        it = scene(SharedStore(), wrap=gated)
        browser = it.browser()
        first = it.ask(browser, count)
        it.store.openAll()
        resultOf(first)
        other = it.browser(it.makeSite(), cookies=browser.cookies)
        tokens = {}

        def logIn(name: str) -> Any:
            async def answer(request: Any) -> bytes:
                session = request.getSession()
                await session.logIn(name)
                tokens[name] = session.uid
                return b""

            return answer

        waiting = [it.ask(browser, logIn("mallory")), it.ask(other, logIn("anna"))]
        it.store.open("loadSession")
        it.store.open("loadSession")
        it.store.openAll()
        responses = [resultOf(each) for each in waiting]
        assert [len(response.cookies) for response in responses] == [1, 1]
        (record,) = it.memory._records.values()
        assert record.sessionKey == "anna"
        assert tokens["anna"] != tokens["mallory"]
        values = [response.cookies[0].value for response in responses]
        assert values == [tokens["mallory"], tokens["anna"]]
