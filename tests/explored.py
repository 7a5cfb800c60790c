"""
Scenarios that every store has to come through.
"""

from __future__ import annotations

from typing import Any

from exploredowners import ClearAndLogIn, LimitedLogIns, Tellers

from txsessions.errors import SessionNotFound, VersionConflict
from txsessions.interfaces import ISessionJournal, ISessionOwners
from txsessions.lifetime import LOGOUT
from txsessions.record import Change
from txsessions.stores.claim import Claim
from txsessions.testing.explorer import Actor, Scenario, actor, always, atTheEnd

GONE = SessionNotFound
VERIFIERS = {name: name.encode() * 16 for name in ("aa", "bb")}


def sets(sid: str, key: str, **facts: Any) -> Change:
    """
    A change that sets one key.
    """
    return Change(sid, set={f"data:{key}": b"1"}, **facts)


class Overlap(Scenario):
    """
    Two requests on one session, a log-out and a sweep.

    @ivar isOver: Whether the log-out was confirmed.
    """

    isOver = False

    async def begin(self) -> None:
        self.record = await self.newSession({"n": 1})

    @actor(mayFail=GONE)
    async def requestA(self, store: Any) -> None:
        await self.request(store, "a")

    @actor(mayFail=GONE)
    async def requestB(self, store: Any) -> None:
        await self.request(store, "b")

    @actor("the log-out")
    async def logOut(self, store: Any) -> Any:
        ended = await store.deleteSession(self.record.sid, LOGOUT)
        self.isOver = True
        return ended

    @actor("the sweep")
    async def sweep(self, store: Any) -> Any:
        return await store.claimExpired(10)

    async def request(self, store: Any, key: str) -> None:
        """
        Load the session, and save a key.
        """
        if await store.loadSession(self.record.sid) is not None:
            await store.saveSession(sets(self.record.sid, key))

    @always
    async def staysDead(self) -> None:
        isLive = await self.truth.hasSession(self.record.sid)
        assert not (self.isOver and isLive), "the session lives after its end"

    @atTheEnd
    async def isDead(self) -> None:
        assert not await self.truth.hasSession(self.record.sid), "the session outlives its end"
        assert self.outcomes["the log-out"] is not None, "nobody was given the last record"
        assert self.outcomes["the sweep"].endings == [], "a session was swept before its time"


class ThreeWriters(Scenario):
    """
    Three requests that change different keys of one session.
    """

    async def begin(self) -> None:
        self.record = await self.newSession({"n": 1})

    def actors(self) -> list[Actor]:
        return [Actor(f"request {key}", key, self.writing(key)) for key in "abc"]

    def writing(self, key: str) -> Any:
        """
        A request that sets one key.
        """

        async def write(store: Any) -> int:
            await store.loadSession(self.record.sid)
            return await store.saveSession(sets(self.record.sid, key))

        return write

    @atTheEnd
    async def allKeys(self) -> None:
        record = await self.truth.loadSession(self.record.sid)
        assert set(record.attributes) == {f"data:{key}" for key in "nabc"}, "a key is lost"
        versions = sorted(self.outcomes.values())
        assert versions == [2, 3, 4] and record.version == 4, "two saves made one version"


class Tabs(Scenario):
    """
    Two tabs log in, each with the token that both have.
    """

    async def begin(self) -> None:
        self.record = await self.newSession()

    @actor("tab A", mayFail=VersionConflict)
    async def tabA(self, store: Any) -> bool:
        return await self.logIn(store, "aa")

    @actor("tab B", mayFail=VersionConflict)
    async def tabB(self, store: Any) -> bool:
        return await self.logIn(store, "bb")

    async def logIn(self, store: Any, name: str) -> bool:
        """
        Load the session and give it a new token, if it has the old one.
        """
        record = await store.loadSession(self.record.sid)
        if record.verifier != self.record.verifier:
            raise VersionConflict(record.sid)
        change = Change(
            record.sid,
            sessionKey=f"anna {name}",
            verifier=VERIFIERS[name],
            expectedVerifier=record.verifier,
        )
        await store.saveSession(change)
        return True

    @atTheEnd
    async def oneIsIn(self) -> None:
        isIn = [name for name in ("aa", "bb") if self.outcomes[f"tab {name[0].upper()}"] is True]
        assert len(isIn) == 1, f"{len(isIn)} log-ins were told that they have the token"
        record = await self.truth.loadSession(self.record.sid)
        assert (record.verifier, record.sessionKey) == (VERIFIERS[isIn[0]], f"anna {isIn[0]}")


