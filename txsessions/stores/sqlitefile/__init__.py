"""
One SQLite file with sessions.

Everything in here may block and is called in the thread of
L{txsessions.stores.sqlite.SQLiteStore}; nothing in here knows of Deferreds.
"""
