"""
Tests for L{txsessions.stores.index}.
"""

from __future__ import annotations

from typing import Any

from txsessions.record import Record
from txsessions.stores.index import Index


def newRecord(sid: str, **facts: Any) -> Record:
    """
    A record that ends at 100.
    """
    usual: dict[str, Any] = {"created": 0.0, "lastModified": 0.0, "sessionTimeout": 100.0}
    return Record(**{"sid": sid, "verifier": bytes(32), **usual, **facts})


def test_owners() -> None:
    """
    A session is found under the owner it was last known to have, and under none
    when it has ended.
    """
    index = Index()
    index.put(newRecord("a", sessionKey="anna"))
    index.put(newRecord("b", sessionKey="anna"))
    index.put(newRecord("b", sessionKey="bert"))
    assert (index.owned("anna"), index.owned("bert")) == (["a"], ["b"])
    assert (index.ownerOf("a"), index.ownerOf("b"), index.ownerOf("c")) == ("anna", "bert", None)
    index.putEnd("a", 5.0)
    index.drop("b")
    index.drop("b")
    assert (index.owned("anna"), index.owned("bert"), index._owned) == ([], [], {})


def test_deadlines() -> None:
    """
    What is due is given once, as it is last known, and comes up again when it
    could not be dealt with.
    """
    index = Index()
    index.put(newRecord("a"))
    index.put(newRecord("b"))
    index.put(newRecord("b", lastModified=10.0))
    assert index.next() == 100.0
    assert index.popDue(100.0, 10) == ["a"]
    assert index.popDue(100.0, 10) == []
    index.again("a", 105.0)
    assert index.next() == 105.0
    assert index.popDue(104.0, 10) == []
    assert index.popDue(105.0, 10) == ["a"]
    index.again("gone", 1.0)
    assert index.next() == 110.0


def test_laterDespiteTheRecord() -> None:
    """
    What could not be dealt with rests, also if its record was read for that.
    """
    index = Index()
    index.put(newRecord("a"))
    assert index.popDue(100.0, 10) == ["a"]
    index.put(newRecord("a"))
    index.again("a", 110.0)
    assert index.next() == 110.0
    assert index.popDue(109.0, 10) == []


def test_ends() -> None:
    """
    Ends come up when they may be forgotten, and earlier when they are too many;
    they are no deadlines of sessions.
    """
    index = Index(maximum=3)
    for number in range(5):
        index.putEnd(str(number), 10.0 + number)
    assert index.next() is None
    assert index.popForgotten(0.0, 1) == ["0"]
    assert index.popForgotten(0.0, 10) == ["1"]
    assert index.popForgotten(0.0, 10) == []
    assert index.popForgotten(12.0, 10) == ["2"]
    assert list(index) == []
    assert "4" in index


def test_signatures() -> None:
    """
    What a record was read from is known until another one is noted.
    """
    index = Index()
    index.put(newRecord("a"), (1, 2, 3))
    assert index.signature("a") == (1, 2, 3)
    index.put(newRecord("a"))
    assert index.signature("a") is None
    assert index.signature("b") is None
