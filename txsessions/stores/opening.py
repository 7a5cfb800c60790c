"""
Stores from their text form.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from inspect import signature
from typing import Any

from twisted.plugin import getPlugins

from ..errors import SessionError
from ..interfaces import ISessionStore, ISessionStoreFactory
from ..names import load
from .description import BadStoreDescription, Description, parse


def openStore(text: str, reactor: Any = None) -> Any:
    """
    Make the store that a text describes.

    Its first word is a kind of store that a plugin declares (C{sqlite}), or
    the dotted name of a class or function, which is called with the arguments
    as they stand there, all of them L{str}.

    @param text: The text form (L{txsessions.stores.description}), such as
        C{"sqlite:sessions.db"}.
    @param reactor: Where the store runs; C{None}: the global reactor.
    @return: An L{ISessionStore}; nothing of it has been opened yet.
    @raise BadStoreDescription: The text describes no store, or its driver is
        not installed.
    """
    description = parse(text)
    try:
        store = _creator(description, reactor)()
    except ImportError as e:
        raise BadStoreDescription(f"{description.prefix} cannot be loaded: {e}") from e
    except SessionError:
        raise
    except ValueError as e:
        raise BadStoreDescription(f"{description.prefix}: {e}") from e
    provider = ISessionStore(store, None)
    if provider is None:
        raise BadStoreDescription(f"{description.prefix} makes no ISessionStore")
    return provider


def storeFactories() -> list[Any]:
    """
    The factories of all kinds of stores that are installed, in the order of
    their prefixes.

    @return: A L{list} of L{ISessionStoreFactory}.
    """
    plugins: Iterable[Any] = getPlugins(ISessionStoreFactory)  # type: ignore[type-var]
    return sorted(plugins, key=lambda factory: factory.prefix)


def _creator(description: Description, reactor: Any) -> Callable[[], Any]:
    """
    What makes the store when it is called.
    """
    arguments, options = description.arguments, description.options
    if "." not in description.prefix:
        factory = _factory(description.prefix)
        return lambda: factory.createStore(reactor, arguments, options)
    create = load(description.prefix)
    try:
        signature(create).bind(*arguments, **options)
    except TypeError:
        raise ValueError("it cannot be called with these arguments") from None
    return lambda: create(*arguments, **options)


def _factory(prefix: str) -> Any:
    """
    The factory for a kind of store.
    """
    known = storeFactories()
    fitting = [factory for factory in known if factory.prefix == prefix]
    if len(fitting) == 1:
        return fitting[0]
    if fitting:
        modules = " and ".join(sorted(type(factory).__module__ for factory in fitting))
        raise BadStoreDescription(f"two plugins declare stores of the kind {prefix}: {modules}")
    kinds = ", ".join(factory.prefix for factory in known)
    raise BadStoreDescription(
        f"there is no store of the kind {prefix!r}; there are: {kinds}, "
        "and dotted names of classes, such as package.module.MyStore"
    )
