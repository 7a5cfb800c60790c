"""
What an application keeps in a session: a mapping of keys to JSON values that
knows what has changed since it was stored.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, MutableMapping, Set
from sys import intern
from typing import Any, Final

from .jsonvalues import SCALARS, checkKey, decode, encode, isText
from .size import USUAL, SizeLimits

PREFIX: Final = "data:"
"""
Begins the names of the attributes of a record that are keys of C{data}.
"""

NO_NAMES: Final[Set[str]] = frozenset()


class SessionData(MutableMapping[str, Any]):
    """
    A mutable mapping of L{str} to JSON values over the attributes of a record.

    A value is decoded when it is asked for.  What has changed is found by
    comparing texts, so that a change deep inside of a list or a dict counts as
    well as an assignment; values that cannot change by themselves are not
    looked at again.

    @ivar touched: What may have changed since it was stored: the texts of scalars
        that were assigned; C{None} for the keys of lists and dicts that were asked
        for or assigned, which may change without anybody noticing, and for those
        that were deleted, which have no value.
    @ivar _texts: What is stored: keys to JSON texts.
    @ivar _values: What was asked for or assigned: keys to values.
    @ivar _limits: How large values may be.
    """

    __slots__ = ("_limits", "_texts", "_values", "touched")

    def __init__(self, attributes: Mapping[str, bytes], limits: SizeLimits = USUAL) -> None:
        self._limits = limits
        self._texts = _own(attributes)
        self._values: dict[str, Any] = {}
        self.touched: dict[str, bytes | None] = {}

    def __repr__(self) -> str:
        return f"<SessionData of {len(self)} keys>"

    def __getitem__(self, key: str) -> Any:
        try:
            return self._values[key]
        except KeyError:
            if key in self.touched:
                raise
            value = self._values[key] = decode(self._texts[key])
            if type(value) not in SCALARS:
                self.touched[key] = None
            return value

    def get(self, key: str, default: Any = None) -> Any:
        """
        See C{dict.get}.
        """
        value = self._values.get(key, default)
        if value is not default or key in self._values or key not in self:
            return value
        return self[key]

    def __setitem__(self, key: str, value: Any) -> None:
        checkKey(key)
        text = encode(key, value, self._limits)
        self._values[key] = value
        self.touched[key] = text if type(value) in SCALARS else None

    def __delitem__(self, key: str) -> None:
        if key not in self:
            raise KeyError(key)
        self._values.pop(key, None)
        self.touched[key] = None

    def __contains__(self, key: object) -> bool:
        return key in self._values or (key in self._texts and key not in self.touched)

    def __iter__(self) -> Iterator[str]:
        for key in list(self._texts):
            if key in self:
                yield key
        for key in list(self._values):
            if key not in self._texts:
                yield key

    def __len__(self) -> int:
        return sum(1 for _ in self)

    def changes(self) -> tuple[dict[str, bytes], Set[str]]:
        """
        What has changed since it was stored.

        @return: The attributes to set, and the names of those to remove.
        @raise InvalidSessionData: A value inside of a container cannot be kept.
        """
        values, changed, removed = self._values, {}, NO_NAMES
        for key, text in self.touched.items():
            stored = self._texts.get(key)
            if text is None and key not in values:
                if stored is not None:
                    removed |= {PREFIX + key}
                continue
            if text is None and (stored is None or not isText(stored, values[key])):
                text = encode(key, values[key], self._limits)  # noqa: PLW2901
            if text is not None and text != stored:
                # Names are the same objects in all sessions, of which there may be a million.
                changed[intern(PREFIX + key)] = text
        return changed, removed

    def stored(self, attributes: Mapping[str, bytes], names: Iterable[str] | None = None) -> None:
        """
        Note what is stored, or on its way there.  What the application sees
        stays as it is; it is a change where it differs.

        @param names: Of those that may differ from what was told before;
            C{None}: any may.
        """
        if names is None:
            names = dict.fromkeys([*attributes, *(PREFIX + key for key in self._texts)])
        texts, start = self._texts, len(PREFIX)
        for name in names:
            if name.startswith(PREFIX):
                key = name[start:]
                old, new = texts.get(key), attributes.get(name)
                if old is not new:
                    self._keepSight(key, old, new)
                    if new is None:
                        texts.pop(key, None)
                    else:
                        texts[key] = new

    def _keepSight(self, key: str, old: bytes | None, new: bytes | None) -> None:
        """
        See to it that what the application sees of a key stays as it is, though
        another text is stored now.
        """
        touched = self.touched
        if key not in self._values:
            if new is None:
                touched.pop(key, None)
            elif old is None:
                touched[key] = None
            return
        seen = touched.get(key, old)
        if seen is None:
            return
        if seen == new:
            touched.pop(key, None)
        else:
            touched[key] = seen

    def refresh(self, attributes: Mapping[str, bytes]) -> None:
        """
        Take over what others have stored, but for what was changed here.

        A list or dict that somebody may hold is brought up to date in place.
        """
        before, after = self._texts, _own(attributes)
        if before == after:
            return
        shared = _sharedIn(self._values.values())
        for key in list(self._values):
            old, new = before.get(key), after.get(key)
            if old == new or self._isChanged(key):
                continue
            self.touched.pop(key, None)
            if new is None:
                del self._values[key]
            else:
                self._renew(key, decode(new), shared)
        for key in [key for key in self.touched if key not in self._values]:
            # What was removed here and is no longer stored has been dealt with: if
            # others store it anew, it is theirs.
            if key not in before or key not in after:
                del self.touched[key]
        self._texts = after

    def forgetChanges(self) -> None:
        """
        Go back to what is stored.
        """
        self._values.clear()
        self.touched.clear()

    def _renew(self, key: str, value: Any, shared: Set[int]) -> None:
        """
        Take over the value that others have stored.
        """
        value = self._values[key] = renewed(self._values[key], value, shared)
        if type(value) not in SCALARS:
            self.touched[key] = None

    def _isChanged(self, key: str) -> bool:
        """
        Whether the value of this key, which has been asked for, was changed
        since it was stored.
        """
        value = self._values[key]
        stored = self._texts.get(key)
        if type(value) in SCALARS:
            return self.touched.get(key, stored) != stored
        return stored is None or not isText(stored, value)


def _own(attributes: Mapping[str, bytes]) -> dict[str, bytes]:
    """
    The attributes that are keys of C{data}, without their prefix.
    """
    start = len(PREFIX)
    return {name[start:]: text for name, text in attributes.items() if name.startswith(PREFIX)}


def renewed(old: Any, new: Any, shared: Set[int] = frozenset()) -> Any:
    """
    The new value; in the old container where it is one of the same kind, so
    that whoever holds that sees what is new.

    @param shared: Containers, by L{id}, that occur in several places and are
        left alone, because they would have to become different ones.
    """
    if type(old) is not type(new) or id(old) in shared:
        return new
    if type(old) is dict:
        # In the order of the new one, or it would count as a change.
        items = {key: renewed(old.get(key), value, shared) for key, value in new.items()}
        old.clear()
        old.update(items)
        return old
    if type(old) is list:
        old[:] = [
            renewed(old[place], value, shared) if place < len(old) else value
            for place, value in enumerate(new)
        ]
        return old
    return new


def _sharedIn(values: Iterable[Any]) -> set[int]:
    """
    The containers, by L{id}, that occur in several places of these values.
    """
    left, seen, shared = list(values), set(), set()
    while left:
        value = left.pop()
        if type(value) is dict or type(value) is list:
            if id(value) in seen:
                shared.add(id(value))
            else:
                seen.add(id(value))
                left.extend(value.values() if type(value) is dict else value)
    return shared
