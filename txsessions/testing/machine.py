"""
A state machine of Hypothesis that asks a store whatever one can ask, in any
order, and compares it with a model.  It needs C{hypothesis}.
"""

from __future__ import annotations

from hashlib import sha256
from typing import Final

from hypothesis import settings as Settings
from hypothesis import strategies as st
from hypothesis.stateful import initialize, precondition, rule, run_state_machine_as_test
from twisted.internet.defer import Deferred
from twisted.internet.threads import deferToThread

from ..interfaces import (
    ISessionIndex,
    ISessionOwners,
    ISessionStoreAdministration,
    ISessionSweep,
)
from ..lifetime import IDLE
from ..limit import EVICT_OLDEST, REFUSE, SessionLimit
from ..record import AUTHENTICATED, Change, Record, timeText
from .asking import attempted
from .model import dies
from .telling import TellingMachine

TIMEOUT: Final = 250.0
"""
The idle time-out of new sessions, in seconds.  Their ages are whole hundreds, so
that no deadline is near the present until time is made to pass.
"""

NUMBER: Final = 3
"""
How many sessions there are when it begins.  What is done is done to the last of
them, so that it meets what was done before.
"""

names = st.sampled_from(["data:a", "data:b", "data:c"])
texts = st.sampled_from([b"1", b'"x"', b"[1,2]", b'{"k":null}'])
owners = st.sampled_from(["anna", "bert"])
places = st.sampled_from([*range(NUMBER), *range(NUMBER), NUMBER])
ages = st.sampled_from([0.0, 0.0, 0.0, 100.0, 200.0, 300.0])
limits = st.builds(SessionLimit, st.integers(1, 2), st.sampled_from([EVICT_OLDEST, REFUSE]))


