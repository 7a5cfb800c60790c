"""
What can go wrong with a command, each as a fact with a name.

The one question that matters to a caller is whether the command may have been
carried out: L{NotSent} says no, L{OutcomeUnknown} says perhaps, and a
L{ServerError} is the server's own answer.  No text in here carries a password,
or an argument of a command.
"""

from __future__ import annotations

from typing import Final

FORBIDDEN: Final = frozenset({"NOPERM", "NOAUTH", "WRONGPASS"})
"""
The codes of error replies that last until somebody changes the users of the
server, or what it is told here.
"""


class RedisError(Exception):
    """
    The base of every error of this client.
    """


class NotSent(RedisError):
    """
    The command did not reach a server, and will not.
    """


class QueueFull(NotSent):
    """
    Too many commands wait already.
    """


class AccessRefused(NotSent):
    """
    The server does not let us in, or not do what is needed.  That lasts until
    somebody changes its users, or what it is told here.
    """


class OutcomeUnknown(RedisError):
    """
    No reply came.  The command may or may not have been carried out.
    """


class ConnectionBroken(OutcomeUnknown):
    """
    The connection ended before the reply came.
    """


class CommandTimedOut(OutcomeUnknown):
    """
    The reply did not come before the deadline of the command.
    """


class ServerError(RedisError):
    """
    An error reply.

    @ivar code: Its first word, such as C{"MOVED"} or C{"ERR"}.
    """

    def __init__(self, text: str) -> None:
        # Redis quotes the arguments of a command that it does not know.
        text = text.partition(", with args beginning with")[0]
        super().__init__(text)
        self.code = text.partition(" ")[0]


class TooManyDetours(NotSent):
    """
    The nodes of a cluster sent a command from one to the other too many times.
    """
