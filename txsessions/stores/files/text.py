"""
The text of a session's file: one JSON document, with a check of itself.

The document is C{{"format": 1, "check": …, "kind": …, "body": {…}}}.  A body of
the kind C{"session"} is a live record, with the attributes as JSON in the JSON;
one of the kind C{"end"} says that the session has ended, and why.  The check is
a CRC-32 over format, kind and body: a text that was cut short or has a flipped
bit is known for what it is.  Whoever edits a file by hand makes it a damaged
one.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final, TypeVar
from zlib import crc32

import attrs
import msgspec

from ...errors import InvalidSessionData, SessionTooLarge, StoreUnusable
from ...record import Record

B = TypeVar("B")

FORMAT: Final = 1
"""
What this module writes.  A file with a higher number was written by a newer
version: it is left alone.
"""

MAXIMUM_SIZE: Final = 16 * 1024 * 1024
"""
No file is larger, in bytes.  Far more than a session may have; it is there
because a file that somebody else put here is read into memory as well.
"""

SESSION: Final = "session"
"""
The kind of a live record.
"""

END: Final = "end"
"""
The kind of an end that is remembered.
"""


class Damaged(ValueError):
    """
    This is not a text of ours.
    """


@attrs.frozen
class End:
    """
    The session has ended.

    @ivar sid: The public handle of the session.
    @ivar reason: Why: one of the constants of L{txsessions.lifetime}.
    @ivar time: When, in seconds on the store's clock.
    @ivar created: When the session began, in seconds since the epoch: an id of
        a caller's own may have several lives.
    """

    sid: str
    reason: str
    time: float
    created: float | None = None


class Envelope(msgspec.Struct):
    """
    The document.  All formats to come have it.
    """

    format: int
    check: str
    kind: str
    body: msgspec.Raw

    def __repr__(self) -> str:
        return f"<Envelope {self.kind}>"


class SessionBody(msgspec.Struct):
    """
    The body of a live record; the verifier's digest is in base64.
    """

    sid: str
    verifier: bytes
    created: float
    lastModified: float
    sessionTimeout: float
    absoluteTimeout: float | None
    sessionKey: str | None
    version: int
    attributes: dict[str, msgspec.Raw]

    def __repr__(self) -> str:
        return f"<SessionBody {self.sid}>"


class EndBody(msgspec.Struct):
    """
    The body of an end.
    """

    sid: str
    reason: str
    time: float
    created: float | None = None


encode = msgspec.json.Encoder().encode
_decodeEnvelope = msgspec.json.Decoder(Envelope).decode
_decodeSession = msgspec.json.Decoder(SessionBody).decode
_decodeEnd = msgspec.json.Decoder(EndBody).decode


def encodeRecord(record: Record) -> bytes:
    """
    The text of a live record.

    @raise InvalidSessionData: It would not come back as it went in.
    @raise SessionTooLarge: It is over L{MAXIMUM_SIZE}.
    """
    try:
        text = enveloped(SESSION, encode(sessionBody(record)))
        isSame = decode(record.sid, text) == record
    except (TypeError, ValueError, OverflowError):
        isSame = False
    if not isSame:
        raise InvalidSessionData(
            f"session {record.sid} cannot be kept: it would not come back as it went in"
        )
    if len(text) > MAXIMUM_SIZE:
        raise SessionTooLarge(f"session {record.sid} has more than {MAXIMUM_SIZE} bytes")
    return text


def encodeEnd(end: End) -> bytes:
    """
    The text of an end.
    """
    return enveloped(END, encode(EndBody(end.sid, end.reason, end.time, end.created)))


def decode(sid: str, text: bytes) -> Record | End:
    """
    What a text says.

    @param sid: Whose file it was in.
    @raise Damaged: It is no text of ours, or not of this session.
    @raise StoreUnusable: A newer version wrote it.
    """
    decoded = decodeBody(sid, text, _DECODERS)
    if decoded.sid != sid:
        raise Damaged("it is of another session")
    return decoded


def sessionBody(record: Record) -> SessionBody:
    """
    A record as it goes into the document.
    """
    return SessionBody(
        record.sid,
        record.verifier,
        record.created,
        record.lastModified,
        record.sessionTimeout,
        record.absoluteTimeout,
        record.sessionKey,
        record.version,
        {name: msgspec.Raw(value) for name, value in record.attributes.items()},
    )


def decodeBody(sid: str, text: bytes, decoders: Mapping[str, Callable[[msgspec.Raw], B]]) -> B:
    """
    What the body of a document says.

    @param sid: Whose file it was in, for the text of an error.
    @param decoders: What reads a body, by its kind.
    @raise Damaged: It is no text of ours.
    @raise StoreUnusable: A newer version wrote it.
    """
    try:
        envelope = _decodeEnvelope(text)
        if envelope.check != _check(envelope.format, envelope.kind, bytes(envelope.body)):
            raise Damaged("its check does not fit")
        if envelope.format > FORMAT:
            raise StoreUnusable(
                f"session {sid} was written by a newer version of txsessions "
                f"(format {envelope.format}); update this one"
            )
        if envelope.kind not in decoders:
            raise Damaged(f"it is none of these: {', '.join(decoders)}")
        return decoders[envelope.kind](envelope.body)
    except msgspec.MsgspecError:
        raise Damaged("it is no JSON document of the right form") from None
    except (UnicodeDecodeError, RecursionError):
        raise Damaged("it is no JSON document") from None


def recordOf(body: SessionBody) -> Record:
    """
    The record that a body is of.
    """
    return Record(
        sid=body.sid,
        verifier=body.verifier,
        created=body.created,
        lastModified=body.lastModified,
        sessionTimeout=body.sessionTimeout,
        absoluteTimeout=body.absoluteTimeout,
        sessionKey=body.sessionKey,
        attributes={name: bytes(value) for name, value in body.attributes.items()},
        version=body.version,
    )


def _endOf(body: EndBody) -> End:
    """
    The end that a body is of.
    """
    return End(body.sid, body.reason, body.time, body.created)


_DECODERS: Final[Mapping[str, Callable[[msgspec.Raw], Record | End]]] = {
    SESSION: lambda body: recordOf(_decodeSession(body)),
    END: lambda body: _endOf(_decodeEnd(body)),
}
"""
What reads the bodies that are in the file of a session.
"""


def enveloped(kind: str, body: bytes) -> bytes:
    """
    A document with that body, and a line break for whoever looks at it.
    """
    return encode(Envelope(FORMAT, _check(FORMAT, kind, body), kind, msgspec.Raw(body))) + b"\n"


def _check(format: int, kind: str, body: bytes) -> str:
    """
    The check of a document.
    """
    return f"{crc32(body, crc32(f'{format} {kind} '.encode())):08x}"