class TouchAndSweep(Scenario):
    """
    A session is touched in one process while two others sweep.

    @cvar left: How long it has when they begin, in seconds.
    """

    left = 1.0

    async def begin(self) -> None:
        timeout = 1800.0
        now = self.clock.seconds()
        self.record = await self.newSession(
            created=now - timeout + self.left - 60, lastModified=now - timeout + self.left
        )

    @actor("the request", mayFail=GONE)
    async def request(self, store: Any) -> bool:
        await store.loadSession(self.record.sid)
        # A process whose clock is right, and no other, says when it was touched.
        await store.saveSession(Change(self.record.sid, lastModified=self.clock.seconds()))
        return True

    def actors(self) -> list[Actor]:
        sweepers = [f"sweep {number}" for number in (1, 2)]
        return [*super().actors(), *(Actor(name, name, self.sweep) for name in sweepers)]

    async def sweep(self, store: Any) -> Claim:
        """
        One sweep.
        """
        return await store.claimExpired(10)

    @atTheEnd
    async def whoWasInTime(self) -> None:
        claims = [self.outcomes[f"sweep {number}"] for number in (1, 2)]
        ended = [ending.record for claim in claims for ending in claim.endings]
        isLive = await self.truth.hasSession(self.record.sid)
        isTouched = self.outcomes["the request"] is True
        assert isTouched == (self.left > 0), "a touch counts before the deadline, and then only"
        assert len(ended) == (not isTouched), f"{len(ended)} were given the ending"
        assert isLive == isTouched, "a session is gone that was touched, or there that was not"


class ReworkAndSave(Scenario):
    """
    A session gets a new token while two requests that have loaded it save.
    """

    async def begin(self) -> None:
        self.record = await self.newSession({"n": 1})

    @actor("the rework")
    async def rework(self, store: Any) -> None:
        record = await store.loadSession(self.record.sid)
        await store.saveSession(
            Change(record.sid, verifier=VERIFIERS["aa"], expectedVerifier=record.verifier)
        )

    @actor()
    async def requestA(self, store: Any) -> None:
        await store.loadSession(self.record.sid)
        await store.saveSession(sets(self.record.sid, "a"))

    @actor()
    async def requestB(self, store: Any) -> None:
        await store.loadSession(self.record.sid)
        await store.saveSession(sets(self.record.sid, "b"))

    @atTheEnd
    async def bothCount(self) -> None:
        record = await self.truth.loadSession(self.record.sid)
        assert record.verifier == VERIFIERS["aa"], "the old token is back"
        assert set(record.attributes) >= {"data:a", "data:b", "data:n"}, "a key is lost"


SCENARIOS: dict[str, type[Scenario]] = {
    "overlap": Overlap,
    "three writers": ThreeWriters,
    "two tabs": Tabs,
    "touch at T-1": type("TouchInTime", (TouchAndSweep,), {"left": 1.0}),
    "touch at T": type("TouchAtTheDeadline", (TouchAndSweep,), {"left": 0.0}),
    "touch at T+1": type("TouchTooLate", (TouchAndSweep,), {"left": -1.0}),
    "rework and save": ReworkAndSave,
    "clear and log-in": ClearAndLogIn,
    "limited log-ins": LimitedLogIns,
    "two tellers": Tellers,
}

NEEDS = {
    "clear and log-in": ISessionOwners,
    "limited log-ins": ISessionOwners,
    "two tellers": ISessionJournal,
}
"""
What a store has to be able to do for a scenario, besides the usual.
"""


def fits(scenario: str, store: Any) -> bool:
    """
    Whether a store can do what a scenario asks of it.
    """
    return scenario not in NEEDS or bool(NEEDS[scenario].implementedBy(store))
