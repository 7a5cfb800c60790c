"""
Scenarios of owners, and of who is told of endings.
"""

from __future__ import annotations

from typing import Any

from txsessions.errors import SessionNotFound
from txsessions.lifetime import LOGOUT
from txsessions.limit import SessionLimit
from txsessions.record import AUTHENTICATED, Change, timeText
from txsessions.testing.explorer import Actor, Scenario, actor, always, atTheEnd

TOKENS = {name: name.encode() * 16 for name in ("aa", "bb")}


class ClearAndLogIn(Scenario):
    """
    All sessions of an owner are ended while one of them is used, and he logs in
    again with credentials that he showed before.
    """

    async def begin(self) -> None:
        self.old = await self.newSession(sessionKey="anna")
        self.new = await self.newSession()
        self.before = self.clock.seconds() - 1

    @actor("the log-in", mayFail=SessionNotFound)
    async def logIn(self, store: Any) -> bool:
        change = Change(
            self.new.sid,
            set={AUTHENTICATED: timeText(self.before)},
            sessionKey="anna",
            verifier=TOKENS["bb"],
        )
        await store.logInSession(change)
        return True

    @actor("clear")
    async def clear(self, store: Any) -> Any:
        return await store.endSessions("anna")

    @actor("the request", mayFail=SessionNotFound)
    async def request(self, store: Any) -> None:
        await store.loadSession(self.old.sid)
        await store.saveSession(Change(self.old.sid, set={"data:a": b"1"}))

    @atTheEnd
    async def nobodyIsIn(self) -> None:
        left = await self.truth.findSessions("anna")
        assert left == [], "a session of the owner is left, whose log-in was before the clear"
        for record in (self.old, self.new):
            assert not await self.truth.hasSession(record.sid), "a session outlives the clear"


class LimitedLogIns(Scenario):
    """
    An owner who may have one session logs in twice at the same time, while he has
    one already.
    """

    async def begin(self) -> None:
        self.old = await self.newSession(sessionKey="anna")
        self.new = {name: await self.newSession() for name in TOKENS}

    def actors(self) -> list[Actor]:
        return [Actor(f"log-in {name}", name, self.loggingIn(name)) for name in TOKENS]

    def loggingIn(self, name: str) -> Any:
        """
        A log-in, which makes room for itself.
        """

        async def logIn(store: Any) -> Any:
            change = Change(
                self.new[name].sid,
                set={AUTHENTICATED: timeText(self.clock.seconds())},
                sessionKey="anna",
                verifier=TOKENS[name],
            )
            return await store.logInSession(change, SessionLimit(1))

        return logIn

    async def owned(self) -> list[str]:
        """
        The sessions of the owner.
        """
        owned = []
        for sid in (self.old.sid, *(each.sid for each in self.new.values())):
            try:
                record = await self.truth.loadSession(sid)
            except SessionNotFound:
                continue
            if record is not None and record.sessionKey == "anna":
                owned.append(sid)
        return owned

    @always
    async def atMostOne(self) -> None:
        owned = await self.owned()
        assert len(owned) <= 1, f"the owner has {len(owned)} sessions"

    @atTheEnd
    async def othersAreGone(self) -> None:
        owned = await self.owned()
        evicted = [each.record.sid for logIn in self.outcomes.values() for each in logIn.evicted]
        gone = sorted({self.old.sid, *(each.sid for each in self.new.values())} - set(owned))
        assert len(owned) == 1 and sorted(evicted) == gone, "not each was evicted once"


class Tellers(Scenario):
    """
    A session ends while two workers look whether somebody has to be told.
    """

    async def begin(self) -> None:
        await self.truth.enrol("billing")
        self.records = [await self.newSession({"n": number}) for number in range(2)]
        await self.truth.deleteSession(self.records[0].sid, LOGOUT)

    @actor("the log-out")
    async def logOut(self, store: Any) -> Any:
        return await store.deleteSession(self.records[1].sid, LOGOUT)

    def actors(self) -> list[Actor]:
        tellers = [f"teller {number}" for number in (1, 2)]
        return [*super().actors(), *(Actor(name, name, self.take) for name in tellers)]

    async def take(self, store: Any) -> Any:
        """
        Take one ending, and die before it is told.
        """
        return await store.takeEndings("billing", 1, 1000.0)

    @atTheEnd
    async def eachOnce(self) -> None:
        taken = [*self.outcomes["teller 1"], *self.outcomes["teller 2"]]
        taken += await self.truth.takeEndings("billing", 10, 1000.0)
        sids = sorted(entry.record.sid for entry in taken)
        assert sids == sorted(each.sid for each in self.records), "not each is told once"
        assert len({entry.eventID for entry in taken}) == 2
        assert {entry.record.attributes["data:n"] for entry in taken} == {b"0", b"1"}
