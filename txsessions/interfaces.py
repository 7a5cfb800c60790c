"""
The contracts: what a session is to an application, and what a store owes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from zope.interface import Attribute, Interface

if TYPE_CHECKING:
    from collections.abc import (
        AsyncIterator,
        Callable,
        Hashable,
        Mapping,
        MutableMapping,
        Sequence,
    )

    from twisted.internet.defer import Deferred

    from .event import SessionEvent
    from .limit import SessionLimit
    from .record import Change, Record
    from .stores.claim import Claim, Ending, LogIn
    from .stores.journal import JournalEntry


class ISession(Interface):
    """
    A live session: what L{twisted.web.server.Session} offers, and data that
    outlives the process.

    There is one live object per session and process; requests that run at the
    same time share it.
    """

    uid = Attribute("The token: the L{bytes} that the browser holds.  Secret.")
    sid = Attribute("The public handle, a L{str}; safe to log; survives a rework.")
    data = Attribute(
        "A mutable mapping of L{str} to JSON values, saved before the response "
        "leaves.  Changes inside of nested lists and dicts are noticed."
    )
    sessionKey = Attribute("The owner, usually a user name, or L{None}.  A L{str}.")
    created = Attribute("When it began, in seconds since the epoch.")
    lastModified = Attribute("When it was last touched, in seconds since the epoch.")
    sessionTimeout = Attribute("How long it lives without a touch, in seconds.")
    absoluteTimeout = Attribute(
        "How long it lives at the most, in seconds from C{created}, or L{None}.  "
        "Neither a touch nor a rework extends it."
    )
    authenticatedAt = Attribute(
        "When the owner logged in, in seconds since the epoch; L{None} if that is "
        "not known.  No touch and no rework renews it, so that a handler can ask "
        "for the password again before something that matters."
    )
    endReason = Attribute("Why it ended (L{txsessions.lifetime}); L{None} while it lives.")

    def bind(connection: Any, isActivity: bool = False) -> None:
        """
        Let a connection end with the session: it is closed within a second of
        the end, wherever that is made, where the store says at once what ends
        (L{ISessionNotices}).  A session that has ended closes it now.

        @param connection: Anything with C{loseConnection}, or with a
            C{transport} that has, or that adapts to L{ISessionConnection}.
        @param isActivity: Whether the session lives on as long as this is open.
        @raise TypeError: Nobody knows how to close that.
        """

    def unbind(connection: Any) -> None:
        """
        Let the connection be.  Call it when it is lost; for a request of
        Twisted Web that is done for you.
        """

    def touch() -> None:
        """
        Mark the session as used now, which begins its idle time-out anew.
        """

    def notifyOnExpire(callback: Callable[[], object]) -> None:
        """
        Call C{callback()} once when the session ends, for whatever reason.

        A callback that raises is logged and stops no other.  One that is
        registered after the end is called at once.

        @param callback: A callable without arguments, such as an C{async def}.
        @raise TypeError: It is none.
        """

    def expire() -> None:
        """
        End the session (log out).  A second call does nothing.

        The response of the request that called it leaves when the store has
        confirmed the end.
        """

    def commit() -> Deferred[None]:
        """
        Save now what has changed.

        @return: A L{Deferred} that fires with L{None} when it is stored, or
            when nothing was to be stored; and fails with
            L{SessionNotFound<txsessions.errors.SessionNotFound>} when the
            session has ended, with
            L{StoreUnavailable<txsessions.errors.StoreUnavailable>} when the
            store cannot answer, with
            L{InvalidSessionData<txsessions.errors.InvalidSessionData>} when a
            value cannot be kept.
        """

    def modify(function: Callable[[MutableMapping[str, Any]], Any]) -> Deferred[Any]:
        """
        Read, change and write the data in one atomic step over all workers.

        What the session has changed so far is saved first.  Then C{function}
        gets the data as stored at that moment; when somebody else was faster
        it is called again on fresh data, so it must do nothing else.

        @param function: Called with a mutable mapping like C{data}; must not
            return a L{Deferred}.
        @return: A L{Deferred} that fires with the result of C{function} when
            its changes are stored; and fails as L{commit} does, with
            L{VersionConflict<txsessions.errors.VersionConflict>} when others
            were faster too many times, or with what C{function} raised
            (nothing is changed then).
        """

    def rework() -> Deferred[bytes]:
        """
        Give the session a new token.  The old one is dead at once.

        @return: A L{Deferred} that fires with the new token as L{bytes};
            and fails as L{commit} does.
        """

    def logIn(sessionKey: str, authenticatedAt: float | None = None) -> Deferred[None]:
        """
        Set the owner and rework, in one atomic step, so that a token that
        anybody knew before the log-in is worth nothing after it.

        @param sessionKey: The owner, any L{str}.
        @param authenticatedAt: When you looked at the owner's credentials, in
            seconds since the epoch; C{None}: now.  If all his sessions are
            ended after that, because his password was changed, say, this one
            ends too.
        @return: A L{Deferred} that fires with L{None}; and fails as L{commit}
            does, or with
            L{TooManySessions<txsessions.errors.TooManySessions>}.
        """

    def logOut() -> Deferred[None]:
        """
        End the session.

        @return: A L{Deferred} that fires with L{None} when the store has
            confirmed the end (or knew of it); and fails with
            L{StoreUnavailable<txsessions.errors.StoreUnavailable>}: the
            session lives on then.
        """


class ISessionConnection(Interface):
    """
    A connection that can be bound to a session.
    """

    def loseConnection() -> None:
        """
        Close it.
        """

    def isOpen() -> bool:
        """
        Whether it is there.
        """


class ISessionStore(Interface):
    """
    Keeps records.  Every operation is one atomic step, and no operation blocks
    the reactor.

    Five answers are five different things, for every operation that names a
    session:

      - B{absent}: L{loadSession} gives the default, the others say so as each
        describes;
      - B{ended}, and the end is still remembered:
        L{SessionEnded<txsessions.errors.SessionEnded>};
      - B{unavailable}:
        L{StoreUnavailable<txsessions.errors.StoreUnavailable>};
      - B{corrupt}: L{CorruptRecord<txsessions.errors.CorruptRecord>}, once; the
        record has been put aside by then, and later the session is absent;
      - B{unknown key}: L{UnknownKey<txsessions.errors.UnknownKey>}; nothing was
        changed.

    A C{sid} is 32 hexadecimal digits.  Whatever time-out a caller gives a
    Deferred, a store goes on to treat the operations of one process on one
    session in the order in which they were called.

    An end stays remembered for at least a minute, so that whoever comes late
    can be told; a record is never born again by a save, remembered or not.
    """

    clock = Attribute(
        "The L{twisted.internet.interfaces.IReactorTime} the store measures by, "
        "or L{None} until a manager lends its own.  A store with a time of its "
        "own (a server's) translates at its edge."
    )

    def loadSession(sid: str, default: Any = None) -> Deferred[Any]:
        """
        The record as it is stored, also when its deadline has passed and
        nobody has claimed it yet.

        @return: A L{Deferred} that fires with a
            L{Record<txsessions.record.Record>}, or with C{default} when there
            is none; and fails with
            L{SessionEnded<txsessions.errors.SessionEnded>}.
        """

    def createSession(record: Record) -> Deferred[bool]:
        """
        Insert the record if its C{sid} is free.

        @return: A L{Deferred} that fires with L{True} when it was inserted,
            with L{False} when there is such a session or its end is still
            remembered; nothing was changed then.
        """

    def saveSession(change: Change) -> Deferred[int]:
        """
        Apply a L{Change<txsessions.record.Change>} to a live record, as
        L{txsessions.record.apply} does; durable when the Deferred fires.

        @return: A L{Deferred} that fires with the version of the record after
            the change; and fails with
            L{SessionEnded<txsessions.errors.SessionEnded>} (or
            L{SessionNotFound<txsessions.errors.SessionNotFound>}, when the end
            is no longer remembered), with
            L{VersionConflict<txsessions.errors.VersionConflict>} when the
            record is not as the change expects.  Nothing was changed then.
        """

    def deleteSession(sid: str, reason: str = "revoked") -> Deferred[Record | None]:
        """
        End the session.

        @param reason: Why, one of the constants of L{txsessions.lifetime}.
        @return: A L{Deferred} that fires with the last
            L{Record<txsessions.record.Record>} for exactly one of all callers
            that end this session, and with L{None} for the others, and when
            there is no such session.
        """

    def hasSession(sid: str) -> Deferred[bool]:
        """
        Whether there is such a session, that has not ended.

        @return: A L{Deferred} that fires with a L{bool}.
        """


class ISessionSweep(Interface):
    """
    A store that ends what has expired.
    """

    def claimExpired(limit: int) -> Deferred[Claim]:
        """
        End at most C{limit} records whose deadline has passed on the store's
        clock, those that are longest overdue first.  Each is given to exactly
        one of all callers, in all processes.

        A record that is damaged is put aside and not given.

        @param limit: How many, an L{int} of 1 or more.
        @return: A L{Deferred} that fires with a
            L{Claim<txsessions.stores.Claim>}.
        """


class ISessionIndex(Interface):
    """
    A store that finds the sessions of an owner.
    """

    def findSessions(sessionKey: str) -> Deferred[list[Record]]:
        """
        The live records of an owner, oldest first.

        @param sessionKey: Any L{str}.
        @return: A L{Deferred} that fires with a L{list} of
            L{Record<txsessions.record.Record>}.
        """


class ISessionOwners(Interface):
    """
    A store that lets owners in, only so many times, and puts them out again.
    """

    def logInSession(change: Change, limit: SessionLimit | None = None) -> Deferred[LogIn]:
        """
        Apply a change that gives the session an owner, as
        L{ISessionStore.saveSession} does.

        At no moment, whatever others do in all processes, has the owner more
        live sessions than the limit says: those that have to make room have
        ended before, with the reason L{txsessions.lifetime.EVICTED}.

        A log-in that is older than an L{endSessions} of this owner comes too
        late: where C{change.authenticatedAt} is before the moment of that (by
        the store's clock, for an hour), the session is ended with the reason
        L{txsessions.lifetime.REVOKED}, and this fails with
        L{SessionEnded<txsessions.errors.SessionEnded>}.

        @param change: With a C{sessionKey} that is a L{str}.
        @param limit: C{None}: as many as there are.
        @return: A L{Deferred} that fires with a
            L{LogIn<txsessions.stores.claim.LogIn>}; and fails as
            C{saveSession} does, and with
            L{TooManySessions<txsessions.errors.TooManySessions>}.
        """

    def endSessions(
        sessionKey: str, reason: str = "revoked", exceptFor: str | None = None
    ) -> Deferred[Sequence[Ending]]:
        """
        End all sessions of an owner that had him when this was called, however
        they are being used right now.

        @param reason: Why, one of the constants of L{txsessions.lifetime}.
        @param exceptFor: The C{sid} of one that lives on.
        @return: A L{Deferred} that fires with the L{Ending}s that this call has
            made.
        """


class ISessionJournal(Interface):
    """
    A store that holds on to each ending until everybody has been told of it who
    has to be, whatever process dies in between.

    In the same atomic step that ends a session, by whichever operation, the
    store writes the ending down once for each observer that is enrolled.
    """

    def enrol(observer: str) -> Deferred[None]:
        """
        Write down, from now on, each ending for this observer.  One that is
        enrolled stays so, over restarts.

        @param observer: A name, a L{str} of at most 200 characters.
        @return: A L{Deferred} that fires with L{None}.
        """

    def dismiss(observer: str) -> Deferred[None]:
        """
        Write nothing down for this observer any more, and forget what is there.
        One that is not enrolled is no error.

        @return: A L{Deferred} that fires with L{None}.
        """

    def takeEndings(observer: str, limit: int, lease: float) -> Deferred[Sequence[JournalEntry]]:
        """
        Some endings that this observer has not acknowledged, the oldest first
        as far as the store knows; nobody else gets them until the lease has
        run out.

        @param limit: How many at the most, an L{int} of 1 or more.
        @param lease: For how long, in seconds.
        @return: A L{Deferred} that fires with
            L{JournalEntry<txsessions.stores.journal.JournalEntry>}s; none if
            there is nothing to tell.
        """

    def acknowledge(observer: str, eventIDs: Sequence[str]) -> Deferred[None]:
        """
        The observer has been told of these endings: forget them.  What is
        forgotten already is no error.

        @return: A L{Deferred} that fires with L{None} when that is durable.
        """


class ISessionNotices(Interface):
    """
    A store that says at once what ends, to all processes.
    """

    def watchEndings(
        ended: Callable[[str, str], object], missed: Callable[[], object]
    ) -> Callable[[], None]:
        """
        Hear of endings, whoever makes them in whichever process, soon after
        they are made.  That is a hint and no promise: one may come twice.

        @param ended: Called with the C{sid} and the reason.
        @param missed: Called when some may have been missed, because the
            connection was lost: whoever has to know looks for himself.
        @return: Call it to hear no more.  Nothing is left behind then.
        """


class ISessionEpoch(Interface):
    """
    A store that several processes use, and that says without a way to a server or a
    thread whether another one has changed anything.
    """

    def epoch(own: int) -> Hashable | None:
        """
        What stays the same as long as only the caller changes anything in the store.
        What was loaded while it was the same as now is all there is to know, together
        with what the caller has saved since.

        A change of somebody else, of whichever process or program, is noticed as soon
        as it is acknowledged; one that goes through this object, as soon as it is asked
        for.

        @param own: For how many changes, by C{saveSession} and C{logInSession}, the
            caller has asked this object so far, an L{int}.
        @return: Anything that can be compared; or C{None} if somebody else has changed
            something that was not noticed before, or if nobody can tell.
        """


class ISessionStoreAdministration(Interface):
    """
    What people do with a store from outside of the application.
    """

    isMultiprocessSafe = Attribute(
        "Whether several processes may use the same sessions through stores of "
        "this kind at the same time, a L{bool}."
    )
    isThreadSafe = Attribute(
        "Whether its methods may be called from any thread, a L{bool}.  Ours are "
        "called in the reactor's, as Twisted has it."
    )

    def setup() -> Deferred[None]:
        """
        Make the store ready: its directory, tables, schema.  What is there
        stays.

        @return: A L{Deferred} that fires with L{None}; and fails with
            L{StoreUnusable<txsessions.errors.StoreUnusable>}, whose text is
            one line that says what to do.
        """

    def iterSessions() -> AsyncIterator[tuple[str, Record]]:
        """
        Browse all live records, in no certain order, without holding them all
        in memory.

        @return: An asynchronous iterator (C{async for}) of pairs of C{sid} and
            L{Record<txsessions.record.Record>}.
        """

    def deleteOldSessions(minutes: float) -> Deferred[int]:
        """
        End the sessions that nobody touched for so many minutes.

        @param minutes: An L{int} or L{float}.
        @return: A L{Deferred} that fires with how many it ended, an L{int}.
        """


class IConnectedStore(Interface):
    """
    A store that holds on to something: a file, a thread, a connection.

    Its operations open it when it is not open.
    """

    def close() -> Deferred[None]:
        """
        Finish what is under way, then let go.  A second call is no error.

        @return: A L{Deferred} that fires with L{None} when all that was
            accepted is stored.
        """


class ISessionStorage(Interface):
    """
    Knows which sessions there are, by ids of the caller's own: each an L{int}
    of any size and sign, or L{bytes}; those are never the same.

    Every L{ISessionStore} adapts to this; its L{Deferred}s fail with
    L{StoreUnavailable<txsessions.errors.StoreUnavailable>} when the store
    cannot answer; what was asked for may have been done or not.  And what
    provides this adapts to L{ISessionStore}, for one process.

    Whoever writes one may return results, L{Deferred}s or coroutines.  Their
    caller passes them through
    L{maybeDeferred<twisted.internet.defer.maybeDeferred>}, and takes L{None}
    from C{createSession} and C{destroySession} for L{True}.  When a method
    raises, they go on as if it had changed nothing, and may ask again.
    """

    def createSession(sessionID: int | bytes) -> Any:
        """
        Note that there is such a session.  It may have been there before, and
        ended.

        @return: A L{Deferred} that fires with L{True} when it is new, and with
            L{False} when there is one, which stays as it is.  Of all that create
            it at the same time one gets L{True}.
        """

    def hasSession(sessionID: int | bytes) -> Any:
        """
        Whether there is such a session.

        @return: A L{Deferred} that fires with a L{bool}.
        """

    def destroySession(sessionID: int | bytes) -> Any:
        """
        Note that there is no such session any more.

        @return: A L{Deferred} that fires with L{True} for exactly one of all
            callers that destroy this session, and with L{False} for the others,
            and when there is no such session.
        """


class ISessionStoreFactory(Interface):
    """
    Makes stores from the text form C{"prefix:argument:key=value"}, which has
    the grammar of Twisted's endpoints.  A plugin (L{twisted.plugin.IPlugin})
    that provides this makes a further kind of store known to
    L{txsessions.stores.openStore} and to C{--store}.
    """

    prefix = Attribute("The word before the first colon, a L{str}.")
    summary = Attribute("One line for C{--help-stores}: arguments and purpose, a L{str}.")

    def createStore(reactor: Any, arguments: Sequence[str], options: Mapping[str, str]) -> Any:
        """
        Make a store.  Import its driver here and not before.

        @param reactor: Where the store runs; C{None}: the global reactor.
        @param arguments: The positional arguments, a L{list} of L{str}.
        @param options: The C{key=value} arguments, a L{dict} of L{str}.
        @return: An L{ISessionStore}.
        @raise ValueError: The arguments do not fit; the text says how they
            should.
        """


class ISessionObserver(Interface):
    """
    Is told of sessions: when they begin, when they end, when they get another
    id.

    What is not one may adapt to it: any callable does, and a
    L{twisted.logger.Logger}, a L{DeferredQueue<twisted.internet.defer.DeferredQueue>}
    and what provides L{ILogObserver<twisted.logger.ILogObserver>}
    (L{txsessions.observers}); and what an application registers an adapter for.
    """

    def update(event: SessionEvent) -> Any:
        """
        Hear of one event.

        There is one call at a time, and those for one session come in the order
        of what has happened to it.  This may do whatever it likes to sessions
        and subscriptions.  If it raises, that is logged, and nobody else is
        concerned.

        @param event: An L{ISessionEvent}, which provides one of the
            interfaces that extend that.
        @return: Anything.  A L{Deferred} or a coroutine is waited for, and
            cancelled if it takes too long; when it fails, that is logged.  A
            durable observer has been told when nothing has failed.
        """


class ISessionEvent(Interface):
    """
    Something that has happened to a session.  Whoever subscribes may ask for
    the kinds of events that he wants, by the interfaces that extend this.
    """

    type = Attribute('C{"created"}, C{"destroyed"} or C{"reworked"}.')
    sessionID = Attribute(
        "Which session: the C{sid}, a L{str}; or, where ids are the caller's own, that id, "
        "an L{int} or L{bytes}."
    )
    sid = Attribute("The public handle, a L{str}; L{None} where no store keeps the session.")
    reason = Attribute(
        "Why it has ended (L{txsessions.lifetime}); L{None} if it has not, or if nobody knows."
    )
    eventID = Attribute(
        "Tells this event from all others: a L{str} that is safe to log.  Each durable "
        "observer gets an ending by the same one, however often."
    )
    time = Attribute("When it happened, in seconds since the epoch.")
    sessionKey = Attribute("The owner, a L{str}, or L{None}.")
    created = Attribute("When the session began, in seconds since the epoch, or L{None}.")
    lastModified = Attribute(
        "When it was last touched, in seconds since the epoch, or L{None}.  A store is told "
        "of a touch now and then only."
    )
    data = Attribute(
        "A read-only mapping of L{str} to JSON values: what the session keeps, or has kept "
        "last.  Empty where no store keeps it."
    )


class ISessionCreated(ISessionEvent):
    """
    A session has begun.
    """


class ISessionDestroyed(ISessionEvent):
    """
    A session has ended, for whatever reason.
    """


class ISessionExpired(ISessionDestroyed):
    """
    A session has ended by itself, because its time was up.
    """


class ISessionReworked(ISessionEvent):
    """
    A session has got another token, perhaps along with an owner.
    """


class IRecordedStorage(ISessionStorage):
    """
    A storage that keeps a record of each session in a store, by which the
    session may also expire.
    """

    store = Attribute("The L{ISessionStore}.")

    def beginSession(sessionID: int | bytes) -> Deferred[Record | None]:
        """
        The same as C{createSession}.

        @return: A L{Deferred} that fires with the record of the new session, a
            L{Record<txsessions.record.Record>}, for C{True}; and with L{None}
            for C{False}.
        """

    def endSession(sessionID: int | bytes) -> Deferred[Record | None]:
        """
        The same as C{destroySession}.

        @return: A L{Deferred} that fires with the last record of the session, a
            L{Record<txsessions.record.Record>}, for C{True}; and with L{None}
            for C{False}.
        """
