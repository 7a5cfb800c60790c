"""
The outcome of a Deferred can be had at once, if there is one.
"""

from __future__ import annotations

import pytest
from twisted.internet.defer import Deferred, fail

from txsessions.testing import resultOf


def test_resultOf():
    """
    A result can be looked at more than once; what is not there yet goes on undisturbed.
    """
    deferred: Deferred = Deferred()
    with pytest.raises(AssertionError, match="not fired"):
        resultOf(deferred)
    deferred.callback(1)
    assert (resultOf(deferred), resultOf(deferred)) == (1, 1)


def test_failure():
    """
    What a Deferred has failed with is raised, and is not reported as unhandled.
    """
    deferred = fail(ZeroDivisionError("a mistake"))
    with pytest.raises(ZeroDivisionError):
        resultOf(deferred)
    assert resultOf(deferred) is None
