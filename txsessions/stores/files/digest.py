"""
What names something in a directory, whatever it is called by its user.
"""

from __future__ import annotations

from hashlib import sha256


def digestOf(name: str) -> str:
    """
    The 32 hexadecimal digits that stand for a name.
    """
    return sha256(name.encode("utf-8", "surrogatepass")).hexdigest()[:32]
