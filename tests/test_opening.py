"""
Tests for stores from their text form.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.endpoints import _parse as parseEndpoint
from twisted.python.reflect import qual
from zope.interface import implementer
from zope.interface.verify import verifyObject

from txsessions.interfaces import ISessionStore, ISessionStoreFactory
from txsessions.stores import BadStoreDescription, SessionStore, opening, openStore
from txsessions.stores.description import parse, quote
from txsessions.stores.factory import StoreFactory
from txsessions.stores.memory import MemoryStore

SECRET = "hunter2"


class NamedStore(MemoryStore):
    """
    A store that an application names by its class.
    """

    def __init__(self, first: str, second: str = "none") -> None:
        super().__init__()
        self.given = (first, second)


class ThreeMethods(SessionStore):
    """
    A store with the least that one must have.
    """

    def loadSession(self, sid, default=None):
        """
        See L{SessionStore}.
        """
        return default

    def saveSession(self, session):
        """
        See L{SessionStore}.
        """

    def deleteSession(self, sid):
        """
        See L{SessionStore}.
        """


def noStore() -> object:
    """
    Makes something that is no store.
    """
    return object()


@implementer(ISessionStoreFactory)
class OtherFactory:
    """
    A factory of somebody else.
    """

    prefix = "other"
    summary = "other: somebody else's"

    def createStore(self, reactor, arguments, options):
        """
        See L{ISessionStoreFactory}.
        """
        self.given = (reactor, arguments, options)
        if "bad" in options:
            raise ValueError("write other:good")
        if "missing" in options:
            raise ImportError("No module named 'driver'")
        return MemoryStore()


def refusal(text: str) -> str:
    """
    What is said of a text that describes no store.
    """
    with pytest.raises(BadStoreDescription) as caught:
        openStore(text)
    said = str(caught.value)
    assert "\n" not in said
    return said


@pytest.fixture
def other(monkeypatch):
    """
    A plugin of somebody else, installed beside ours.
    """
    factory = OtherFactory()
    ours = opening.storeFactories()
    monkeypatch.setattr(opening, "getPlugins", lambda interface: [*ours, factory])
    return factory


def test_memory():
    """
    C{memory} is the store in memory, with or without a colon behind it.
    """
    for text in ("memory", "memory:"):
        store = openStore(text)
        assert type(store) is MemoryStore
        assert verifyObject(ISessionStore, store)


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("json:sessions", "txsessions.stores.json.JSONStore"),
        ("sqlite:sessions.db", "txsessions.stores.sqlite.SQLiteStore"),
        (
            "postgres:host=127.0.0.1:port=1:dbname=x:schema=y:timeout=2s:passwordFile=password",
            "txsessions.stores.postgres.PostgresStore",
        ),
        (
            "redis:host=127.0.0.1:port=1:db=2:timeout=2s:tls=yes:passwordFile=password",
            "txsessions.stores.redis.RedisStore",
        ),
        ("redis:", "txsessions.stores.redis.RedisStore"),
        (
            r"redis:sentinels=a\:1,b\:2:master=x:sentinelPasswordFile=password",
            "txsessions.stores.redis.RedisStore",
        ),
    ],
)
def test_ours(text, name, tmp_path: Path, monkeypatch):
    """
    Each kind of store that comes with txsessions can be made from a text;
    nothing is opened by that.
    """
    driver = {"postgres": "psycopg", "redis": "hiredis"}.get(text.partition(":")[0])
    if driver is not None:
        pytest.importorskip(driver, reason="the driver is not installed")
    monkeypatch.chdir(tmp_path)
    (tmp_path / "password").write_text(SECRET)
    store = openStore(text)
    assert qual(type(store)) == name
    assert verifyObject(ISessionStore, store)
    assert [path.name for path in tmp_path.iterdir()] == ["password"]
    assert SECRET not in repr(store)


def test_ownStore():
    """
    A store of three methods, which only adapts to L{ISessionStore}, can be
    named too.
    """
    assert verifyObject(ISessionStore, openStore(f"{__name__}.ThreeMethods"))


def test_factoriesProvide():
    """
    Every store that comes with txsessions is declared by a plugin, in the
    order of their names, with one line for people.
    """
    factories = opening.storeFactories()
    assert "memory" in [factory.prefix for factory in factories]
    assert factories == sorted(factories, key=lambda factory: factory.prefix)
    for factory in factories:
        assert verifyObject(ISessionStoreFactory, factory)
        assert factory.summary.startswith(factory.prefix) and "\n" not in factory.summary


def test_parts():
    """
    A text has a prefix, positional arguments, and keys with values; a
    backslash takes away the meaning of what follows it.
    """
    described = parse(r"kind:one:a\:b:key=x=y\:z:\\:c\=d")
    assert described.prefix == "kind"
    assert described.arguments == ["one", "a:b", "\\", "c=d"]
    assert described.options == {"key": "x=y:z"}


def test_emptyArguments():
    """
    Empty arguments at the end are none; one in the middle is one.
    """
    assert parse("kind::").arguments == []
    assert parse("kind::a:").arguments == ["", "a"]


@given(st.text(alphabet="ab:=\\ \n", max_size=30))
def test_grammarOfEndpoints(text):
    """
    The grammar is that of Twisted's endpoints, but for empty arguments at the
    end and for what endpoints make no sense of.
    """
    try:
        arguments, options = parseEndpoint("kind:" + text)
        described = parse("kind:" + text)
    except (RuntimeError, BadStoreDescription):
        return
    while len(arguments) > 1 and not arguments[-1]:
        arguments.pop()
    assert (["kind", *described.arguments], described.options) == (arguments, options)


@given(st.text(max_size=30), st.text(max_size=30))
def test_quote(argument, value):
    """
    A quoted argument or value stands for itself.
    """
    described = parse(f"kind:x{quote(argument)}:key={quote(value)}")
    assert described.arguments == ["x" + argument]
    assert described.options == {"key": value}


@pytest.mark.parametrize("text", ["", ":", "a=b", "=", ":memory"])
def test_noKind(text):
    """
    A text that does not begin with a kind of store says how one begins.
    """
    assert "begins with its kind, such as sqlite:sessions.db" in refusal(text)


def test_strayBackslash():
    """
    A quotation that quotes nothing is an error.
    """
    assert "backslash" in refusal("memory:\\")


def test_keyTwice():
    """
    A key that is given twice is an error, not a surprise.
    """
    assert refusal("memory:a=1:a=1") == "memory: a key is given twice"


def test_unknownKind():
    """
    An unknown kind of store lists those that exist.
    """
    said = refusal(f"postgresql://user:{SECRET}@host/name")
    assert "no store of the kind 'postgresql'" in said
    assert "memory" in said
    assert SECRET not in said


@pytest.mark.parametrize("text", ["memory:x", "memory:x=1"])
def test_misfit(text):
    """
    Arguments that a store does not take are answered by those that it does.
    """
    assert refusal(text).startswith("memory: it is written memory")


@pytest.mark.parametrize(
    "text",
    [
        f"memory:{SECRET}",
        f"memory:{SECRET}=1",
        f"memory:a={SECRET}",
        f"memory:{SECRET}=1:{SECRET}=1",
        f"{__name__}.NamedStore:a:b:{SECRET}",
        f"{__name__}.NamedStore:{SECRET}=a",
    ],
)
def test_noSecrets(text):
    """
    No error repeats an argument, a key or a value: any may be a password, or
    a piece of one.
    """
    assert SECRET not in refusal(text)
    assert SECRET not in repr(parse("kind:" + SECRET + ":a=" + SECRET))


def test_plugin(other):
    """
    A plugin of somebody else makes a further kind of store known, and gets the
    reactor and the arguments.
    """
    reactor = object()
    assert type(openStore("other:a:b=c", reactor)) is MemoryStore
    assert other.given == (reactor, ["a"], {"b": "c"})
    assert "memory, other" in refusal("nonsense").replace("json, ", "")


def test_pluginRefuses(other):
    """
    What somebody else's plugin says of its arguments, or of a driver that is
    missing, is passed on in one line.
    """
    assert refusal("other:bad=1") == "other: write other:good"
    assert refusal("other:missing=1") == "other cannot be loaded: No module named 'driver'"


def test_twoPlugins(other, monkeypatch):
    """
    Two plugins for one kind of store are an error that names both.
    """
    monkeypatch.setattr(opening, "getPlugins", lambda interface: [other, OtherFactory()])
    said = refusal("other")
    assert "two plugins declare stores of the kind other" in said
    assert said.count(__name__) == 2


def test_dottedName():
    """
    A dotted name is called with the arguments as they stand there.
    """
    store = openStore(f"{__name__}.NamedStore:a:second=b")
    assert type(store) is NamedStore
    assert store.given == ("a", "b")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("nowhere.at.All", "nowhere.at.All: there is no such thing; is it on PYTHONPATH?"),
        (f"{__name__}.Nothing", "has no attribute 'Nothing'"),
        (f"{__name__}.NamedStore", "it cannot be called with these arguments"),
        (f"{__name__}.SECRET", "it cannot be called with these arguments"),
        (f"{__name__}.noStore", "makes no ISessionStore"),
        ("a..b", "must be a string giving a '.'-separated list"),
    ],
)
def test_badDottedName(text, said):
    """
    A dotted name that cannot be loaded, called or used says so.
    """
    assert said in refusal(text)


def test_moduleThatRaises(tmp_path: Path, monkeypatch):
    """
    A module of the application that cannot be imported is named with the
    place of its error.
    """
    (tmp_path / "brokenapplication.py").write_text("import os\n\n1 / 0\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    said = refusal("brokenapplication.MyStore")
    assert "importing it raised ZeroDivisionError: division by zero" in said
    assert said.endswith(f"{tmp_path / 'brokenapplication.py'}:3)")


def test_missingDriver(tmp_path: Path, monkeypatch):
    """
    A store whose driver is not installed says which extra installs it.
    """
    (tmp_path / "driven.py").write_text("import thereisnosuchdriver\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    factory = StoreFactory("driven", "driven", "driven.Store", parameters={}, extra="redis")
    monkeypatch.setattr(opening, "getPlugins", lambda interface: [factory])
    said = refusal("driven")
    assert "thereisnosuchdriver" in said
    assert "pip install 'txsessions[redis]'" in said


class Parametrized(MemoryStore):
    """
    A store with a parameter of each kind.
    """

    def __init__(self, path, reactor=None, **others):
        super().__init__()
        self.given = {"path": path, "reactor": reactor, **others}


@pytest.fixture
def parametrized(monkeypatch):
    """
    The factory for L{Parametrized}, installed.
    """
    factory = StoreFactory(
        "kind",
        "kind:PATH: of each kind",
        f"{__name__}.Parametrized",
        parameters={
            "path": "path",
            "port": "integer",
            "rest": "duration",
            "passwordFile": "secret",
        },
        needed=1,
    )
    monkeypatch.setattr(opening, "getPlugins", lambda interface: [factory])


def test_parameters(parametrized, tmp_path: Path, monkeypatch):
    """
    Parameters become what they are: paths absolute, numbers numbers,
    durations seconds, and secrets come from a file.
    """
    monkeypatch.chdir(tmp_path)
    (tmp_path / "password").write_text(f"{SECRET}\n")
    reactor = object()
    store = openStore("kind:x.db:port=5:rest=2m:passwordFile=password", reactor)
    assert store.given == {
        "path": str(tmp_path / "x.db"),
        "reactor": reactor,
        "port": 5,
        "rest": 120.0,
        "password": SECRET,
    }
    assert openStore("kind:path=x.db").given["path"] == str(tmp_path / "x.db")


def test_otherParameters(monkeypatch):
    """
    A store may take whatever its driver knows, but for what is not for texts
    to give.
    """
    factory = StoreFactory(
        "kind", "kind: any", f"{__name__}.Parametrized", parameters={"path": "text"}, others="text"
    )
    monkeypatch.setattr(opening, "getPlugins", lambda interface: [factory])
    given = {"path": "a", "host": "b", "reactor": None}
    assert openStore("kind:path=a:host=b").given == given
    for name in ("reactor", "clock"):
        assert refusal(f"kind:path=a:{name}=b") == "kind: it is written kind: any"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("kind", "kind: it is written kind:PATH"),
        ("kind:", "kind: it is written kind:PATH"),
        ("kind:a:b", "kind: it is written kind:PATH"),
        ("kind:a:path=b", "kind: it is written kind:PATH"),
        ("kind:/a=b", "kind: it is written kind:PATH"),
        (f"kind:a:port={SECRET}", "kind: port is a whole number"),
        (f"kind:a:rest={SECRET}", "kind: rest is a time such as 2 (seconds), 2s or 1m"),
        ("kind:a:passwordFile=/nowhere", "kind: passwordFile cannot be read: No such file"),
    ],
)
def test_badParameters(parametrized, text, said):
    """
    Parameters that are missing, too many, unknown or of the wrong kind are
    told in one line.
    """
    assert refusal(text).startswith(said)
    assert SECRET not in refusal(text)


@pytest.mark.parametrize("content", [b"", b"\n" + SECRET.encode(), b"\xff" + SECRET.encode()])
def test_noPassword(parametrized, tmp_path: Path, content):
    """
    A file without a password is no password that is empty, and says what it should have.
    """
    (tmp_path / "password").write_bytes(content)
    said = refusal(f"kind:a:passwordFile={tmp_path / 'password'}")
    assert said == "kind: passwordFile has no password in its first line, in UTF-8"


def test_pluginIsLight():
    """
    Declaring the stores imports no driver and no reactor.
    """
    heavy = ["twisted.internet.reactor", "hiredis", "psycopg", "sqlite3"]
    code = (
        "import sys, twisted.plugins.txsessions_plugin, twisted.plugins.txsessions_stores;"
        f"print([name for name in {heavy} if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
