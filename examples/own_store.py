"""
A store of your own: one JSON file for each session.
"""

import json
import os
from pathlib import Path

from txsessions.stores import SessionStore


class FileStore(SessionStore):
    """
    Keeps each session in a file of its own.
    """

    def __init__(self, directory):
        self.directory = Path(directory)
        self.directory.mkdir(exist_ok=True)

    def loadSession(self, sid, default=None):
        try:
            return json.loads((self.directory / sid).read_text())
        except FileNotFoundError:
            return default

    def saveSession(self, record):
        new = self.directory / (record["sid"] + ".new")
        new.write_text(json.dumps(record))
        new.replace(self.directory / record["sid"])

    def deleteSession(self, sid):
        (self.directory / sid).unlink(missing_ok=True)

    def iterSessions(self):
        names = os.listdir(self.directory)
        return [self.loadSession(name) for name in names if len(name) == 32]
