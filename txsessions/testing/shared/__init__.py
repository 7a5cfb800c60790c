"""
What the processes of a scenario can share, for
L{txsessions.testing.explorer.explore}.
"""

from .data import GatedOperations, NamedOperations, SharedData, SharedMemory
from .directory import GatedShard, SharedDirectory
from .file import SharedFile
from .postgres import SharedPostgres
from .redis import SharedRedis

__all__ = [
    "GatedOperations",
    "GatedShard",
    "NamedOperations",
    "SharedData",
    "SharedDirectory",
    "SharedFile",
    "SharedMemory",
    "SharedPostgres",
    "SharedRedis",
]
