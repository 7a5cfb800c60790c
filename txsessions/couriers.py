"""
The couriers of one store: all durable observers of one process.
"""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred, DeferredList
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger

from .courier import GRACE, Courier
from .interfaces import ISessionDestroyed, ISessionJournal
from .observers import checkKinds, isSame


class Couriers:
    """
    One L{Courier} for each durable observer.

    @ivar _journal: The store, as L{ISessionJournal}, or C{None} if it keeps no
        journal.
    @ivar _couriers: In the order in which they came.
    @ivar _leaving: Those that were given up, and finish what they hold.
    @ivar _isStarted: Whether they are at work.
    """

    _log = Logger()

    def __init__(self, store: Any, clock: IReactorTime) -> None:
        """
        @param store: Anything.
        @param clock: A reactor, or any other L{IReactorTime}.
        """
        self._journal: Any = ISessionJournal(store, None)
        self._clock = clock
        self._couriers: list[Courier] = []
        self._leaving: dict[Courier, Deferred[None]] = {}
        self._isStarted = False

    @property
    def isEmpty(self) -> bool:
        """
        Whether there is no durable observer.
        """
        return not self._couriers

    def subscribe(self, observer: Any, name: str, *kinds: Any) -> Courier:
        """
        Tell a durable observer of endings.  To subscribe the same once more, or
        another one by the same name, replaces it.

        @param observer: Anything that adapts to
            L{ISessionObserver<txsessions.interfaces.ISessionObserver>}.
        @param name: What it is called, in all processes.
        @param kinds: L{ISessionDestroyed}, or interfaces that extend it; none:
            all endings.
        @raise TypeError: The store keeps no journal, or that is no observer, or
            no kind of endings.
        @raise ValueError: That is no name.
        """
        if self._journal is None:
            raise TypeError(
                "this store keeps no journal of endings, so that no observer of it can have a name"
            )
        checkKinds(kinds, ISessionDestroyed)
        courier = Courier(self._journal, name, observer, self._clock, kinds)
        for each in self._couriers:
            if each.name == name or isSame(each.observer, observer):
                self._leave(each)
        self._couriers = [*self._couriers, courier]
        if self._isStarted:
            courier.start()
        return courier

    def unsubscribe(self, observer: Any) -> None:
        """
        Tell the observer of nothing more in this process.  The store goes on
        to write endings down for its name, for another process or the next
        time; C{dismiss} of L{ISessionJournal} ends that.
        """
        for each in self._couriers:
            if isSame(each.observer, observer):
                self._leave(each)

    def start(self) -> None:
        """
        Begin to tell them.
        """
        self._isStarted = True
        for courier in self._couriers:
            courier.start()

    def stop(self, grace: float = GRACE) -> Deferred[Any]:
        """
        See L{Courier.stop}, for all of them.
        """
        self._isStarted = False
        stopping = [courier.stop(grace) for courier in self._couriers]
        return DeferredList([*stopping, *self._leaving.values()])

    def wake(self) -> None:
        """
        Something has ended just now.
        """
        for courier in self._couriers:
            courier.wake()

    def _leave(self, courier: Courier) -> None:
        """
        Give a courier up.
        """
        self._couriers = [each for each in self._couriers if each is not courier]
        stopping = courier.stop()
        if not stopping.called:
            left: Deferred[None] = Deferred()
            self._leaving[courier] = left

            def done(_: None) -> None:
                del self._leaving[courier]
                left.callback(None)

            stopping.addCallback(done)
