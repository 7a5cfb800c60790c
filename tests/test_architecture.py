"""
The shape of the package: imports go down the floors, contracts are contracts, everything says
what it is, and nothing shows a secret.
"""

from __future__ import annotations

import ast
import importlib
import inspect
import pkgutil
import re
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import attrs
import pytest

import txsessions
from txsessions.session import Session
from txsessions.web.live import LiveSessions

ROOT = Path(txsessions.__file__).parent

FLOORS = [
    "interfaces errors _version",
    "record lifetime token jsonvalues data cookie size sharded deadlines tracked duration "
    "comparison aead keys seal envelope limit handle event ownid given stores.claim stores.journal",
    "interruptible names turns clock duties patience sweeper keeper tracker tokens managed custody "
    "registry manager walk copying keyfile rekeying update subscription observers publisher "
    "subject claims ownstorage delivery courier couriers feed stores redis",
    "components bound storedsession livesession session web",
    "tap service roots demo demopage leaving draining commandline cli testing __main__",
    "",
]
"""
Names of modules, or of packages for all that is in them, from below.  The façade, whose name is
the package's own, is on top.
"""

DRIVERS = ("hiredis", "psycopg", "apsw", "sqlite3", "cryptography", "prometheus_client", "rich")


@cache
def modules() -> dict[str, ast.Module]:
    """
    All modules, by their names within the package.
    """
    found = {}
    for path in sorted(ROOT.rglob("*.py")):
        parts = path.relative_to(ROOT).with_suffix("").parts
        name = ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
        found[name] = ast.parse(path.read_text())
    return found


def isPackage(name: str) -> bool:
    """
    Whether this is a package and not a module.
    """
    return (ROOT.joinpath(*name.split(".")) / "__init__.py").exists() if name else True


def isForTypesOnly(node: ast.AST) -> bool:
    """
    Whether this is the body of C{if TYPE_CHECKING:}, which is never run.
    """
    return isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"


def running(tree: ast.AST, deep: bool = True) -> Iterator[ast.AST]:
    """
    The nodes of a module that can ever run; or only those that run when it is imported.
    """
    for node in ast.iter_child_nodes(tree):
        if isForTypesOnly(node):
            yield from (each for branch in node.orelse for each in running(branch, deep))  # type: ignore[attr-defined]  # an If
        elif deep or not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node
            yield from running(node, deep)


