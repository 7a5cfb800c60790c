"""
Tests for the documentation: that it builds, and that what it shows works.
"""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections.abc import Callable
from importlib.util import find_spec
from inspect import isawaitable, signature
from pathlib import Path
from textwrap import dedent, indent
from typing import Any

import attrs
import pytest
import pytest_twisted
from twisted.internet.defer import Deferred, inlineCallbacks
from twisted.internet.task import Clock
from twisted.web.resource import Resource
from twisted.web.server import NOT_DONE_YET
from twisted.web.server import Site as StockSite
from zope.interface import Interface, implementer

import txsessions
from txsessions.keyfile import writeKeyFile
from txsessions.record import Record
from txsessions.stores.memory import MemoryStore
from txsessions.stores.migrating import MigratingStore
from txsessions.stores.opening import openStore, storeFactories
from txsessions.stores.sqlite import SQLiteStore
from txsessions.testing import Browser, resultOf

DOCS = Path(__file__).resolve().parent.parent / "docs"

PATIENCE = 300

SHOWN = re.compile(
    r"^(?P<indent> *)(?:\.\. code-block:: python|(?!\.\.)[^\n]*::)\n\n"
    r"(?P<block>(?:(?P=indent) +[^\n]*\n|\n)+)",
    re.MULTILINE,
)

PYTHON = ("cookies", "keys", "sessions", "testing", "stores/index", "stores/moving")
"""
Pages of which all blocks without another language are Python.
"""


def blocks(page: str) -> list[str]:
    """
    The programs that a page shows.
    """
    text = (DOCS / f"{page}.rst").read_text()
    return [dedent(found["block"]).strip() + "\n" for found in SHOWN.finditer(text)]


def block(page: str, part: str) -> str:
    """
    The one program of a page that has this in it.
    """
    (found,) = [each for each in blocks(page) if part in each]
    return found


def run(source: str, **names: Any) -> dict[str, Any]:
    """
    Run a program, with some names.

    @return: All its names.
    """
    exec(compile(source, "<docs>", "exec"), names)
    return names


def function(source: str, kind: str, **names: Any) -> Callable[[], Any]:
    """
    A function with a program in it that waits for something.

    @param kind: What stands before it.
    """
    head = f"{kind} shown():\n"
    return run(head + indent(source, "    ") + "    return locals()\n", **names)["shown"]


def visited(render: Callable[[Any], Any]) -> Browser:
    """
    A browser, and a site with one page.
    """

    class Page(Resource):
        isLeaf = True

        def render_GET(self, request: Any) -> Any:
            return render(request)

    clock = Clock()
    return Browser(txsessions.Site(Page(), reactor=clock), clock)


