"""
The suite for L{ISessionStore<txsessions.interfaces.ISessionStore>}.
"""

from __future__ import annotations

from .answers import AnswerContract
from .changes import ChangeContract
from .endings import EndingContract
from .races import RaceContract
from .values import ValueContract


class StoreContract(AnswerContract, ValueContract, ChangeContract, EndingContract, RaceContract):
    """
    What every L{ISessionStore<txsessions.interfaces.ISessionStore>} owes: its
    answers, the values it keeps, the rules of changes, the finality of ends,
    and all of that when many calls run at the same time.
    """
