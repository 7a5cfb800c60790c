"""
The stores that come with txsessions, for C{txsessions.stores.openStore} and
C{--store}.
"""

from txsessions.stores.factory import StoreFactory

memory = StoreFactory(
    "memory",
    "memory: in the memory of this process, gone with it",
    "txsessions.stores.memory.MemoryStore",
    parameters={},
    needsReactor=False,
)

json = StoreFactory(
    "json",
    "json:DIRECTORY: readable files in a directory; for the processes of one host",
    "txsessions.stores.json.JSONStore",
    parameters={"directory": "path"},
    needed=1,
)

sqlite = StoreFactory(
    "sqlite",
    "sqlite:PATH: a file of SQLite; for the processes of one host",
    "txsessions.stores.sqlite.SQLiteStore",
    parameters={"path": "path"},
    needed=1,
)

postgres = StoreFactory(
    "postgres",
    "postgres:host=HOST:port=PORT:dbname=NAME:user=USER:passwordFile=FILE: "
    "a PostgreSQL server; takes any keyword of libpq, and schema and timeout",
    "txsessions.stores.postgres.PostgresStore",
    parameters={"schema": "text", "timeout": "duration", "passwordFile": "secret"},
    others="text",
    extra="postgres",
)

redis = StoreFactory(
    "redis",
    "redis:host=HOST:port=PORT:db=NUMBER:user=USER:passwordFile=FILE: "
    "a Redis or Valkey server; also path (of a socket), tls=yes, authority, certificate, key, "
    "serverName, prefix, timeout; sentinels (host\\:port,...), master, sentinelUser, "
    "sentinelPasswordFile; nodes (host\\:port,...) of a Cluster",
    "txsessions.stores.redis.RedisStore",
    parameters={
        "host": "text",
        "port": "integer",
        "path": "path",
        "db": "integer",
        "user": "text",
        "passwordFile": "secret",
        "tls": "text",
        "authority": "path",
        "certificate": "path",
        "key": "path",
        "serverName": "text",
        "prefix": "text",
        "timeout": "duration",
        "sentinels": "text",
        "master": "text",
        "sentinelUser": "text",
        "sentinelPasswordFile": "secret",
        "nodes": "text",
    },
    extra="redis",
)
