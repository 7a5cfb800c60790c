"""
A storage of your own: it knows which sessions there are, and nothing else.
"""

from zope.interface import implementer

from txsessions.interfaces import ISessionStorage


@implementer(ISessionStorage)
class SetStorage:
    """
    Keeps the ids of all sessions in a set.
    """

    def __init__(self):
        self.sessions = set()

    async def createSession(self, sessionID):
        self.sessions.add(sessionID)

    async def hasSession(self, sessionID):
        return sessionID in self.sessions

    async def destroySession(self, sessionID):
        self.sessions.discard(sessionID)
