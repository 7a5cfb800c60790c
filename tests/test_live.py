"""
site.sessions: a mutable mapping, as in stock Twisted.
"""

from __future__ import annotations

from collections.abc import MutableMapping
from typing import Any

import pytest
from twisted.internet.task import Clock
from twisted.web import server

from txsessions import Session
from txsessions.web.live import LiveSessions


@pytest.fixture
def sessions():
    """
    No sessions.
    """
    return LiveSessions()


def session(uid: bytes) -> Session:
    """
    A session of no site.
    """
    return Session(None, uid, reactor=Clock())


def test_mapping(sessions):
    """
    It does what mappings do, with ids of any form.
    """
    assert isinstance(sessions, MutableMapping)
    for uid in (b"unique", b"0" * 64, b"\x00\xff", b"a b"):
        sessions[uid] = session(uid)
        assert uid in sessions
        assert sessions[uid].uid == uid
    assert len(sessions) == 4
    assert {each.uid for each in sessions.values()} == set(sessions)
    assert sessions.pop(b"unique").uid == b"unique"
    assert b"unique" not in sessions
    assert sessions.get(b"unique") is None
    with pytest.raises(KeyError):
        del sessions[b"unique"]
    del sessions[b"0" * 64]
    sessions.clear()
    assert (len(sessions), list(sessions)) == (0, [])


def test_iteratedWhileChanging(sessions):
    """
    It may be changed while somebody goes through it.
    """
    for number in range(5):
        sessions[b"%d" % number] = session(b"%d" % number)
    sessions[b"other"] = object()
    for uid in sessions:
        del sessions[uid]
    assert len(sessions) == 0


def test_anything(sessions):
    """
    It takes whatever users put in, under whatever key.
    """
    one, other, stock = object(), session(b"other"), server.Session(None, b"stock", Clock())
    sessions[b"one"] = one
    sessions[b"alias"] = other
    sessions[b"stock"] = stock
    assert (sessions[b"one"], sessions[b"alias"], sessions[b"stock"]) == (one, other, stock)
    assert b"other" not in sessions
    assert set(sessions) == {b"one", b"alias", b"stock"}
    sessions[b"one"] = replacement = session(b"one")
    assert sessions[b"one"] is replacement
    assert len(sessions) == 3


def test_wholeTokenCounts(sessions):
    """
    A token opens nothing that differs from it in any place.
    """
    token = b"0123456789abcdef" * 4
    sessions[token] = session(token)
    for other in (token[:-1] + b"0", token[:32] + b"0" * 32, token.upper(), token + b"0", b""):
        assert other not in sessions
        with pytest.raises(KeyError) as caught:
            sessions[other]
        assert token[32:].decode() not in str(caught.value)


def test_falsy(sessions):
    """
    Sessions that are false are found.
    """

    class Empty(Session):
        def __len__(self) -> int:
            return 0

    empty = Empty(None, b"uid", reactor=Clock())
    sessions[b"uid"] = empty
    assert sessions[b"uid"] is empty
    assert sessions.bySid(empty.sid) is empty


def test_letGo(sessions):
    """
    One that was let go of is found as long as somebody holds it, and kept again when
    it is used.
    """
    held: Any = session(b"uid")
    sessions[b"uid"] = held
    sessions.letGo(held)
    assert len(sessions) == 0
    assert sessions[b"uid"] is held
    sessions.keep(held)
    assert len(sessions) == 1
    sessions.letGo(held)
    del held
    assert b"uid" not in sessions


def test_repr(sessions):
    """
    It does not show tokens.
    """
    sessions[b"secret"] = session(b"secret")
    assert repr(sessions) == "<1 live sessions>"
