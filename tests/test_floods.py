"""
Floods of strangers, and of ids that nobody was given.
"""

from __future__ import annotations

import os
from itertools import product
from random import Random
from typing import Any

import pytest
from floods import GROWTH, KINDS, SITES, Flooded, QuietSite, asks, expected, flood, looks, named

from txsessions.token import INSECURE

FUZZED = 50_000 if os.environ.get("TXSESSIONS_FUZZ") else 3_000
"""
How many ids are tried with keys, and how many without.
"""


@pytest.mark.parametrize(("kind", "site"), list(product(KINDS, SITES)))
def test_flood(kind: str, site: Any, record_property: Any) -> None:
    """
    Thousands of strangers leave no record, no session, no cookie and no memory; a token
    of the right form costs the store a look, where tokens are not sealed, and nothing else.
    """
    answer, hasKeys, storesEmpty = site
    it = Flooded(answer, hasKeys, storesEmpty)
    outcome = flood(it, kind, 2000, 7)
    record_property("figures", f"{outcome.requests:,} requests, seed 7")
    it.close()
    assert outcome.trouble == {}
    assert outcome.counts == expected(outcome, hasKeys)
    assert outcome.wellFormed > 600 or kind == "cookieless"
    assert outcome.growth < GROWTH
    assert outcome.seconds < 0.005


def keeps(request: Any) -> bytes:
    """
    A page that keeps something of whoever comes.
    """
    request.getSession().data["seen"] = True
    return b"none"


@pytest.mark.parametrize("kind", KINDS)
def test_control(kind: str) -> None:
    """
    The flood notices a site that keeps something of each stranger.
    """
    it = Flooded(keeps)
    outcome = flood(it, kind, 200, 7)
    it.close()
    assert {"records", "live sessions", "cookies"} <= set(outcome.trouble)
    assert outcome.counts != expected(outcome, False)


def test_controlOfDeadlines(monkeypatch: pytest.MonkeyPatch) -> None:
    """
    It notices a site that goes on watching sessions which nobody has any more.
    """
    monkeypatch.setattr(QuietSite, "_gone", lambda self, sid: None)
    it = Flooded(asks, storesEmpty=False)
    assert set(flood(it, "cookieless", 200, 7).trouble) == {"deadlines"}
    it.close()


def test_controlOfSealing() -> None:
    """
    It notices a site that asks the store about what it could see through.
    """
    it = Flooded(looks, hasKeys=False)
    outcome = flood(it, "bogus", 200, 7)
    it.close()
    assert outcome.counts != expected(outcome, True)


def fuzzed(random: Random, token: bytes) -> bytes:
    """
    An id that nobody has given out: noise, or a good one that was damaged.
    """
    damaged, place = bytearray(token), random.randrange(len(token))
    match random.randrange(5):
        case 0:
            return random.randbytes(random.randrange(200))
        case 1:
            damaged[place] ^= 1 << random.randrange(8)
        case 2:
            del damaged[place:]
        case 3:
            damaged.insert(place, random.randrange(256))
        case _:
            damaged[place:] = b"%0*x" % (len(token) - place, random.getrandbits(60))
    return bytes(damaged)


class Guarded:
    """
    A site with a session that strangers try to open, and what came of it.

    @ivar opened: The ids that have opened one.
    @ivar made: The ids of sessions that began with the last request.
    @ivar sent: The id that was tried last.
    """

    def __init__(self, hasKeys: bool) -> None:
        self.opened: list[bytes] = []
        self.made: list[bytes] = []
        self.sent = b""
        self.it = Flooded(self.answer, hasKeys, storesEmpty=False)
        session = self.it.site.makeSession()
        session.data["owner"] = "anna"
        session.commit()
        self.token = self.it.site.sessionManager.tokens.seal(session.uid, INSECURE)

    def answer(self, request: Any) -> bytes:
        """
        The page.
        """
        if request.peekSession() is not None:
            self.opened.append(request.getHeader(b"cookie"))
        else:
            self.made.append(request.getSession().uid)
        return b"none"

    def attack(self, random: Random) -> bool:
        """
        Try one id.

        @return: Whether it came to nothing.
        """
        value = fuzzed(random, self.token).translate(None, b"\r\n\0; \t")
        if value == self.token:
            return True
        self.made.clear()
        self.sent = value
        self.it.request(*named(value))
        sealed = [self.it.site.sessionManager.tokens.open(value, INSECURE), value]
        return not self.opened and not set(self.made) & set(sealed)


@pytest.mark.parametrize("hasKeys", [False, True])
def test_fuzzedIDs(hasKeys: bool, record_property: Any) -> None:
    """
    Of a great many ids none is an error, none opens the session that some of them resemble,
    and none is taken for the id of a new one.
    """
    guarded, random = Guarded(hasKeys), Random(11)
    record_property("figures", f"{FUZZED:,} ids, seed 11")
    assert all(guarded.attack(random) for _ in range(FUZZED))
    assert set(guarded.it.codes) <= {b"200", b"400"}
    assert guarded.it.codes[b"200"] > 0.9 * FUZZED
    assert len(guarded.it.memory._records) == 1
    assert guarded.it.trouble() == {"records": 1, "live sessions": 1}
    guarded.it.close()


def test_fuzzedControl(monkeypatch: pytest.MonkeyPatch) -> None:
    """
    It notices a site that looks at the public half of a token only, and one that begins
    sessions by the id that it was sent.
    """
    guarded, random = Guarded(False), Random(11)
    with monkeypatch.context() as patch:
        patch.setattr("txsessions.session.Session.isOpenedBy", lambda *facts: True)
        assert not all(guarded.attack(random) for _ in range(100))
    guarded.it.close()
    adopting = Guarded(False)
    monkeypatch.setattr(adopting.it.site, "_mkuid", lambda: adopting.sent)
    assert not all(adopting.attack(random) for _ in range(10))
    adopting.it.close()
