"""
The protocol by which a limited number of an owner's sessions get in.

The sessions of one owner lie in different slots, on different nodes of a
Cluster perhaps, where no step can see them all.  So each log-in takes several
steps, in an order in which no two can overlook each other.

In the slot of the owner there is a B{line}: a sorted set of I{tickets}, one for
each log-in that is under way, in the order in which they came.  A ticket holds
for L{RESERVATION} seconds of the server's time, and anew whenever it is asked
for again; one that has run out is taken away by the next log-in.  Then:

  1. I{reserve}: get a ticket, and all tickets that are before it.
  2. I{probe}: in the slot of the session, see whether the change would apply.
     One that is older than the end of all sessions of the owner ends the
     session here.  Whoever fails here disturbs nobody.
  3. I{count}: read the index of the owner in all buckets.  It is exact, because
     it is changed in the same step as the records.
  4. If those that were found, those that are before it in the line, and this one
     are more than the maximum: if nobody makes room, and those that were found
     are too many already, fail.  If there are others before it in the line, wait
     a moment and go on at 1, with the same ticket.  It is the first, so
     I{evict}: end those that logged in longest ago, each in its own slot, unless
     it has another owner by now.
  5. I{land}: apply the change, in the slot of the session, if the server's time
     is before the end of the ticket, less L{MARGIN}.  Otherwise begin at 1, with
     a new ticket.
  6. I{release}: give the ticket back.  That is left out when nobody knows
     whether the change was applied, or may yet be: then the ticket runs out.

B{Never more than the maximum.}  Let C{z} be, of all log-ins that have landed at
some moment, the one that came last into the line.  Each session that is live at
that moment has landed with a ticket that is before that of C{z}, or is that of
C{z}.  When C{z} reserved for the last time, such a ticket was in the line, and
was counted by C{z}; or it had been taken away.  If it was given back, it had
landed before, so it was in the index, was read in step 3, and counted; or it
will never land.  If it had run out, it cannot land after that: the server that
lands it compares the time.  So all that are live at that moment were counted by
C{z}, and those that it evicted have ended: no more than the maximum are left.

B{Nobody is evicted in vain.}  Only the first in the line evicts, and only after it
has seen in step 2, as the first, that it is live itself.  So no log-in ends a
session that has ended others to get in, and is about to.

B{Whoever dies is no obstacle for long.}  A process that ends after any step
leaves at most a ticket, which runs out: until then it counts as one session.
Nothing has to be cleaned up, and nothing can be out of date: the line knows only
what is under way, and all else is in the index.

B{What breaks it.}  Sessions that are created with an owner, saved with one, or log
in without a limit are counted by the next log-in, but not limited themselves.
Clocks of nodes that are further apart than L{MARGIN}, a line that somebody
deletes, and a fail-over that loses what the new master had not got yet: those
that are under way at that moment may be too many.  The next log-in ends what is
too much.
"""

from __future__ import annotations

from collections.abc import Sequence
from secrets import token_hex
from typing import Any, Final

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import deferLater

from ...errors import SessionError, StoreUnavailable
from ...lifetime import EVICTED
from ...limit import REFUSE, SessionLimit
from ...record import Change, Record
from ...redis.errors import NotSent, RedisError, ServerError
from ...redis.interfaces import IRedis
from ..claim import Ending, LogIn
from .fields import number
from .keys import Keys, ownerOf, text
from .operations import Operations
from .ownerscripts import PROBE
from .scripts import Scripts
from .survey import Survey
from .together import together

MARGIN: Final = 0.5
"""
How far the clocks of nodes may be apart, in seconds.
"""

PATIENCE: Final = 4.5
"""
How long a log-in waits in the line, in seconds: longer than the ticket of a
process that died holds, and not as long as a request waits for a save.
"""

PAUSE: Final = 0.004
"""
How long to wait before asking again for each that is before it in the line, in
seconds: about as long as one of them takes.  Each process has one of an owner
there at a time.
"""

LONGEST_PAUSE: Final = 0.25