@pytest.mark.skipif(
    find_spec("sphinx") is None or find_spec("pydoctor") is None,
    reason="sphinx and pydoctor are not installed: pip install 'txsessions[dev]'",
)
def test_builds(tmp_path: Path) -> None:
    """
    The documentation builds without a warning and without a network, and has
    the reference of the API.
    """
    command = [sys.executable, "-m", "sphinx", "-W", "--keep-going", "-E", "-b", "html"]
    done = subprocess.run(
        [*command, "-d", tmp_path / "trees", DOCS, tmp_path / "html"],
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    for page in ("index.html", "stores/moving.html", "api/txsessions.Site.html"):
        assert (tmp_path / "html" / page).exists()


def test_options() -> None:
    """
    The page of each store names all of its options.
    """
    for factory in storeFactories():
        page = (DOCS / "stores" / f"{factory.prefix}.rst").read_text()
        for name in factory._parameters:
            assert re.search(rf"``{name}``|``{factory.prefix}:{name.upper()}``", page), name


@pytest.mark.parametrize("page", PYTHON)
def test_compiles(page: str) -> None:
    """
    What is shown as a program is one.
    """
    shown = blocks(page)
    assert shown
    for source in shown:
        kind = "def" if re.search(r"^\s*(\w+ = )?yield\b", source, re.MULTILINE) else "async def"
        function(source, kind)


def test_cart() -> None:
    """
    The cart of the page on sessions counts, also in a list in a dict.
    """
    names = run(block("sessions", "class Cart(Resource)"), Resource=Resource)
    root, clock = names["Cart"](), Clock()
    root.isLeaf = True
    browser = Browser(txsessions.Site(root, reactor=clock), clock)
    for count in (1, 2, 3):
        assert resultOf(browser.post("/", {})).body == b"%d in the cart" % count
    browser.close()


def test_streaming() -> None:
    """
    A handler that streams stores what it has changed, and then writes.
    """
    source = block("sessions", "commitSession")

    def render(request: Any) -> Any:
        request.getSession().data["seen"] = True
        shown = function(source, "@inlineCallbacks\ndef", **names(request))
        shown().addCallback(lambda _: request.finish())
        return NOT_DONE_YET

    def names(request: Any) -> dict[str, Any]:
        return {"inlineCallbacks": inlineCallbacks, "request": request, "more": b"more"}

    browser = visited(render)
    assert resultOf(browser.get("/")).body == b"more"
    browser.close()


def test_modify() -> None:
    """
    C{modify} counts.
    """
    site = txsessions.Site(Resource(), reactor=Clock())
    session = site.makeSession()
    shown = function(
        block("sessions", "session.modify(count)"),
        "@inlineCallbacks\ndef",
        inlineCallbacks=inlineCallbacks,
        session=session,
    )
    assert [resultOf(shown())["visits"] for _ in range(2)] == [1, 2]
    resultOf(session.logOut())
    resultOf(site.stopSessions())


def test_timeouts() -> None:
    """
    A class of sessions has the time-outs that it says.
    """
    site = txsessions.Site(Resource(), reactor=Clock())
    run(block("sessions", "class OfficeSession"), Session=txsessions.Session, site=site)
    session = site.makeSession()
    assert (session.sessionTimeout, session.absoluteTimeout) == (1800, 43200)
    session.expire()
    resultOf(site.stopSessions())


@pytest_twisted.ensureDeferred
async def test_manager(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """
    The life of a session without the web.
    """
    monkeypatch.chdir(tmp_path)
    shown = await function(block("manager", "manager.create("), "async def")()  # type: ignore[misc]
    assert shown["data"] == {"cart": ["apple"]}
    manager = shown["manager"]
    assert await manager.get(shown["id"], default=None) is None
    await manager.stop()


def test_managerOfSite(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """
    A site has the manager that it was given.
    """
    monkeypatch.chdir(tmp_path)
    names = {name: getattr(txsessions, name) for name in ("SessionManager", "Site")}
    shown = run(
        block("manager", "site.sessionManager ="), openStore=openStore, root=Resource(), **names
    )
    assert isinstance(shown["site"].sessionManager, txsessions.SessionManager)


def test_managerOptions() -> None:
    """
    The page names every option of the manager, and no other.
    """
    page = (DOCS / "manager.rst").read_text()
    table = page[page.index("Options\n") : page.index("On a site\n")]
    named = set(re.findall(r"``(\w+)``", "".join(re.findall(r"\* - (.*)", table))))
    options = set(signature(txsessions.SessionManager.__init__).parameters)
    assert options - named == {"self", "store", "entropy"}
    assert named <= options


def test_jam() -> None:
    """
    Every operation of jam's module, and every option, has its place on the page.
    """
    page = (DOCS / "manager.rst").read_text()
    table = page[page.index("Coming from jam\n") :]
    for name in ("redis", "json", "custom", "id_factory", "is_session_crypt", "session_aes_secret"):
        assert name in table
    for name in ("create", "get", "update", "delete", "clear", "rework"):
        assert name in table and callable(getattr(txsessions.SessionManager, name))


def test_shownBy() -> None:
    """
    Each test that the page on the ASVS names is there.
    """
    named = re.findall(r"``(test_\w+)::([\w:]+)``", (DOCS / "asvs.rst").read_text())
    assert len(named) > 20
    for module, path in named:
        tree: Any = ast.parse((Path(__file__).parent / f"{module}.py").read_text())
        for name in path.split("::"):
            found = [each for each in tree.body if getattr(each, "name", "") == name]
            assert found, f"{module}::{path}"
            tree = found[0]


def test_passive() -> None:
    """
    What does not count as activity is said in three ways.
    """
    site = txsessions.Site(Resource(), reactor=Clock())
    shown = run(block("sessions", "passivePaths"), Resource=Resource, request=Resource(), site=site)
    assert shown["News"].isActivity is shown["request"].isActivity is False
    assert site.passivePaths == [b"/poll", b"/events"]


def test_longPoll() -> None:
    """
    A request that waits ends with its session.
    """
    clock = Clock()
    source = indent(block("sessions", "self.waiting.append"), "    ")
    names = run(
        f"class Poll(Resource):\n    isLeaf = True\n    waiting = []\n{source}",
        Resource=Resource,
        NOT_DONE_YET=NOT_DONE_YET,
    )

    class Root(Resource):
        def render_GET(self, request: Any) -> bytes:
            request.getSession()
            return b"hello"

    root = Root()
    root.putChild(b"", root)
    root.putChild(b"poll", names["Poll"]())
    browser = Browser(txsessions.Site(root, reactor=clock), clock)
    assert resultOf(browser.get("/poll")).body == b"log in first"
    resultOf(browser.get("/"))
    waiting = browser.get("/poll")
    waiting.addErrback(lambda failure: None)
    assert len(names["Poll"].waiting) == 1
    clock.advance(899)
    assert not waiting.called
    clock.advance(1)
    assert waiting.called
    browser.close()


def test_component() -> None:
    """
    A persistent component is kept with its session.
    """

    class ICart(Interface):
        """
        What somebody wants to buy.
        """

    def render(request: Any) -> bytes:
        run(
            block("sessions", "@persistentComponent"),
            ICart=ICart,
            attrs=attrs,
            fromOlder=lambda version, state: state,
            implementer=implementer,
            persistentComponent=txsessions.persistentComponent,
            request=request,
        )
        return b"done"

    browser = visited(render)
    assert resultOf(browser.get("/")).body == b"done"
    store: Any = browser.site.sessionStore
    (record,) = store._records.values()
    assert b"apple" in record.attributes["component:cart"]
    browser.close()


def test_siteOfMyOwn() -> None:
    """
    The mixin goes in front of another class.
    """
    source = block("sessions", "class MySite")
    kinds = {"SessionSiteMixin": txsessions.SessionSiteMixin, "SomeOtherSite": StockSite}
    assert run(source, **kinds)["MySite"](Resource(), reactor=Clock()).sessionManager


def test_cookiePolicy() -> None:
    """
    The policy of cookies that is shown is a possible one.
    """
    policy = run(block("cookies", "class MySite"))["MySite"].sessionCookie
    assert (policy.name, policy.prefix, policy.secure) == ("id", "__Host-", "always")


def test_virtualTime() -> None:
    """
    The first program of the page on testing shows a page, and a session that ends.
    """
    ended: list[bool] = []

    class Root(Resource):
        isLeaf = True

        def render_GET(self, request: Any) -> bytes:
            request.getSession().notifyOnExpire(lambda: ended.append(True))
            return b"hello"

    shown = run(block("testing", "clock.advance(900)"), root=Root())
    assert shown["response"].body == b"hello"
    assert ended == [True]


def test_openStore(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """
    A site has the store that a text says.
    """
    monkeypatch.chdir(tmp_path)
    shown = run(block("stores/index", "openStore("), root=Resource())
    assert shown["site"].sessionStore is not None


def test_administration(capsys: pytest.CaptureFixture[str]) -> None:
    """
    A program can list and end the sessions of a store.
    """
    store = MemoryStore(Clock())
    store.createSession(Record("0" * 32, bytes(32), 0.0, 0.0, 900.0, None, "anna"))
    work = function(block("stores/index", "iterSessions"), "async def", store=store)()
    assert isawaitable(work)
    resultOf(Deferred.fromCoroutine(work))  # type: ignore[arg-type]  # a coroutine
    assert capsys.readouterr().out == f"{'0' * 32} anna\n"


@pytest_twisted.ensureDeferred
async def test_keys(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """
    A site has the keys of a file: its ids are sealed, and its file cannot be read.
    """
    monkeypatch.chdir(tmp_path)
    writeKeyFile("sessions.keys")
    store = SQLiteStore("sessions.db")
    monkeypatch.setattr("txsessions.stores.openStore", {"sqlite:sessions.db": store}.get)
    manager = run(block("keys", "encryptData=True"), root=Resource())["site"].sessionManager
    id = await manager.create("anna", {"pin": "canary"})
    assert len(id) == 108
    assert await manager.get(id) == {"pin": "canary"}
    await store.close()
    assert b"canary" not in (tmp_path / "sessions.db").read_bytes()


def test_encryption(capsys: pytest.CaptureFixture[str]) -> None:
    """
    What is encrypted in a store can be told from what is not.
    """
    record = Record("0" * 32, bytes(32), 0.0, 0.0, 900.0, None, "anna", {"data:pin": b"4711"})
    names = {"inner": MemoryStore(Clock()), "record": record}
    work = function(block("keys", "EncryptingStore("), "async def", **names)()
    resultOf(Deferred.fromCoroutine(work))
    assert capsys.readouterr().out == "b'\"txs1.' anna\n"


def test_migration(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """
    The module for a migration makes one store of two.
    """
    monkeypatch.chdir(tmp_path)
    assert isinstance(run(block("stores/moving", "def store()"))["store"](), MigratingStore)
