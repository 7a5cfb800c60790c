"""
Sessions of a protocol that has nothing to do with the web.

As in MTProto, a client chooses the id of its session, a number of 64 bits, and
sends it with each message.
"""

import struct

from zope.interface import implementer

from txsessions.event import CREATED
from txsessions.interfaces import ISessionObserver
from txsessions.subject import SessionSubject


def message(sessionID, body):
    """
    A message, as a client sends it.
    """
    return struct.pack("<q", sessionID) + body


@implementer(ISessionObserver)
class Server:
    """
    Answers messages, and knows how many clients are online.
    """

    def __init__(self, storage, clock=None):
        self.online = 0
        self.subject = SessionSubject(storage, clock)
        self.subject.subscribe(self)
        self.subject.subscribe(self.report)

    def update(self, event):
        self.online += 1 if event.type == CREATED else -1

    async def report(self, event):
        if event.reason is None:
            print("a session has begun")
        else:
            print(f"a session has ended: {event.reason}")

    async def received(self, data):
        (sessionID,) = struct.unpack("<q", data[:8])
        if data[8:] == b"destroy_session":
            isMine = await self.subject.destroySession(sessionID)
            return b"destroy_session_ok" if isMine else b"destroy_session_none"
        isNew = await self.subject.createSession(sessionID)
        return b"new_session_created pong" if isNew else b"pong"
