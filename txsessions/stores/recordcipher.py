"""
Records with encrypted values.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from msgspec.structs import replace

from ..envelope import Envelopes, PlainValue, State, isSecret
from ..errors import CorruptRecord, SessionError, UnknownKey
from ..record import Change, Record


class RecordCipher:
    """
    Encrypts and decrypts the values of records and changes.  All else of them
    stays as it is, so that a change stays a change.

    @ivar _envelopes: Does it for each value.
    @ivar _takesPlain: Whether values may be there that are not encrypted.
    """

    def __init__(self, envelopes: Envelopes, takesPlain: Callable[[], bool]) -> None:
        self._envelopes = envelopes
        self._takesPlain = takesPlain

    def close(self, record: Record) -> Record:
        """
        The record as the store is to have it.
        """
        return replace(record, attributes=self._closed(record.sid, record.attributes))

    def closeChange(self, change: Change) -> Change:
        """
        The change as the store is to have it.
        """
        if not change.set:
            return change
        return replace(change, set=self._closed(change.sid, change.set))

    def open(self, record: Record) -> Record:
        """
        The record as its owner has it.

        @raise UnknownKey: A key is missing, or a value is not encrypted.
        @raise CorruptRecord: A value is not what was put there.
        """
        sid = record.sid
        return replace(
            record,
            attributes={
                name: self._openValue(sid, name, value) if isSecret(name) else value
                for name, value in record.attributes.items()
            },
        )

    def openWhole(self, record: Record) -> tuple[Record, CorruptRecord | None]:
        """
        A record of a session that has ended.  What was changed by somebody is
        left out: that it has ended must be told.

        @return: The record, and the first error.
        @raise UnknownKey: A key is missing, or a value is not encrypted.
        """
        opened, error = self._openPart(record, CorruptRecord)
        return opened, error if isinstance(error, CorruptRecord) else None

    def openPart(self, record: Record) -> tuple[Record, SessionError | None]:
        """
        A record of a session that has ended, without all that cannot be
        decrypted.

        @return: The record, and the first error.
        """
        return self._openPart(record, (CorruptRecord, UnknownKey))

    def check(self, record: Record) -> bool:
        """
        See whether there are the keys for a record, without decrypting it.

        @return: Whether it has values that need keys.
        @raise UnknownKey: A key is missing, or a value is not encrypted.
        """
        needsKeys = False
        for name, value in record.attributes.items():
            if not isSecret(name):
                continue
            state = self._envelopes.state(value)
            if state in (State.UNKNOWN, State.PLAIN):
                self._openValue(record.sid, name, value)
            needsKeys = needsKeys or state in (State.CURRENT, State.OLDER)
        return needsKeys

    def _closed(self, sid: str, attributes: Mapping[str, bytes]) -> Mapping[str, bytes]:
        """
        Attributes as the store is to have them.
        """
        close = self._envelopes.close
        return {
            name: close(sid, name, value) if isSecret(name) else value
            for name, value in attributes.items()
        }

    def _openPart(
        self, record: Record, leftOut: type[SessionError] | tuple[type[SessionError], ...]
    ) -> tuple[Record, SessionError | None]:
        """
        The record without the values that raise this, and the first of that.
        """
        first = None
        attributes = {}
        for name, value in record.attributes.items():
            try:
                opened = self._openValue(record.sid, name, value) if isSecret(name) else value
            except leftOut as e:
                first = first or e
            else:
                attributes[name] = opened
        return replace(record, attributes=attributes), first

    def _openValue(self, sid: str, name: str, value: bytes) -> bytes:
        """
        The JSON text of a value.
        """
        try:
            return self._envelopes.open(sid, name, value)
        except PlainValue:
            if not self._takesPlain():
                raise
            return value
