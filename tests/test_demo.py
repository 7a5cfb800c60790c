"""
Tests for the page that shows your session.
"""

from __future__ import annotations

import re
from base64 import b64encode
from collections.abc import Iterator
from hashlib import sha256
from html import escape, unescape
from html.parser import HTMLParser

import pytest
import pytest_twisted
from twisted.internet.task import Clock

from txsessions import Session, Site
from txsessions.demo import NOTES, Demo
from txsessions.demopage import NAME_LENGTH, NOTE_LENGTH
from txsessions.stores.memory import MemoryStore
from txsessions.testing.browser import Browser
from txsessions.testing.response import Response
from txsessions.testing.stores import FailingStore

VOID = {"meta", "input"}
HOSTILE = '<script>alert("1")</script>&\'><b>'


class Session12h(Session):
    """
    A session that ends after 12 hours.
    """

    absoluteTimeout = 12 * 3600


class Page(HTMLParser):
    """
    A page taken apart.

    @ivar tags: The names of its elements, in order.
    @ivar facts: What its table says.
    @ivar fields: The names and values of its hidden fields and buttons.
    """

    def __init__(self, response: Response) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.facts: dict[str, str] = {}
        self.fields: set[tuple[str, str]] = set()
        self.notes: list[str] = []
        self.text = ""
        self._open: list[str] = []
        self._fact = ""
        self.feed(response.body.decode("utf-8"))
        self.close()
        assert not self._open

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        if tag not in VOID:
            self._open.append(tag)
        given = dict(attrs)
        if "value" in given:
            self.fields.add((given["name"], given["value"]))

    def handle_endtag(self, tag):
        assert self._open.pop() == tag

    def handle_data(self, data):
        self.text += data
        inner = set(self._open)
        if "dt" in inner:
            self._fact = data
        elif "dd" in inner:
            self.facts[self._fact] = self.facts.get(self._fact, "") + data
        elif "li" in inner:
            self.notes.append(data)

    @property
    def token(self) -> str:
        """
        What the forms send back.
        """
        (token,) = {value for name, value in self.fields if name == "token"}
        return token

    @property
    def actions(self) -> set[str]:
        """
        What the forms do.
        """
        return {value for name, value in self.fields if name == "action"}


class Setting:
    """
    The page on a site of its own, and a browser that looks at it.
    """

    def __init__(self, isLasting: bool = True) -> None:
        self.clock = Clock()
        self.clock.advance(1_800_000_000)
        self.store = FailingStore(MemoryStore(self.clock))
        self.site = Site(Demo(isLasting), sessionStore=self.store, reactor=self.clock)
        self.site.sessionFactory = Session12h
        self.browsers: list[Browser] = []
        self.browser = self.another()

    def another(self) -> Browser:
        """
        A browser without cookies.
        """
        self.browsers.append(Browser(self.site))
        return self.browsers[-1]

    def close(self) -> None:
        """
        Close all browsers, and see that no timer is left.
        """
        for browser in self.browsers:
            browser.close()
        assert self.clock.getDelayedCalls() == []

    async def look(self) -> Page:
        """
        Get the page.
        """
        response = await self.browser.get("/")
        assert response.code == 200
        return Page(response)

    async def send(self, action: str, **fields: str) -> Page:
        """
        Send a form of the page, and follow where that leads.
        """
        token = (await self.look()).token
        response = await self.browser.post("/", {"token": token, "action": action, **fields})
        assert response.code == 303
        assert response.headers.getRawHeaders(b"location") == [b"./"]
        return await self.look()


@pytest.fixture
def setting() -> Iterator[Setting]:
    """
    A L{Setting}.
    """
    made = Setting()
    yield made
    made.close()


@pytest_twisted.ensureDeferred
async def test_counts(setting):
    """
    The page counts the visits of one browser, and shows its session.
    """
    first = await setting.look()
    assert "You have been here once." in first.text
    setting.clock.advance(65)
    second = await setting.look()
    assert "You have been here 2 times." in second.text
    (session,) = setting.site.sessions.values()
    assert second.facts == {
        "Public handle": session.sid,
        "Owner": "nobody yet",
        "Age": "1 min 5 s",
        "Ends": "in 15 min, unless you come back",
        "At the latest": "in 11 h 58 min, even if you do",
    }
    assert "A restart keeps this" in second.text


