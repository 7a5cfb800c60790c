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
