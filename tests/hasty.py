"""
A store that is broken on purpose, for C{--store hasty.HastyStore:sessions.db}.
"""

from __future__ import annotations

from killsqlite import HastyFile

from txsessions.stores.sqlite import BATCH, QUEUE, SQLiteStore
from txsessions.stores.sqlitefile.batch import Batches, parts
from txsessions.stores.worker import Worker


class HastyStore(SQLiteStore):
    """
    Acknowledges what it will commit some time later.
    """

    def __init__(self, path: str) -> None:
        super().__init__(path)
        file = HastyFile(path)
        file.together = 100
        work = Batches(file, self._report).perform
        self._worker = Worker(
            "hasty", work, file.close, None, queue=QUEUE, batch=BATCH, divide=parts
        )
