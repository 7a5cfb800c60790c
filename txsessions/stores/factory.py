"""
Factories of our own stores: what a plugin declares with strings alone, so that
nothing is imported before a store is made.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from twisted.plugin import IPlugin
from twisted.python.reflect import namedAny
from zope.interface import implementer

from ..duration import seconds
from ..interfaces import ISessionStoreFactory


def _secret(path: str) -> str:
    """
    The first line of a file: a password is not for the command line, where
    every user of the machine can read it.
    """
    with open(path, encoding="utf-8") as file:
        password = file.readline().rstrip("\r\n")
    if not password:
        raise ValueError("there is none")
    return password


KINDS: Final[Mapping[str, Callable[[str], Any]]] = {
    "text": str,
    "integer": int,
    "duration": seconds,
    # A daemon changes its directory.
    "path": os.path.abspath,
    "secret": _secret,
}
"""
What the text of a parameter becomes.
"""

FORMS: Final[Mapping[str, str]] = {
    "integer": "is a whole number",
    "duration": "is a time such as 2 (seconds), 2s or 1m",
    "secret": "has no password in its first line, in UTF-8",
}
"""
What is said of a text that becomes nothing of its kind.
"""


OWN: Final = frozenset({"reactor", "clock"})
"""
Parameters of the classes that no text can give.
"""


@implementer(IPlugin, ISessionStoreFactory)
class StoreFactory:
    """
    Makes the stores of one kind.

    @ivar _name: The dotted name of the store's class.
    @ivar _parameters: The names of its parameters, each with its kind, one of
        L{KINDS}.  C{passwordFile}, a secret, is for the parameter C{password}.
    @ivar _needed: How many of them, from the first, must be given, and may be
        given by their places.
    @ivar _others: The kind of all further parameters; C{None} if there are none.
    @ivar _needsReactor: Whether it has a parameter C{reactor}.
    @ivar _extra: The extra of the distribution that installs its driver.
    """

    def __init__(
        self,
        prefix: str,
        summary: str,
        name: str,
        *,
        parameters: Mapping[str, str],
        needed: int = 0,
        others: str | None = None,
        needsReactor: bool = True,
        extra: str | None = None,
    ) -> None:
        self.prefix = prefix
        self.summary = summary
        self._name = name
        self._parameters = parameters
        self._needed = needed
        self._others = others
        self._needsReactor = needsReactor
        self._extra = extra

    def createStore(
        self, reactor: Any, arguments: Sequence[str], options: Mapping[str, str]
    ) -> Any:
        """
        See L{ISessionStoreFactory.createStore}.
        """
        values = self._values(arguments, options)
        if self._needsReactor:
            values["reactor"] = reactor
        return self._load()(**values)

    def _load(self) -> Any:
        """
        The store's class.
        """
        try:
            return namedAny(self._name)
        except ImportError as e:
            if self._extra is None:
                raise
            raise ValueError(
                f"its driver is not installed ({e}): pip install 'txsessions[{self._extra}]'"
            ) from e

    def _values(self, arguments: Sequence[str], options: Mapping[str, str]) -> dict[str, Any]:
        """
        The values of the parameters.

        @raise ValueError: They do not fit.  The text repeats none of them:
            with a quotation forgotten, any may be a piece of a password.
        """
        needed = list(self._parameters)[: self._needed]
        given = {**dict(zip(needed, arguments, strict=False)), **options}
        isWhole = len(given) == len(arguments) + len(options) and given.keys() >= set(needed)
        if not isWhole or not all(self._kind(name) for name in given):
            raise ValueError(f"it is written {self.summary}")
        return dict(self._value(name, text) for name, text in given.items())

    def _kind(self, name: str) -> str | None:
        """
        The kind of a parameter; C{None} if there is no such parameter.
        """
        return self._parameters.get(name, None if name in OWN else self._others)

    def _value(self, name: str, text: str) -> tuple[str, Any]:
        """
        A parameter as the store's class has it, and its value.
        """
        kind = self._kind(name) or ""
        try:
            return name.removesuffix("File") if kind == "secret" else name, KINDS[kind](text)
        except OSError as e:
            raise ValueError(f"{name} cannot be read: {e.strerror}") from e
        except ValueError as e:
            raise ValueError(f"{name} {FORMS.get(kind, 'cannot be understood')}") from e
