"""
An explorer of interleavings: what several processes do to the same sessions, in
every order of the primitive steps of their stores.

See L{explore}, L{Scenario}, and what processes can share in
L{txsessions.testing.shared}.
"""

from .exploring import Exploration, explore
from .gates import Gates
from .scenario import Actor, Scenario, actor, always, atTheEnd
from .sites import SiteScenario
from .step import Step
from .story import InterleavingFailed

__all__ = [
    "Actor",
    "Exploration",
    "Gates",
    "InterleavingFailed",
    "Scenario",
    "SiteScenario",
    "Step",
    "actor",
    "always",
    "atTheEnd",
    "explore",
]
