"""
The suite for L{ISessionOwners<txsessions.interfaces.ISessionOwners>}.
"""

from __future__ import annotations

from ...interfaces import ISessionOwners
from .admission import AdmissionContract
from .clearing import ClearingContract
from .harness import Store, promise, provides
from .rooms import RoomContract


class OwnersContract(AdmissionContract, RoomContract, ClearingContract):
    """
    What a store owes that lets owners in and puts them out (it needs
    L{ISessionIndex<txsessions.interfaces.ISessionIndex>} as well): a log-in is
    a save; no owner ever has more sessions than the limit says; and no log-in
    outruns the end of all sessions.
    """

    @promise
    async def test_providesOwners(self, store: Store) -> None:
        """
        A store that lets owners in provides ISessionOwners.
        """
        provides(store, ISessionOwners)
