"""
A server that stays where it is.
"""

from __future__ import annotations

from collections.abc import Callable

import attrs
from twisted.internet.defer import Deferred, succeed
from zope.interface import implementer

from .address import Address
from .interfaces import ILocator


@implementer(ILocator)
@attrs.frozen
class Fixed:
    """
    Knows one address.

    @ivar address: The address.
    """

    address: Address
    expectsMaster = False

    def locate(self) -> Deferred[Address]:
        """
        See L{ILocator.locate}.
        """
        return succeed(self.address)

    def follow(self, seen: Callable[[Address], None]) -> None:
        """
        See L{ILocator.follow}.
        """

    def unfollow(self, seen: Callable[[Address], None]) -> Deferred[None]:
        """
        See L{ILocator.unfollow}.
        """
        return succeed(None)
