"""
Stores: where records are kept.

Nothing in here imports a driver; each store's module does so for itself.
"""

from .claim import Claim
from .description import BadStoreDescription
from .opening import openStore
from .own import SessionStore
from .storage import StoreStorage
from .told import ToldStore

__all__ = ["BadStoreDescription", "Claim", "SessionStore", "StoreStorage", "ToldStore", "openStore"]
