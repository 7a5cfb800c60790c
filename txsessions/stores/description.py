r"""
The text form of a store: C{prefix:argument:key=value}.

The grammar is that of Twisted's endpoints.  A backslash quotes the character
after it, so that C{sqlite:/srv/a\:b.db} names a file with a colon in it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

import attrs

from ..errors import SessionError

_findTokens = re.compile(r"\\(.)|([:=])|([^\\:=]+)|(\\)", re.DOTALL).findall


class BadStoreDescription(SessionError, ValueError):
    """
    A text that describes no store.  What it says is one line, and repeats
    neither keys nor values: with a quotation forgotten, any of them may be a
    piece of a password.
    """


@attrs.frozen
class Description:
    """
    A text form in its parts.

    @ivar prefix: The kind of store, or the dotted name of its class.
    @ivar arguments: The positional arguments.
    @ivar options: The C{key=value} arguments.
    """

    prefix: str
    arguments: list[str] = attrs.field(repr=False)
    options: Mapping[str, str] = attrs.field(repr=False)


def parse(text: str) -> Description:
    """
    A text form in its parts.

    Empty arguments at the end are dropped: C{memory:} is C{memory}.

    @raise BadStoreDescription: It does not begin with a kind of store, gives a
        key twice, or ends in the middle of a quotation.
    """
    first, *others = _fields(text)
    if len(first) != 1 or not first[0]:
        raise BadStoreDescription("a store begins with its kind, such as sqlite:sessions.db")
    arguments: list[str] = []
    options: dict[str, str] = {}
    for field in others:
        if len(field) == 1:
            arguments += field
        elif field[0] in options:
            raise BadStoreDescription(f"{first[0]}: a key is given twice")
        else:
            options[field[0]] = field[1]
    while arguments and not arguments[-1]:
        arguments.pop()
    return Description(first[0], arguments, options)


def quote(argument: str) -> str:
    """
    An argument, or a value, so that it stands for itself in a text form.
    """
    return re.sub(r"([\\:=])", r"\\\1", argument)


def _fields(text: str) -> list[list[str]]:
    """
    What stands between the colons: lists of one string, or of a key and a
    value.
    """
    fields = [[""]]
    for quoted, operator, plain, stray in _findTokens(text):
        if stray:
            raise BadStoreDescription("a store ends in a backslash that quotes nothing")
        if operator == ":":
            fields.append([""])
        elif operator == "=" and len(fields[-1]) == 1:
            fields[-1].append("")
        else:
            fields[-1][-1] += quoted or plain or operator
    return fields