class Admission:
    """
    One log-in with a limit.

    @ivar _ticket: Its place in the line: the handle of the session and some
        digits, so that two of one session are two.
    @ivar _mayLand: Whether the change may be applied even if the ticket is
        given back.
    """

    def __init__(
        self,
        client: IRedis,
        scripts: Scripts,
        keys: Keys,
        *,
        operations: Operations,
        survey: Survey,
        reactor: IReactorTime,
    ) -> None:
        self._client = client
        self._scripts = scripts
        self._operations = operations
        self._survey = survey
        self._reactor = reactor
        self._keys = keys
        self._ticket = ""
        self._mayLand = False

    async def logIn(
        self, change: Change, sessionKey: str, limit: SessionLimit, giveUp: float
    ) -> LogIn:
        """
        See L{ISessionOwners.logInSession
        <txsessions.interfaces.ISessionOwners.logInSession>}.

        @param giveUp: Until when to wait, on the reactor's clock.
        """
        owner = ownerOf(sessionKey)
        evicted: list[Ending] = []
        version = None
        while version is None:
            self._checkPatience(giveUp)
            self._ticket = change.sid + token_hex(8)
            try:
                till = await self._makeRoom(change, sessionKey, limit, evicted, giveUp)
                version = await self._land(change, till)
            finally:
                if not self._mayLand:
                    self._release(owner)
        return LogIn(version, evicted)

    async def _makeRoom(
        self,
        change: Change,
        sessionKey: str,
        limit: SessionLimit,
        evicted: list[Ending],
        giveUp: float,
    ) -> float:
        """
        Wait until there is room, or make some.

        @param evicted: Whoever had to make room is added to these.
        @return: Until when the ticket holds, on the server's clock.
        """
        while True:
            till, ahead = await self._reserve(ownerOf(sessionKey))
            probing = self._operations.logIn(self._client, change, PROBE)
            finding = Deferred.fromCoroutine(self._survey.find(sessionKey))
            _, found = await together([probing, finding])
            others = [record for record in found if record.sid != change.sid]
            pending = {*ahead} - {record.sid for record in found} - {change.sid}
            if len(others) + len(pending) < limit.maximum:
                return till
            if not ahead or (limit.onExceed == REFUSE and len(others) >= limit.maximum):
                evicted += await self._evict(limit.evicted(others, change.sid), sessionKey)
                return till
            self._checkPatience(giveUp)
            await deferLater(self._reactor, min(PAUSE * len(ahead), LONGEST_PAUSE))

    def _checkPatience(self, giveUp: float) -> None:
        """
        See whether it is worth while to go on.

        @raise StoreUnavailable: It took too long.
        """
        if self._reactor.seconds() >= giveUp:
            raise StoreUnavailable("other log-ins of the same owner are under way; try again")

    async def _reserve(self, owner: bytes) -> tuple[float, list[str]]:
        """
        Get into the line, or stay there.

        @return: Until when the ticket holds, and the handles of those before
            it.
        """
        keys = self._lineOf(owner)
        till, ahead = await self._client.script(self._scripts.reserve, keys, [self._ticket])
        return float(till), [ticket[:-16].decode() for ticket in ahead]

    async def _evict(self, records: Sequence[Record], sessionKey: str) -> list[Ending]:
        """
        End sessions of this owner, if they still are.
        """
        asked = [
            self._operations.delete(self._client, record.sid, EVICTED, text(sessionKey))
            for record in records
        ]
        ended = await together(asked)
        return [Ending(record, EVICTED) for record in ended if record is not None]

    async def _land(self, change: Change, till: float) -> int | None:
        """
        Apply the change.

        @return: The new version; C{None} when the ticket has run out.
        """
        self._mayLand = True
        landing = self._operations.logIn(self._client, change, number(till - MARGIN))
        try:
            version: int | None = await landing
        except (NotSent, ServerError, SessionError):
            # It will not be done.  After anything else it may yet be.
            self._mayLand = False
            raise
        self._mayLand = False
        return version

    def _release(self, owner: bytes) -> None:
        """
        Give the ticket back, without waiting for that.
        """
        for key in self._lineOf(owner):
            released: Deferred[Any] = self._client.execute(key, "ZREM", key, self._ticket)
            released.addErrback(lambda failure: failure.trap(RedisError))

    def _lineOf(self, owner: bytes) -> tuple[bytes, bytes]:
        """
        The keys of the line.
        """
        return self._keys.bucket(owner.decode()).line(owner)
