"""
Judges single tests of the contract.
"""

from __future__ import annotations

import pytest

from txsessions.testing.contract import Contract


async def isKept(suite: Contract, name: str) -> bool:
    """
    Whether one test of the suite is green.  What is no judgement of the contract,
    such as a mistake in a broken store, is raised.
    """
    try:
        await getattr(suite, name)()
    except (AttributeError, NameError, NotImplementedError, TypeError):
        raise
    except (Exception, pytest.fail.Exception):
        return False
    return True
