"""
How large a session may grow.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import attrs

from .errors import SessionTooLarge

MAXIMUM_BYTES: Final = 65536
"""
What all attributes of a record take at the most, in bytes of JSON.  It is read
at every request, and kept by every visitor: what is larger is no session but a
document, and has a place of its own.
"""

MAXIMUM_ATTRIBUTES: Final = 1024
"""
How many attributes a record has at the most.
"""

MAXIMUM_NAME: Final = 4096
"""
How long the name of one attribute is at the most, in characters.
"""

MAXIMUM_DEPTH: Final = 32
"""
How deep containers may be nested.  Deep data takes the stack of whoever reads
it; nobody needs it in a session.
"""

DEEPEST: Final = 200
"""
No limit is above this: what is nested deeper is more than the encoder's stack
takes on some machines.
"""


def _isPositive(limits: object, attribute: attrs.Attribute[int], value: int) -> None:
    """
    Refuse a limit that nothing could keep.
    """
    if type(value) is not int or value < 1:
        raise ValueError(f"{attribute.name} is an int of 1 or more")


def _isNotTooDeep(limits: object, attribute: attrs.Attribute[int], value: int) -> None:
    """
    Refuse a limit that would not protect.
    """
    if value > DEEPEST:
        raise ValueError(f"{attribute.name} is {DEEPEST} at the most")


@attrs.frozen(kw_only=True)
class SizeLimits:
    """
    How large a session may grow.  Over a limit the handler gets
    L{SessionTooLarge}, and what is stored stays as it is.

    @ivar maximumBytes: See L{MAXIMUM_BYTES}.
    @ivar maximumAttributes: See L{MAXIMUM_ATTRIBUTES}.
    @ivar maximumName: See L{MAXIMUM_NAME}.
    @ivar maximumDepth: See L{MAXIMUM_DEPTH}.
    """

    maximumBytes: int = attrs.field(default=MAXIMUM_BYTES, validator=_isPositive)
    maximumAttributes: int = attrs.field(default=MAXIMUM_ATTRIBUTES, validator=_isPositive)
    maximumName: int = attrs.field(default=MAXIMUM_NAME, validator=_isPositive)
    maximumDepth: int = attrs.field(default=MAXIMUM_DEPTH, validator=[_isPositive, _isNotTooDeep])

    def check(self, attributes: Mapping[str, bytes]) -> None:
        """
        Refuse attributes that are too many or too large.

        @raise SessionTooLarge: They are; the text says by how much.
        """
        if len(attributes) > self.maximumAttributes:
            raise SessionTooLarge(
                f"a session keeps {self.maximumAttributes} keys at the most, not {len(attributes)}"
            )
        size = sum(map(len, attributes.values())) + sum(map(len, attributes))
        if size > self.maximumBytes:
            raise SessionTooLarge(
                f"a session keeps {self.maximumBytes} bytes of JSON at the most, not {size}"
            )
        if any(len(name) > self.maximumName for name in attributes):
            raise SessionTooLarge(
                f"the name of a key is {self.maximumName} characters long at the most"
            )


USUAL: Final = SizeLimits()
"""
The limits of a site that sets none.
"""
