"""
Components of a session that outlive the process.

An attrs class is declared persistent under a key and a version; its instances
are then kept as an attribute of the record, typed, and brought up to date when
a newer version of the class reads an older text.  An attribute of a component
that this process does not know is carried through untouched, because only
changes are ever saved.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, MutableMapping, Set
from typing import Any, Final, TypeVar

import attrs
import msgspec
from twisted.python.components import getAdapterFactory, registerAdapter
from twisted.python.reflect import qual
from twisted.web.server import Session
from zope.interface.interface import InterfaceClass

from .errors import InvalidSessionData

PREFIX: Final = "component:"
"""
Begins the names of the attributes of a record that are components.
"""

T = TypeVar("T")
Upgrade = Callable[[int, dict[str, Any]], dict[str, Any]]

_encode = msgspec.json.Encoder().encode


class Stored(msgspec.Struct):
    """
    A component as it is stored.

    @ivar version: Of the class that wrote it.
    @ivar state: Its fields.
    """

    version: int
    state: msgspec.Raw

    def __repr__(self) -> str:
        return f"<Stored version {self.version}>"


@attrs.frozen
class Declaration:
    """
    How the components of one interface are kept.

    @ivar name: The attribute's name.
    @ivar kind: The attrs class.
    @ivar version: The version that is written.
    @ivar upgrade: Makes the state of the present version from an older one.
    """

    name: str
    kind: type
    version: int
    upgrade: Upgrade | None

    def encode(self, component: object) -> bytes:
        """
        The component as a JSON text.
        """
        try:
            return _encode(Stored(self.version, msgspec.Raw(_encode(component))))
        except UnicodeEncodeError:
            detail = "it has text that is not Unicode"
        except (TypeError, ValueError, OverflowError, RecursionError) as e:
            detail = str(e)
        raise InvalidSessionData(f"the component {self.name} cannot be kept: {detail}")

    def decode(self, text: bytes) -> Any:
        """
        The component of a JSON text.

        @raise InvalidSessionData: A newer version of the class wrote it, or it
            does not fit the class and there is no upgrade.
        """
        version = "an unknown version"
        try:
            stored = msgspec.json.decode(text, type=Stored)
            version = f"version {stored.version}"
            if stored.version < self.version and self.upgrade is not None:
                state = self.upgrade(stored.version, msgspec.json.decode(stored.state))
                return msgspec.convert(state, type=self.kind)
            if stored.version <= self.version:
                return msgspec.json.decode(stored.state, type=self.kind)
            detail = "that is newer"
        except msgspec.DecodeError as e:
            # Of the whole text only the place: the rest may cite a value.
            detail = f"it does not fit {str(e).partition(' - ')[2]}".rstrip()
        raise InvalidSessionData(
            f"the component {self.name} was written by {version} of {qual(self.kind)}, which "
            f"version {self.version} cannot read: {detail}"
        )

    def isSaid(self, component: object, text: bytes | None, encoded: bytes) -> bool:
        """
        Whether a text says what the component is.  It need not be the same
        text: the members of a set come in another order in another process.

        @param encoded: The component as L{encode} has it.
        """
        if text == encoded or text is None:
            return text == encoded
        if not text.startswith(b'{"version":%d,' % self.version):
            return False
        try:
            return not _differences(component, self.decode(text))
        except InvalidSessionData:
            return False

    def check(self, component: object, text: bytes) -> None:
        """
        Refuse a component that would not come back from its text as it is.
        """
        fields = _differences(component, self.decode(text))
        if fields:
            raise InvalidSessionData(
                f"the component {self.name} cannot be kept: {', '.join(fields)} of "
                f"{qual(type(component))} would come back as something else; say in the "
                "annotation of the field what it is, without a leading underscore, or give it "
                "eq=False if it need not come back"
            )


_declared: dict[str, Declaration] = {}


def persistentComponent(
    interface: InterfaceClass, key: str, version: int = 1, upgrade: Upgrade | None = None
) -> Callable[[type[T]], type[T]]:
    """
    Declare that components for this interface are kept with the session.

    A decorator of an attrs class.  C{session.getComponent(interface)}, or
    C{interface(session)}, gives the stored component; where there is none, one
    that is made by the adapter that was registered for
    L{twisted.web.server.Session} as usual, or else by calling the class
    without arguments.

    @param interface: What the component is asked for by.
    @param key: Under which name it is stored.  Keep it when the class moves.
    @param version: Raise it when stored states no longer fit.
    @param upgrade: Called with the version and the state, a C{dict}, of an
        older component; returns the state of this version.
    """

    def declare(original: type[T]) -> type[T]:
        kind: Any = original
        if not attrs.has(kind):
            raise TypeError(f"{qual(kind)} is no attrs class: persistentComponent needs its fields")
        _declared[qual(interface)] = Declaration(PREFIX + key, kind, version, upgrade)
        if interface.implementedBy(kind) and _adapterIsMissing(interface):
            registerAdapter(lambda session: kind(), Session, interface)
        return original

    return declare


def _adapterIsMissing(interface: InterfaceClass) -> bool:
    """
    Whether nobody registered an adapter from a session to this interface.
    """
    return getAdapterFactory(Session, interface, None) is None


class PersistentComponents:
    """
    The persistent ones among the components of one session.

    @ivar _cache: The session's components by the name of their interface: the
        cache of L{twisted.python.components.Componentized}, which writes to it
        in several places; so it is looked at and not replaced.
    @ivar _texts: What is stored: names of attributes to texts.
    @ivar _seen: Names of the interfaces whose component was among them, so
        that one that was taken out is noticed.
    """

    __slots__ = ("_cache", "_seen", "_texts")

    def __init__(self, cache: MutableMapping[str, Any], attributes: Mapping[str, bytes]) -> None:
        self._cache = cache
        self._texts = _own(attributes)
        self._seen: set[str] = set()

    def find(self, interface: InterfaceClass) -> Any:
        """
        The component for this interface: the one among the session's
        components, or else the stored one, put among them; C{None} if there is
        none, or if it was taken out.
        """
        name = qual(interface)
        declaration = _declared.get(name)
        if declaration is None:
            return None
        component = self._cache.get(name)
        if component is not None or name in self._seen:
            return component
        text = self._texts.get(declaration.name)
        if text is None:
            return None
        component = self._cache[name] = declaration.decode(text)
        self._seen.add(name)
        return component

    def areAll(self) -> bool:
        """
        Whether the session has no other components.
        """
        return len(self._known()) == len(self._cache)

    @property
    def isTouched(self) -> bool:
        """
        Whether anything may have changed since it was stored.
        """
        return bool(self._cache or self._seen)

    def changes(self) -> tuple[dict[str, bytes], Set[str]]:
        """
        What has changed since it was stored.

        @return: The attributes to set, and the names of those to remove.
        @raise InvalidSessionData: A component would not come back as it is.
        """
        if not self.isTouched:
            return {}, frozenset()
        changed = {}
        for name, declaration, component in self._known():
            text = declaration.encode(component)
            self._seen.add(name)
            if not declaration.isSaid(component, self._texts.get(declaration.name), text):
                declaration.check(component, text)
                changed[declaration.name] = text
        removed = {_declared[name].name for name in self._seen if name not in self._cache}
        return changed, {name for name in removed if name in self._texts}

    def stored(self, attributes: Mapping[str, bytes], names: Iterable[str] | None = None) -> None:
        """
        Note what is stored, or on its way there.  What the application has
        stays as it is; it is a change where it differs.

        @param names: As L{SessionData.stored<txsessions.data.SessionData.stored>}
            takes them.
        """
        if names is None or any(name.startswith(PREFIX) for name in names):
            self._texts = _own(attributes)

    def refresh(self, attributes: Mapping[str, bytes]) -> None:
        """
        Take over what others have stored, but for what was changed here.
        """
        before, after = self._texts, _own(attributes)
        if before == after:
            return
        # What was taken out and is no longer stored has been dealt with: if
        # others store one anew, it is theirs.
        self._seen = {
            name for name in self._seen if name in self._cache or _declared[name].name in before
        }
        for name, declaration, component in self._known():
            old, new = before.get(declaration.name), after.get(declaration.name)
            if old != new and not _isChanged(declaration, component, old):
                self._renew(name, declaration, new)
        self._texts = after

    def forgetChanges(self) -> None:
        """
        Go back to what is stored.
        """
        for name in [name for name in self._cache if name in _declared]:
            del self._cache[name]
        self._seen.clear()

    def _known(self) -> list[tuple[str, Declaration, Any]]:
        """
        The persistent ones among the session's components, each with the name
        of its interface and its declaration.
        """
        return [
            (name, _declared[name], component)
            for name, component in self._cache.items()
            if name in _declared and isinstance(component, _declared[name].kind)
        ]

    def _renew(self, name: str, declaration: Declaration, text: bytes | None) -> None:
        """
        Take over one component that others have stored or removed.  One that
        cannot be read is an error for the one who asks for it.
        """
        old = self._cache.pop(name)
        try:
            if text is not None:
                self._cache[name] = _renewed(old, declaration.decode(text))
                return
        except InvalidSessionData:
            pass
        self._seen.discard(name)


def _isChanged(declaration: Declaration, component: Any, text: bytes | None) -> bool:
    """
    Whether a component is another than this text says.
    """
    try:
        return not declaration.isSaid(component, text, declaration.encode(component))
    except InvalidSessionData:
        return True


def _own(attributes: Mapping[str, bytes]) -> dict[str, bytes]:
    """
    The attributes that are components.
    """
    return {name: text for name, text in attributes.items() if name.startswith(PREFIX)}


def _differences(one: Any, other: Any) -> list[str]:
    """
    The names of the fields in which two components differ, or the name of the
    class if they are not of the same.
    """
    if one == other:
        return []
    if type(one) is not type(other):
        return [type(one).__name__]
    return [
        field.name
        for field in attrs.fields(type(one))
        if field.eq and getattr(one, field.name) != getattr(other, field.name)
    ]


def _renewed(old: Any, new: Any) -> Any:
    """
    The new component; in the old instance where its fields may be set, so that
    whoever holds that sees what is new.
    """
    try:
        for field in attrs.fields(type(new)):
            setattr(old, field.name, getattr(new, field.name))
    except attrs.exceptions.FrozenError:
        return new
    return old
