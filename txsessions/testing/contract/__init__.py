"""
What every store owes, as tests that its author's suite inherits::

    from twisted.internet.task import Clock
    from txsessions.testing.contract import StoreContract, SweepContract

    class TestMyStore(StoreContract, SweepContract):
        def makeStore(self):
            return MyStore(clock=self.clock)

One suite per interface; an author combines those that fit what the store
provides:

  - L{StoreContract}: L{ISessionStore<txsessions.interfaces.ISessionStore>};
  - L{SweepContract}: L{ISessionSweep<txsessions.interfaces.ISessionSweep>};
  - L{IndexContract}: L{ISessionIndex<txsessions.interfaces.ISessionIndex>};
  - L{AdministrationContract}:
    L{ISessionStoreAdministration<txsessions.interfaces.ISessionStoreAdministration>};
  - L{ConnectedContract}:
    L{IConnectedStore<txsessions.interfaces.IConnectedStore>};

and one per ability that a test has to bring about from outside, through a hook
that the author writes: L{DurabilityContract} (C{reopen}), L{AvailabilityContract}
(C{breakStore}, C{mendStore}), L{CorruptionContract} (C{damageSession}),
L{KeyContract} (C{withAnotherKey}).

All hooks are described at L{Contract<txsessions.testing.contract.harness.Contract>}.
The suites need pytest and pytest-twisted, so nothing else of txsessions imports
this package.
"""

import pytest

# Only modules that pytest rewrites say which values an assertion compared, and
# it has to be told before they are imported.
pytest.register_assert_rewrite(
    *(
        f"{__name__}.{suite}"
        for suite in (
            "administration",
            "answers",
            "changes",
            "connected",
            "deadlines",
            "endings",
            "faults",
            "harness",
            "index",
            "races",
            "sweep",
            "values",
        )
    )
)

from .administration import AdministrationContract  # noqa: E402
from .connected import ConnectedContract, DurabilityContract  # noqa: E402
from .faults import AvailabilityContract, CorruptionContract, KeyContract  # noqa: E402
from .harness import Contract, promise  # noqa: E402
from .index import IndexContract  # noqa: E402
from .store import StoreContract  # noqa: E402
from .sweep import SweepContract  # noqa: E402

__all__ = [
    "AdministrationContract",
    "AvailabilityContract",
    "ConnectedContract",
    "Contract",
    "CorruptionContract",
    "DurabilityContract",
    "IndexContract",
    "KeyContract",
    "StoreContract",
    "SweepContract",
    "promise",
]
