"""
Dotted names of what an operator wants to have loaded.
"""

from __future__ import annotations

import traceback
from typing import Any

from twisted.python.reflect import InvalidName, ModuleNotFound, ObjectNotFound, namedAny


class NotLoadable(ValueError):
    """
    A dotted name stands for nothing that can be loaded.  The text is one line
    that says why, without the name.
    """


def load(name: str) -> Any:
    """
    What a dotted name stands for, imported if need be.

    @param name: Such as C{package.module.Class}.
    @raise NotLoadable: There is no such thing, or importing it raised.
    """
    try:
        return namedAny(name)
    except (ModuleNotFound, ObjectNotFound):
        raise NotLoadable("there is no such thing; is it on PYTHONPATH?") from None
    except (InvalidName, AttributeError) as e:
        raise NotLoadable(oneLine(e)) from e
    except Exception as e:
        raise NotLoadable(f"importing it raised {describe(e)}") from e


def describe(error: BaseException) -> str:
    """
    An exception with the place where it was raised, in one line.
    """
    frames = traceback.extract_tb(error.__traceback__)
    place = f" ({frames[-1].filename}:{frames[-1].lineno})" if frames else ""
    return f"{type(error).__name__}: {oneLine(error)}{place}"


def oneLine(error: BaseException) -> str:
    """
    The text of an exception without its line breaks.
    """
    return " ".join(str(error).split())