@pytest_twisted.ensureDeferred
async def test_noLimit(setting):
    """
    A session without an absolute time-out has no latest end.
    """
    setting.site.sessionFactory = Session
    assert (await setting.look()).facts["At the latest"] == "no limit"


@pytest_twisted.ensureDeferred
async def test_honestOfMemory():
    """
    Over a store in memory the page does not promise that a restart keeps it.
    """
    setting = Setting(isLasting=False)
    text = (await setting.look()).text
    assert "A restart forgets this" in text and "keeps" not in text
    setting.close()


@pytest_twisted.ensureDeferred
async def test_endsAsShown(setting):
    """
    The session ends when the page said, and not before.
    """
    await setting.look()
    setting.clock.advance(899.9)
    assert "2 times" in (await setting.look()).text
    setting.clock.advance(900)
    assert "once" in (await setting.look()).text


@pytest_twisted.ensureDeferred
async def test_logInAndOut(setting):
    """
    Logging in gives the session an owner and a new cookie, and the forms a
    new token; logging out ends the session.
    """
    before = await setting.look()
    assert before.actions == {"note", "log-in", "rework"}
    (uid,) = setting.site.sessions
    page = await setting.send("log-in", name=" Anna ")
    assert page.facts["Owner"] == "Anna"
    assert page.facts["Public handle"] == before.facts["Public handle"]
    assert page.actions == {"note", "log-out", "rework"}
    assert "You are logged in" in page.text
    assert page.token != before.token
    assert list(setting.site.sessions) != [uid]
    assert "You are logged in" not in (await setting.look()).text
    after = await setting.send("log-out")
    assert after.facts["Owner"] == "nobody yet"
    assert after.facts["Public handle"] != before.facts["Public handle"]
    assert "once" in after.text


@pytest_twisted.ensureDeferred
async def test_rework(setting):
    """
    Rework gives the same session a new cookie; the old one opens nothing.
    """
    before = await setting.look()
    (uid,) = setting.site.sessions
    page = await setting.send("rework")
    assert page.facts["Public handle"] == before.facts["Public handle"]
    assert "The old one is dead" in page.text
    stolen = await setting.another().get("/", {"cookie": b"TWISTED_SESSION=" + uid})
    assert Page(stolen).facts["Public handle"] != before.facts["Public handle"]


@pytest_twisted.ensureDeferred
async def test_notes(setting):
    """
    Notes are kept in a list inside of the session, up to a number and a
    length; an empty one is none.
    """
    assert (await setting.send("note", note="  ")).notes == []
    for number in range(NOTES + 2):
        page = await setting.send("note", note=f"note {number}" + "x" * NOTE_LENGTH)
    assert len(page.notes) == NOTES
    assert page.notes[0].startswith("note 2x") and len(page.notes[0]) == NOTE_LENGTH


@pytest_twisted.ensureDeferred
async def test_escaped(setting):
    """
    What users write is shown as they wrote it, and is never a part of the
    page.
    """
    plain = await setting.send("note", note="plain")
    noted = await setting.send("note", note=HOSTILE)
    assert noted.notes[-1] == "".join(noted.notes[1:]) == HOSTILE
    owned = await setting.send("log-in", name=HOSTILE)
    assert owned.facts["Owner"] == HOSTILE
    assert noted.tags == [
        *plain.tags[: plain.tags.index("li")],
        "li",
        *plain.tags[plain.tags.index("li") :],
    ]
    assert "script" not in owned.tags and "b" not in owned.tags


@pytest_twisted.ensureDeferred
async def test_longName(setting):
    """
    A name has a greatest length; an empty one logs nobody in.
    """
    assert (await setting.send("log-in", name=" ")).facts["Owner"] == "nobody yet"
    page = await setting.send("log-in", name="\u00e9" * 1000)
    assert page.facts["Owner"] == "\u00e9" * NAME_LENGTH


