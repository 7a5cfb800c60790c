"""
What the docstrings link to in other people's documentation, found out from what
is installed: so the documentation is built without a network.
"""

from __future__ import annotations

import builtins
import importlib
import pkgutil
import sys
import zlib
from collections.abc import Iterator
from inspect import isclass
from pathlib import Path
from types import ModuleType

from zope.interface.interface import InterfaceClass

import txsessions

TWISTED = "https://docs.twisted.org/en/stable/api/"
PYTHON = "https://docs.python.org/3/library/"

MODULES = {
    "msgspec": "https://jcristharif.com/msgspec/api.html",
    "os": f"{PYTHON}os.html",
    "random": f"{PYTHON}random.html",
    "time": f"{PYTHON}time.html",
}
"""
Other modules whose names are linked to, and the page of each.
"""

LINKED = ("twisted.web.distrib",)
"""
Modules of Twisted's that are linked to and that nobody imports.
"""

SHORT = (
    "twisted.internet.defer.Deferred",
    "twisted.internet.interfaces.IReactorFromThreads",
    "twisted.internet.interfaces.IReactorTime",
    "twisted.internet.task.Clock",
)
"""
What is known by its last word also where it is not imported.
"""


def writeInventory(path: Path) -> None:
    """
    Write an inventory, in the second format of Sphinx.
    """
    pages = dict(_pages())
    pages |= {name.rpartition(".")[2]: pages[name] for name in SHORT}
    lines = (f"{name} py:function 1 {page} -\n" for name, page in sorted(pages.items()))
    head = "# Sphinx inventory version 2\n# Project: others\n# Version: 0\n"
    head += "# The remainder of this file is compressed using zlib.\n"
    path.write_bytes(head.encode() + zlib.compress("".join(lines).encode()))


def _pages() -> Iterator[tuple[str, str]]:
    """
    Names, each with the address of its documentation.
    """
    for found in pkgutil.walk_packages(txsessions.__path__, "txsessions."):
        if not found.name.endswith("__main__"):
            importlib.import_module(found.name)
    for name in LINKED:
        importlib.import_module(name)
    for name in dir(builtins):
        yield name, f"{PYTHON}{_pageOfBuiltin(name)}#{name}"
    for name, page in MODULES.items():
        for member in dir(importlib.import_module(name)):
            yield f"{name}.{member}", f"{page}#{name}.{member}"
    for name, module in sorted(sys.modules.items()):
        if name.startswith("twisted."):
            yield from _twisted(name, module)


def _twisted(name: str, module: ModuleType) -> Iterator[tuple[str, str]]:
    """
    The names of a module of Twisted's.
    """
    yield name, f"{TWISTED}{name}.html"
    for member, value in vars(module).items():
        whole = f"{name}.{member}"
        if isinstance(value, InterfaceClass) or isclass(value):
            yield whole, f"{TWISTED}{whole}.html"
            attributes = value.names(all=True) if isinstance(value, InterfaceClass) else dir(value)
            for attribute in attributes:
                yield f"{whole}.{attribute}", f"{TWISTED}{whole}.html#{attribute}"
        else:
            yield whole, f"{TWISTED}{name}.html#{member}"


def _pageOfBuiltin(name: str) -> str:
    """
    Where Python describes what is built in.
    """
    value = getattr(builtins, name)
    if isclass(value):
        return "exceptions.html" if issubclass(value, BaseException) else "stdtypes.html"
    return "functions.html" if callable(value) else "constants.html"
