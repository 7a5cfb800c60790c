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
  - L{OwnersContract}: L{ISessionOwners<txsessions.interfaces.ISessionOwners>};
  - L{JournalContract}: L{ISessionJournal<txsessions.interfaces.ISessionJournal>};
  - L{NoticesContract}: L{ISessionNotices<txsessions.interfaces.ISessionNotices>},
    with C{noticeDelay}, the seconds until all have heard;
  - L{AdministrationContract}:
    L{ISessionStoreAdministration<txsessions.interfaces.ISessionStoreAdministration>};
  - L{ConnectedContract}:
    L{IConnectedStore<txsessions.interfaces.IConnectedStore>};

and one per ability that a test has to bring about from outside, through a hook
that the author writes: L{DurabilityContract} and L{DurableJournalContract}
(C{reopen}), L{AvailabilityContract} (C{breakStore}, C{mendStore}),
L{CorruptionContract} (C{damageSession}), L{KeyContract} (C{withAnotherKey}).

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
            "admission",
            "answers",
            "changes",
            "clearing",
            "connected",
            "deadlines",
            "endings",
            "faults",
            "harness",
            "index",
            "journal",
            "leases",
            "logins",
            "notices",
            "owners",
            "races",
            "rooms",
            "sweep",
            "values",
            "written",
        )
    )
)

from .administration import AdministrationContract  # noqa: E402
from .connected import ConnectedContract, DurabilityContract  # noqa: E402
from .faults import AvailabilityContract, CorruptionContract, KeyContract  # noqa: E402
from .harness import Contract, promise  # noqa: E402
from .index import IndexContract  # noqa: E402
from .journal import DurableJournalContract, JournalContract  # noqa: E402
from .notices import NoticesContract  # noqa: E402
from .owners import OwnersContract  # noqa: E402
from .store import StoreContract  # noqa: E402
from .sweep import SweepContract  # noqa: E402

__all__ = [
    "AdministrationContract",
    "AvailabilityContract",
    "ConnectedContract",
    "Contract",
    "CorruptionContract",
    "DurabilityContract",
    "DurableJournalContract",
    "IndexContract",
    "JournalContract",
    "KeyContract",
    "NoticesContract",
    "OwnersContract",
    "StoreContract",
    "SweepContract",
    "promise",
]
