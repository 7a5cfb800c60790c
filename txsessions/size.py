"""
How large a session may grow.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

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


def checkSize(attributes: Mapping[str, bytes]) -> None:
    """
    Refuse attributes that are too many or too large.

    @raise SessionTooLarge: They are; the text says by how much.
    """
    if len(attributes) > MAXIMUM_ATTRIBUTES:
        raise SessionTooLarge(
            f"a session keeps {MAXIMUM_ATTRIBUTES} keys at the most, not {len(attributes)}"
        )
    size = sum(map(len, attributes.values())) + sum(map(len, attributes))
    if size > MAXIMUM_BYTES:
        raise SessionTooLarge(
            f"a session keeps {MAXIMUM_BYTES} bytes of JSON at the most, not {size}"
        )
    if any(len(name) > MAXIMUM_NAME for name in attributes):
        raise SessionTooLarge(f"the name of a key is {MAXIMUM_NAME} characters long at the most")
