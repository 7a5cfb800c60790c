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


class SessionData(MutableMapping[str, Any]):
    """
    A mutable mapping of L{str} to JSON values over the attributes of a record.

    A value is decoded when it is asked for.  What has changed is found by
    comparing texts, so that a change deep inside of a list or a dict counts as
    well as an assignment; values that cannot change by themselves are not
    looked at again.

    Sets of keys are the keys of dicts here: Python's collector of garbage looks
    at every set, and at no dict of strings, and there may be many sessions.

    @ivar _texts: What is stored: keys to JSON texts.
    @ivar _values: What was asked for or assigned: keys to values.
    @ivar _containers: The keys among these whose values are lists and dicts,
        which may change without anybody noticing.
    @ivar _assigned: The texts of scalars that were assigned since.  That of any
        other scalar is what is stored.
    @ivar _removed: Keys that were deleted since.
    @ivar _limits: How large values may be.
    """

    __slots__ = ("_assigned", "_containers", "_limits", "_removed", "_texts", "_values")

    def __init__(self, attributes: Mapping[str, bytes], limits: SizeLimits = USUAL) -> None:
        self._limits = limits
        self._texts = _own(attributes)
        self._values: dict[str, Any] = {}
        self._containers: dict[str, None] = {}
        self._assigned: dict[str, bytes] = {}
        self._removed: dict[str, None] = {}

    def __repr__(self) -> str:
        return f"<SessionData of {len(self)} keys>"

    def __getitem__(self, key: str) -> Any:
        try:
            return self._values[key]
        except KeyError:
            if key in self._removed:
                raise
            value = self._values[key] = decode(self._texts[key])
            if type(value) not in SCALARS:
                self._containers[key] = None
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
        if type(value) in SCALARS:
            self._assigned[key] = text
            self._containers.pop(key, None)
        else:
            self._assigned.pop(key, None)
            self._containers[key] = None
        self._values[key] = value
        self._removed.pop(key, None)

    def __delitem__(self, key: str) -> None:
        if key not in self:
            raise KeyError(key)
        self._values.pop(key, None)
        self._assigned.pop(key, None)
        self._containers.pop(key, None)
        self._removed[key] = None

    def __contains__(self, key: object) -> bool:
        return key in self._values or (key in self._texts and key not in self._removed)

    def __iter__(self) -> Iterator[str]:
        for key in list(self._texts):
            if key not in self._removed:
                yield key
        for key in list(self._values):
            if key not in self._texts:
                yield key

    def __len__(self) -> int:
        return sum(1 for _ in self)

    @property
    def isTouched(self) -> bool:
        """
        Whether anything may have changed since it was stored.
        """
        return bool(self._assigned or self._containers or self._removed)

    def changes(self) -> tuple[dict[str, bytes], Set[str]]:
        """
        What has changed since it was stored.

        @return: The attributes to set, and the names of those to remove.
        @raise InvalidSessionData: A value inside of a container cannot be kept.
        """
        texts = self._texts
        changed = {}
        # Names are the same objects in all sessions, of which there may be a million.
        for key, text in self._assigned.items():
            if texts.get(key) != text:
                changed[intern(PREFIX + key)] = text
        for key in self._containers:
            value = self._values[key]
            if key not in texts or not isText(texts[key], value):
                changed[intern(PREFIX + key)] = encode(key, value, self._limits)
        if not self._removed:
            return changed, frozenset()
        return changed, {PREFIX + key for key in self._removed if key in texts}

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
        if key not in self._values:
            if new is None:
                self._removed.pop(key, None)
            elif old is None:
                self._removed[key] = None
        elif key not in self._containers:
            seen = self._assigned.get(key, old)
            if seen == new or seen is None:
                self._assigned.pop(key, None)
            else:
                self._assigned[key] = seen

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
            self._assigned.pop(key, None)
            if new is None:
                del self._values[key]
                self._containers.pop(key, None)
            else:
                self._renew(key, decode(new), shared)
        # What was removed here and is no longer stored has been dealt with: if
        # others store it anew, it is theirs.
        self._removed = dict.fromkeys(
            key for key in self._removed if key in before and key in after
        )
        self._texts = after

    def forgetChanges(self) -> None:
        """
        Go back to what is stored.
        """
        self._values.clear()
        self._containers.clear()
        self._assigned.clear()
        self._removed.clear()

    def _renew(self, key: str, value: Any, shared: Set[int]) -> None:
        """
        Take over the value that others have stored.
        """
        value = self._values[key] = renewed(self._values[key], value, shared)
        if type(value) in SCALARS:
            self._containers.pop(key, None)
        else:
            self._containers[key] = None

    def _isChanged(self, key: str) -> bool:
        """
        Whether the value of this key, which has been asked for, was changed
        since it was stored.
        """
        value = self._values[key]
        stored = self._texts.get(key)
        if type(value) in SCALARS:
            return self._assigned.get(key, stored) != stored
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
