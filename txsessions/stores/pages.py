"""
A large dictionary in pages.
"""

from __future__ import annotations

from typing import Final, Generic, TypeVar

V = TypeVar("V")

PAGE: Final = 50_000
"""
How many entries a page has: Python makes room for more in a dictionary of that
size in two milliseconds; of a million, in thirty.
"""


class Pages(Generic[V]):
    """
    What comes and goes in about the same order, by name.  However much there
    is, no operation takes long.

    @ivar _pages: Dictionaries, the oldest first; all but the last have
        something in them.
    """

    def __init__(self) -> None:
        self._pages: list[dict[str, V]] = [{}]

    def __len__(self) -> int:
        return sum(map(len, self._pages))

    def __getitem__(self, name: str) -> V:
        """
        What is there of that name.

        @raise KeyError: Nothing is.
        """
        value = self.get(name)
        if value is None:
            raise KeyError(name)
        return value

    def __contains__(self, name: str) -> bool:
        return self.get(name) is not None

    def add(self, name: str, value: V) -> None:
        """
        Add what is not there yet.
        """
        if len(self._pages[-1]) >= PAGE:
            self._pages.append({})
        self._pages[-1][name] = value

    def get(self, name: str) -> V | None:
        """
        What is there of that name, or C{None}.
        """
        for page in self._pages:
            if name in page:
                return page[name]
        return None

    def discard(self, name: str) -> None:
        """
        Take out what is there of that name, if anything is.
        """
        for number, page in enumerate(self._pages):
            if page.pop(name, None) is not None:
                if not page and number < len(self._pages) - 1:
                    del self._pages[number]
                return
