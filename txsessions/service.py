"""
The service: a site and its store, started and stopped in the right order.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from twisted.application.service import MultiService
from twisted.internet.defer import CancelledError, Deferred, gatherResults, maybeDeferred
from twisted.internet.error import CannotListenError
from twisted.internet.interfaces import IListeningPort
from twisted.logger import Logger
from twisted.python.failure import Failure

from .errors import SessionError
from .interfaces import IConnectedStore, ISessionStoreAdministration
from .names import oneLine


class CannotStart(Exception):
    """
    The service cannot start, for a reason that an operator can mend.  The
    text is one line.
    """


class SessionService(MultiService):
    """
    Opens the store, then listens; stops listening, lets what is under way
    finish, then closes the store.

    @ivar _site: A L{DrainingSite<txsessions.draining.DrainingSite>} over the
        store.
    @ivar _store: An L{ISessionStore<txsessions.interfaces.ISessionStore>}.
    @ivar _endpoints: Where to listen: pairs of a description and an
        L{IStreamServerEndpoint
        <twisted.internet.interfaces.IStreamServerEndpoint>}.
    @ivar _giveUp: Called with one line of text when it cannot start.
    @ivar _listening: Called when it listens.
    """

    _log = Logger()

    def __init__(
        self,
        site: Any,
        store: Any,
        endpoints: Sequence[tuple[str, Any]],
        giveUp: Callable[[str], object],
        listening: Callable[[], object] = lambda: None,
    ) -> None:
        super().__init__()
        self._site = site
        self._store = store
        self._endpoints = endpoints
        self._giveUp = giveUp
        self._listening = listening
        self._ports: list[IListeningPort] = []
        self._starting: Deferred[None] | None = None

    def startService(self) -> None:
        """
        Begin to open the store, and to listen after that.
        """
        super().startService()
        self._starting = Deferred.fromCoroutine(self._start())
        self._starting.addErrback(self._failed)

    def stopService(self) -> Deferred[None]:
        """
        @return: A L{Deferred} that fires with L{None} when everything that was
            acknowledged is stored, and the store is closed.
        """
        return Deferred.fromCoroutine(self._stop())

    async def _start(self) -> None:
        """
        Open the store, then listen.
        """
        administration = ISessionStoreAdministration(self._store, None)
        if administration is not None:
            await administration.setup()
        for description, endpoint in self._endpoints:
            self._ports.append(await self._listen(description, endpoint))
        self._listening()

    async def _listen(self, description: str, endpoint: Any) -> IListeningPort:
        """
        Listen at one endpoint.

        @raise CannotStart: That is not possible.
        """
        try:
            return await endpoint.listen(self._site)
        # A port above 65535 is an OverflowError.
        except (CannotListenError, OSError, OverflowError) as e:
            cause = getattr(e, "socketError", e)
            raise CannotStart(
                f"cannot listen on {description}: {getattr(cause, 'strerror', None) or cause}"
            ) from e

    def _failed(self, failure: Failure) -> None:
        """
        It cannot start.  What an operator can mend is told in one line;
        anything else is an error of this program, and is logged in full.
        """
        error = failure.value
        if isinstance(error, (SessionError, CannotStart)):
            self._giveUp(oneLine(error))
        elif error is not None and not isinstance(error, CancelledError):
            self._log.failure("cannot start", failure)
            self._giveUp(f"cannot start: {type(error).__name__}: {oneLine(error)} (see the log)")

    async def _stop(self) -> None:
        """
        Undo what L{_start} did, backwards.  What goes wrong in one step stops
        no other.
        """
        if self._starting is not None:
            self._starting.cancel()
            await self._starting
        for step in (
            self._stopListening,
            self._site.drain,
            partial(MultiService.stopService, self),
            self._site.stopSessions,
            self._closeStore,
        ):
            try:
                await step()
            except Exception:
                self._log.failure("Something went wrong while stopping; going on.")

    def _stopListening(self) -> Deferred[Any]:
        """
        Take no further connections.
        """
        ports, self._ports = self._ports, []
        stopping = [maybeDeferred(port.stopListening) for port in ports]
        return gatherResults(stopping, consumeErrors=True)

    async def _closeStore(self) -> None:
        """
        Let go of the store.
        """
        connected = IConnectedStore(self._store, None)
        if connected is not None:
            await connected.close()
