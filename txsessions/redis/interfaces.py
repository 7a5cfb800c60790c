"""
The contracts of the client: the one that its users see, and the one by which
it finds a server.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from zope.interface import Attribute, Interface

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from twisted.internet.defer import Deferred

    from .address import Address
    from .connection import Answer
    from .script import Script


class IRedis(Interface):
    """
    Redis, whether it is one server, a master behind Sentinels or a Cluster.

    It connects with the first command.  Commands on the same key are carried
    out in the order in which they were called, whatever becomes of their
    Deferreds.

    Each Deferred of a command fails with
    L{ServerError<txsessions.redis.errors.ServerError>} when that is the reply,
    with L{NotSent<txsessions.redis.errors.NotSent>} at once while the server
    is known to be down or too many commands wait, and with
    L{OutcomeUnknown<txsessions.redis.errors.OutcomeUnknown>} when the reply
    does not come in time or at all.  Replies are L{bytes}, L{int}, L{None} and
    L{list}s of these.
    """

    timeout = Attribute("How long a command may take, in seconds.")

    def execute(
        key: str | bytes, *command: str | bytes | int | float, answer: Answer | None = None
    ) -> Deferred[Any]:
        """
        Carry out one command.

        @param key: The key it works on, which tells a Cluster the node.
        @param command: Its name and arguments; C{key} again where it belongs.
        @param answer: A new L{Answer<txsessions.redis.connection.Answer>} that the
            reply goes to; C{None}: any.
        @return: A L{Deferred} that fires with the reply.
        """

    def script(
        script: Script,
        keys: Sequence[str | bytes],
        args: Sequence[str | bytes | int | float],
        answer: Answer | None = None,
    ) -> Deferred[Any]:
        """
        Run a script: one round trip.  When the server has forgotten it, it is
        loaded and run again, before anything that was called later.  (Only what
        is already on its way in the very moment in which somebody makes the
        server forget, and somebody else loads the scripts, may change places.)

        @param script: One of those that were given to the client.
        @param keys: The keys it works on, one or more, all in one slot.
        @param args: Its further arguments.
        @param answer: As for L{execute}.
        @return: A L{Deferred} that fires with the reply.
        """

    def everywhere(*command: str | bytes | int | float) -> Deferred[list[Any]]:
        """
        Carry out one command on each master.

        @return: A L{Deferred} that fires with a reply of each.
        """

    def subscribe(
        channel: bytes,
        callback: Callable[[bytes], object],
        established: Callable[[], object] | None = None,
    ) -> Deferred[None]:
        """
        Call C{callback(message)} for each message that is published in a
        channel, until L{close}.  Messages are lost while the connection is.

        @param established: Called without arguments whenever a server has
            confirmed the subscription: at first, and again after each loss of
            the connection.
        @return: A L{Deferred} that fires with L{None} when the server has
            confirmed; and fails with
            L{NotSent<txsessions.redis.errors.NotSent>} when it did not in
            time.  The subscription stands then too, and is made when the
            server is back.
        """

    def close() -> Deferred[None]:
        """
        Let the commands that were accepted finish, each within its deadline,
        then close the connections.  A later command opens them again.

        @return: A L{Deferred} that fires with L{None}.
        """


class ILocator(Interface):
    """
    Knows where a server is.
    """

    expectsMaster = Attribute("Whether the server that it names must say that it is a master.")

    def locate() -> Deferred[Address]:
        """
        Where the server is now.

        @return: A L{Deferred} that fires with an
            L{Address<txsessions.redis.address.Address>}; and fails with
            L{RedisError<txsessions.redis.errors.RedisError>} when nobody
            knows.
        """

    def follow(seen: Callable[[Address], None]) -> None:
        """
        Begin to watch: call C{seen(address)} now and then with where the
        server is, and at once when it has moved.
        """

    def unfollow(seen: Callable[[Address], None]) -> Deferred[None]:
        """
        Watch no longer for that one.

        @return: A L{Deferred} that fires with L{None} when what the watching
            needed is closed, if nobody else needs it.
        """