class StoreMachine(TellingMachine):
    """
    Does whatever one can do to a store.  For your own::

        class MyMachine(StoreMachine):
            def makeStore(self):
                return MyStore(clock=self.clock)

        TestMyStore = MyMachine.TestCase
    """

    def __init__(self) -> None:
        super().__init__()
        self._sids: list[str] = []

    @initialize(age=ages, owner=st.none() | owners)
    def first(self, age: float, owner: str | None) -> None:
        """
        The store, and the sessions that are in it from the beginning.
        """
        self.store = self.call(self.makeStore)
        self.create(0.0, None, None)
        self.create(age, owner, 350.0)
        self.create(0.0, "anna", None)

    def sid(self, place: int) -> str:
        """
        One of the last sessions; or, for the last place, one that never was.
        """
        return self._sids[-1 - place] if place < NUMBER else sha256(b"").hexdigest()[:32]

    def look(self, sid: str) -> None:
        """
        Load a session.
        """
        self.same(attempted(lambda: self.model.load(sid)), self.ask("loadSession", sid))
        self.same(sid in self.model.live, self.ask("hasSession", sid))

    def saves(self, change: Change) -> None:
        """
        Save a change.
        """
        expected = attempted(lambda: self.model.save(change))
        self.same(expected, self.ask("saveSession", change))

    @rule(age=ages, owner=st.none() | owners, absolute=st.sampled_from([None, None, 350.0]))
    def create(self, age: float, owner: str | None, absolute: float | None) -> None:
        """
        A new session, some of which are older than that, and some too old.
        """
        now = self.now()
        sid = sha256(b"%d" % len(self._sids)).hexdigest()[:32]
        self._sids.append(sid)
        record = Record(
            sid=sid,
            verifier=sha256(sid.encode()).digest(),
            created=now - age - 100,
            lastModified=now - age,
            sessionTimeout=TIMEOUT,
            absoluteTimeout=absolute,
            sessionKey=owner,
            attributes={"data:a": b"0"},
        )
        self.same(self.model.create(record), self.ask("createSession", record))
        self.same(False, self.ask("createSession", record))

    @rule(place=places)
    def load(self, place: int) -> None:
        """
        Look at a session that is, or was, or never was.
        """
        self.look(self.sid(place))

    @rule(
        place=places,
        given=st.dictionaries(names, texts, max_size=2),
        unset=st.frozensets(names, max_size=1),
        isTouched=st.booleans(),
        behind=st.sampled_from([None, None, 0, 1]),
    )
    def save(
        self,
        place: int,
        given: dict[str, bytes],
        unset: frozenset[str],
        isTouched: bool,
        behind: int | None,
    ) -> None:
        """
        Set some keys and delete others, perhaps only if the version is right.
        """
        record = self.model.live.get(self.sid(place))
        version = None if behind is None or record is None else record.version - behind
        self.saves(
            Change(
                self.sid(place),
                set=given,
                unset=unset - set(given),
                lastModified=self.now() if isTouched else None,
                expectedVersion=version,
            )
        )

    @rule(place=places, late=st.sampled_from([0.0, 0.0, -100.0, 100.0]))
    def touch(self, place: int, late: float) -> None:
        """
        Touch a session, now or at another moment.
        """
        self.saves(Change(self.sid(place), lastModified=self.now() + late))

    @rule(place=places, isRight=st.booleans())
    def rework(self, place: int, isRight: bool) -> None:
        """
        Give a session a new token, if the old one is as expected.
        """
        sid = self.sid(place)
        record = self.model.live.get(sid)
        old = record.verifier if isRight and record is not None else bytes(32)
        self.saves(Change(sid, verifier=sha256(old).digest(), expectedVerifier=old))

    @rule(place=places, timeout=st.sampled_from([50.5, 250.0, 950.0]))
    def limitTime(self, place: int, timeout: float) -> None:
        """
        Give a session another idle time-out.
        """
        self.saves(Change(self.sid(place), sessionTimeout=timeout, absoluteTimeout=None))

    @rule(
        place=places,
        owner=owners,
        age=st.sampled_from([None, 0.0, 100.0]),
        limit=st.none() | limits,
    )
    def logIn(self, place: int, owner: str, age: float | None, limit: SessionLimit | None) -> None:
        """
        Log in, just now or with a password that was given a while ago.
        """
        now = self.now()
        known = {} if age is None else {AUTHENTICATED: timeText(now - age)}
        change = Change(
            self.sid(place), set=known, sessionKey=owner, verifier=sha256(owner.encode()).digest()
        )
        if not self.has(ISessionOwners):
            self.saves(change)
            return
        if age == 0.0 and not self.isTimed and owner in self.model.cleared:
            return
        self.sweepAll()
        maximum = None if limit is None else limit.maximum
        isRefused = limit is not None and limit.onExceed == REFUSE
        expected = attempted(lambda: self.model.logIn(change, maximum, isRefused, now))
        answer = self.ask("logInSession", change, limit)
        if isinstance(expected, list) and not isinstance(answer, Exception):
            self.given(expected, answer.evicted)
            answer, expected = answer.version, self.model.live[change.sid].version
        self.same(expected, answer)

    @rule(owner=owners, place=st.none() | places)
    def clear(self, owner: str, place: int | None) -> None:
        """
        End all sessions of an owner, perhaps but for one.
        """
        if self.has(ISessionOwners):
            kept = None if place is None else self.sid(place)
            sids = self.model.clear(owner, kept, self.now())
            answer = self.ask("endSessions", owner, exceptFor=kept)
            self.given(sids, answer)

    @rule(place=places, reason=st.sampled_from(["logout", "revoked"]))
    def end(self, place: int, reason: str) -> None:
        """
        End a session; only the first who does so gets its last record.
        """
        sid = self.sid(place)
        last = self.model.live.get(sid)
        self.model.end([sid], reason, self.now())
        self.same(last, self.ask("deleteSession", sid, reason))
        self.same(None, self.ask("deleteSession", sid, reason))

    @rule(owner=owners)
    def find(self, owner: str) -> None:
        """
        Look for the sessions of an owner.
        """
        if self.has(ISessionIndex):
            found = self.ask("findSessions", owner)
            assert [each.created for each in found] == sorted(each.created for each in found)
            expected = sorted(self.model.owned(owner))
            self.same(
                [self.model.live[sid] for sid in expected], sorted(found, key=lambda each: each.sid)
            )

    @rule(limit=st.integers(1, 3))
    def sweep(self, limit: int) -> None:
        """
        End some of what has expired, the longest overdue first.
        """
        if self.has(ISessionSweep):
            self.claim(limit)

    @rule()
    def sweepAll(self) -> None:
        """
        End all that has expired, and nothing else.
        """
        if self.has(ISessionSweep):
            for _ in range(100):
                if not self.model.overdue(self.now()):
                    break
                self.claim(5)
            assert not self.model.overdue(self.now()), "what is overdue is not given"

    @precondition(lambda self: self.isTimed)
    @rule(seconds=st.sampled_from([1.0, 49.0, 50.0, 51.0, 100.0, 250.0, 1001.0]))
    def advance(self, seconds: float) -> None:
        """
        Let time pass.
        """
        self.clock.advance(seconds)

    @precondition(lambda self: self.isTimed)
    @rule(place=places, by=st.sampled_from([-0.001, 0.0]))
    def toDeadline(self, place: int, by: float) -> None:
        """
        Let time pass up to the deadline of a session, or to the moment before.
        """
        record = self.model.live.get(self.sid(place))
        if record is not None:
            self.clock.advance(max(0.0, dies(record) + by - self.now()))

    @rule()
    def reopened(self) -> None:
        """
        Let go of the store and open it again.
        """
        self.store = self.call(lambda: self.reopen(self.store))

    @rule(minutes=st.sampled_from([0.5, 2.5, 5.5]))
    def deleteOld(self, minutes: float) -> None:
        """
        End what nobody has touched for long.
        """
        if self.has(ISessionStoreAdministration):
            moment = self.now() - 60 * minutes
            old = [each.sid for each in self.model.live.values() if each.lastModified <= moment]
            self.model.end(old, IDLE, self.now())
            self.same(len(old), self.ask("deleteOldSessions", minutes))

    def teardown(self) -> None:
        """
        Look at all that is there, and let go of it.
        """
        if self.store is not None:
            for sid in self._sids:
                self.look(sid)
            self.finish()


def runMachine(kind: type[StoreMachine], settings: Settings | None = None) -> Deferred[None]:
    """
    Run a machine in a thread, for stores whose answers have to be waited for.

    @return: A L{Deferred} that fires with L{None} when no example has failed; and
        fails as the example did.
    """
    return deferToThread(run_state_machine_as_test, kind, settings=settings)
