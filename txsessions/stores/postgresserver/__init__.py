"""
One PostgreSQL server with sessions.

What is in here may block and is called in the threads of
L{txsessions.stores.postgres.PostgresStore}; nothing in here knows of Deferreds,
but for L{txsessions.stores.postgresserver.crew} and
L{txsessions.stores.postgresserver.hearing}, which are for the reactor's thread.
"""