def imported(name: str, deep: bool = True) -> Iterator[str]:
    """
    The full names of what a module imports.
    """
    package = ["txsessions", *filter(None, name.split("."))]
    if not isPackage(name):
        package.pop()
    for node in running(modules()[name], deep):
        if isinstance(node, ast.Import):
            yield from (each.name for each in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else []
            origin = ".".join([*base, *filter(None, [node.module])])
            for each in node.names:
                whole = f"{origin}.{each.name}"
                yield whole if whole.removeprefix("txsessions.") in modules() else origin


def imports(name: str) -> set[str]:
    """
    Which modules of the package a module imports.
    """
    return {
        each.removeprefix("txsessions").removeprefix(".")
        for each in imported(name)
        if each.split(".")[0] == "txsessions"
    }


def floorOf(name: str) -> int:
    """
    On which floor a module is: that of the longest name which fits.
    """
    fits = [
        (len(known), floor)
        for floor, names in enumerate(FLOORS)
        for known in (names.split() or [""])
        if name == known or (known and name.startswith(f"{known}."))
    ]
    assert fits, f"txsessions.{name} is on no floor: say in FLOORS where it belongs"
    return max(fits)[1]


class TestImports:
    """
    Who knows whom.
    """

    def test_downOnly(self) -> None:
        """
        A module imports from its own floor or from below, also where it does so late.
        """
        up = [
            f"{name or 'txsessions'} imports {other or 'txsessions'}"
            for name in modules()
            for other in imports(name)
            if floorOf(other) > floorOf(name)
        ]
        assert not up

    def test_noCycles(self) -> None:
        """
        No modules import each other, directly or by way of others.
        """
        done: set[str] = set()

        def visit(name: str, path: tuple[str, ...]) -> None:
            assert name not in path, " imports ".join([*path[path.index(name) :], name])
            if name not in done:
                for other in imports(name):
                    visit(other, (*path, name))
                done.add(name)

        for name in modules():
            visit(name, ())

    def test_pure(self) -> None:
        """
        The two lowest floors know neither Twisted nor the clock, and no source of randomness.
        """
        forbidden = {"twisted", "time", "os", "random", "secrets", "socket", "threading"}
        for name in modules():
            if floorOf(name) <= 1:
                assert not forbidden & {each.split(".")[0] for each in imported(name)}, name

    def test_noWebBelow(self) -> None:
        """
        Only what is above the stores knows Twisted Web.
        """
        for name in modules():
            if floorOf(name) <= 2:
                assert not [each for each in imported(name) if each.startswith("twisted.web")], name

    def test_webKnowsNoStores(self) -> None:
        """
        The web knows of the stores what a claim is, and the store in memory that a site has
        where none is given.
        """
        known = {"stores.claim", "stores.memory"}
        for name in modules():
            if floorOf(name) == 3:
                assert {each for each in imports(name) if each.startswith("stores")} <= known, name

    def test_redisKnowsNoSessions(self) -> None:
        """
        The Redis client is a room of its own.
        """
        for name in modules():
            if name.split(".")[0] == "redis":
                assert all(each.split(".")[0] == "redis" for each in imports(name)), name

    def test_noReactor(self) -> None:
        """
        No module imports the reactor when it is imported itself.
        """
        for name in modules():
            found = set(imported(name, deep=False))
            assert not found & {"twisted.internet.reactor"}, name

    def test_light(self) -> None:
        """
        Importing the package installs no reactor and imports no driver.
        """
        program = (
            "import sys, txsessions, txsessions.stores;"
            f"print([name for name in {('twisted.internet.reactor', *DRIVERS)!r}"
            " if name in sys.modules])"
        )
        found = subprocess.run(
            [sys.executable, "-c", program], check=True, timeout=60, capture_output=True, text=True
        )
        assert found.stdout.strip() == "[]"

    def test_noPackagesOfOthers(self) -> None:
        """
        Nothing of ours takes the place of Twisted's own packages.
        """
        for name in ("twisted/__init__.py", "twisted/plugins/__init__.py"):
            assert not (ROOT.parent / name).exists()


def definitions(tree: ast.AST, path: str) -> Iterator[tuple[str, Any]]:
    """
    The classes, functions and methods of a module, with their names; not what is inside of
    functions.
    """
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            yield f"{path}.{node.name}", node
        if isinstance(node, ast.ClassDef | ast.If | ast.Try):
            yield from definitions(node, f"{path}.{getattr(node, 'name', '')}")


def needsNoText(node: Any) -> bool:
    """
    Whether the language or the typing says all there is to say: special methods, setters of
    properties, overloads, and protocols' attributes in the form of properties.
    """
    decorators = [ast.unparse(each) for each in getattr(node, "decorator_list", [])]
    isStub = [ast.unparse(each) for each in node.body] == ["..."]
    return (
        (node.name.startswith("__") and node.name.endswith("__"))
        or any(each.endswith((".setter", "overload")) for each in decorators)
        or (isStub and "property" in decorators)
    )


def test_everythingHasAText() -> None:
    """
    Every module, class, function and method says what it is.
    """
    silent = [
        path
        for name, tree in modules().items()
        for path, node in [(name, tree), *definitions(tree, name)]
        if not ast.get_docstring(node) and (isinstance(node, ast.Module) or not needsNoText(node))
    ]
    assert not silent


class TestInterfaces:
    """
    The contracts.
    """

    @staticmethod
    def interfaces() -> list[tuple[str, ast.ClassDef]]:
        """
        All interfaces, with their names.
        """
        classes = [
            (path, node)
            for name, tree in modules().items()
            for path, node in definitions(tree, name)
            if isinstance(node, ast.ClassDef)
        ]
        known = {"Interface"}
        while True:
            found = {
                node.name
                for _, node in classes
                if known & {ast.unparse(base).rpartition(".")[2] for base in node.bases}
            }
            if found <= known:
                return [(path, node) for path, node in classes if node.name in known]
            known |= found

    def test_names(self) -> None:
        """
        The name of an interface is an I and a noun, and nothing else has such a name.
        """
        names = {node.name for _, node in self.interfaces()}
        assert {"ISession", "ISessionStore"} <= names
        assert all(re.match("I[A-Z][a-z]", name) for name in names)
        others = {
            node.name
            for name, tree in modules().items()
            for _, node in definitions(tree, name)
            if isinstance(node, ast.ClassDef) and re.match("I[A-Z][a-z]", node.name)
        }
        assert others == names

    def test_noSelf(self) -> None:
        """
        A method of an interface has the arguments that its callers give, so there is no self.
        """
        for path, interface in self.interfaces():
            for node in interface.body:
                if isinstance(node, ast.FunctionDef):
                    assert "self" not in [each.arg for each in node.args.args], path


SECRETS = {
    "arguments",
    "attributes",
    "authorization",
    "body",
    "content",
    "data",
    "dsn",
    "expectedVerifier",
    "headers",
    "key",
    "keys",
    "notes",
    "options",
    "owner",
    "password",
    "secret",
    "sessionKey",
    "set",
    "state",
    "token",
    "uid",
    "unset",
    "user",
    "username",
    "value",
    "values",
    "verifier",
}
"""
Names of fields that hold, or may hold, what is for nobody else to see.
"""

HARMLESS: dict[str, str] = {
    "redis.address.Access.user": "the name of the server's user, which its log shows as well",
    "stores.postgresserver.statement.Unit.key": "the public handle of the session",
}
"""
Fields with such a name that are shown nevertheless, each with the reason.
"""


def valueClasses() -> Iterator[tuple[str, Any]]:
    """
    The classes of values: made with attrs or msgspec.  Not those of the tools for tests, whose
    users want to see everything.
    """
    for found in pkgutil.walk_packages(txsessions.__path__, "txsessions."):
        name = found.name.removeprefix("txsessions.")
        if name.split(".")[0] in ("testing", "__main__"):
            continue
        try:
            module = importlib.import_module(found.name)
        except ModuleNotFoundError as e:
            assert e.name in DRIVERS, f"{found.name} needs {e.name}"
            continue
        for _, each in inspect.getmembers(module, inspect.isclass):
            if each.__module__ == found.name and fieldsOf(each):
                yield f"{name}.{each.__name__}", each


def fieldsOf(kind: Any) -> list[str]:
    """
    The names of the fields of a class of values.
    """
    if attrs.has(kind):
        return [field.name for field in attrs.fields(kind)]
    return list(getattr(kind, "__struct_fields__", ()))


def shownBy(kind: Any) -> set[str]:
    """
    The fields of which the text form of an instance shows what is in them.
    """
    canaries = {name: f"canary {name} canary" for name in fieldsOf(kind)}
    if not hasattr(kind, "__struct_fields__"):
        value = object.__new__(kind)
        for name, canary in canaries.items():
            object.__setattr__(value, name, canary)
    else:
        value = kind(**canaries)
    return {name for name in fieldsOf(kind) if f"canary {name} canary" in f"{value!r} {value}"}


def test_valuesShowNoSecrets() -> None:
    """
    The text form of a value shows nothing that is secret.
    """
    kinds = dict(valueClasses())
    assert len(kinds) > 10 and "record.Record" in kinds
    shown = {f"{name}.{field}" for name, kind in kinds.items() for field in shownBy(kind)}
    assert "record.Record.sid" in shown
    secret = {field for field in shown if field.rpartition(".")[2].lstrip("_") in SECRETS}
    assert secret == HARMLESS.keys() & shown


@pytest.mark.parametrize("form", [repr, str, "{}".format])
def test_sessionsShowNoSecrets(form: Any) -> None:
    """
    The text form of a live session, and of all of them, shows the public handle at the most.
    """
    token = b"0123456789abcdef" * 4
    session = Session(None, token)
    session.sessionKey = "tuna-4711"
    session.data["pin"] = "tuna-4711"
    live = LiveSessions()
    live[token] = session
    text = form(session) + form(live) + form(session.data)
    assert session.sid in text
    assert token.decode() not in text and "tuna" not in text and "pin" not in text
