"""
One SQLite file with sessions.

Everything in here may block and is called in the thread of
L{txsessions.stores.sqlite.SQLiteStore}, and knows nothing of Deferreds; but for
L{txsessions.stores.sqlitefile.watch}, which belongs to the reactor.
"""