@pytest.mark.parametrize(
    ("headers", "isTaken"),
    [
        ({}, True),
        ({"sec-fetch-site": "same-origin", "origin": "http://localhost"}, True),
        ({"sec-fetch-site": "same-origin", "origin": "http://in.front.of.a.proxy"}, True),
        ({"origin": "https://localhost"}, True),
        ({"sec-fetch-site": "cross-site"}, False),
        ({"sec-fetch-site": "cross-site", "origin": "http://localhost"}, False),
        ({"sec-fetch-site": "same-site"}, False),
        ({"sec-fetch-site": "none"}, False),
        ({"origin": "http://evil.example"}, False),
        ({"origin": "http://localhost.evil.example"}, False),
        ({"origin": "http://localhost:8081"}, False),
        ({"origin": "null"}, False),
    ],
)
@pytest_twisted.ensureDeferred
async def test_foreignForms(setting, headers, isTaken):
    """
    A form is taken only if nothing that the browser says of its origin is
    foreign, right token or not.
    """
    token = (await setting.look()).token
    fields = {"token": token, "action": "note", "note": "x"}
    response = await setting.browser.post("/", fields, headers)
    assert response.code == (303 if isTaken else 403)
    assert (await setting.look()).notes == (["x"] if isTaken else [])


@pytest.mark.parametrize("token", ["", "0" * 32, "\u00e9", None])
@pytest_twisted.ensureDeferred
async def test_forgedForms(setting, token):
    """
    A form without the token of its session is not taken; nor is one without a
    session, which gets no session by that.
    """
    await setting.look()
    fields = {"action": "log-in", "name": "Mallory", **({} if token is None else {"token": token})}
    for browser in (setting.browser, setting.another()):
        response = await browser.post("/", fields)
        assert response.code == 403
        assert "not from this page" in Page(response).text
    assert len(setting.site.sessions) == 1
    assert (await setting.look()).facts["Owner"] == "nobody yet"


@pytest_twisted.ensureDeferred
async def test_tokenOfAnother(setting):
    """
    The token of one session is worth nothing in another.
    """
    token = (await setting.look()).token
    other = setting.another()
    await other.get("/")
    response = await other.post("/", {"token": token, "action": "rework"})
    assert response.code == 403


@pytest_twisted.ensureDeferred
async def test_unknownAction(setting):
    """
    A form that asks for something else is not taken.
    """
    token = (await setting.look()).token
    for action in ("", "drop", "log-in\x00"):
        response = await setting.browser.post("/", {"token": token, "action": action})
        assert response.code == 403


@pytest_twisted.ensureDeferred
async def test_headers(setting):
    """
    The page allows no script, loads nothing, may not be framed or cached, and
    its one style is the one that the policy names.
    """
    for response in (await setting.browser.get("/"), await setting.browser.post("/", {})):
        (policy,) = response.headers.getRawHeaders(b"content-security-policy")
        (style,) = re.findall(rb"<style>(.*?)</style>", response.body, re.DOTALL)
        digest = b64encode(sha256(style).digest())
        assert policy == (
            b"default-src 'none'; style-src 'sha256-%s'; form-action 'self'; "
            b"base-uri 'none'; frame-ancestors 'none'" % digest
        )
        assert response.headers.getRawHeaders(b"x-content-type-options") == [b"nosniff"]
        assert b"no-store" in response.headers.getRawHeaders(b"cache-control")[0]
        assert not re.search(
            rb"\bsrc=|\bhref=\"(?!\./)|url\(|@import| on\w+=|style=", response.body
        )
        assert not {"script", "img", "link", "iframe"} & set(Page(response).tags)


@pytest.mark.parametrize("action", ["note", "log-in", "log-out", "rework"])
@pytest_twisted.ensureDeferred
async def test_storeIsDown(setting, action):
    """
    While the store cannot answer, every form is answered by a 503 and changes
    nothing.
    """
    await setting.send("log-in", name="Anna")
    page = await setting.look()
    setting.store.fail("saveSession", "logInSession", "deleteSession", "loadSession")
    fields = {"token": page.token, "action": action, "name": "Berta", "note": "x"}
    response = await setting.browser.post("/", fields)
    assert response.code == 503
    assert response.cookies == ()
    setting.store.mend()
    after = await setting.look()
    assert after.facts["Owner"] == "Anna"
    assert after.facts["Public handle"] == page.facts["Public handle"]
    assert after.notes == []


@pytest_twisted.ensureDeferred
async def test_onlyOnePage(setting):
    """
    There is nothing but the page: another path is not found, and gets no
    session.
    """
    response = await setting.browser.get("/favicon.ico")
    assert response.code == 404
    assert response.cookies == ()


def test_quoted():
    """
    What the tests take for hostile is hostile (the control).
    """
    assert unescape(escape(HOSTILE)) == HOSTILE != escape(HOSTILE)
