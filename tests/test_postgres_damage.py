"""
Tests for L{txsessions.stores.postgres}: rows that are no records.
"""

from __future__ import annotations

from collections.abc import Callable

import pytest
import pytest_twisted
from postgresserver import PostgresServer
from redistools import newRecord

from txsessions.errors import CorruptRecord
from txsessions.stores.postgres import PostgresStore

HOSTILE = {
    "null": "attributes = 'null'",
    "list": "attributes = '[]'",
    "text": "attributes = '\"data:a\"'",
    "number": "attributes = '{\"data:a\": 1}'",
    "object": 'attributes = \'{"data:a": {"b": 1}}\'',
    "nothing": "attributes = '{\"data:a\": null}'",
}
"""
What somebody else writes into a row.
"""


@pytest.mark.parametrize("hostile", HOSTILE)
@pytest_twisted.ensureDeferred
async def test_hostile(
    postgres: PostgresServer, make: Callable[..., PostgresStore], hostile: str
) -> None:
    """
    Whatever stands in a row that no record has, it is told once, without its data, the row
    is put aside whole, and other records are not touched by it.
    """
    store = make()
    bad, whole = (newRecord(sessionKey="anna", attributes={"data:a": b'"s3cret"'}) for _ in "ab")
    for record in (bad, whole):
        await store.createSession(record)
    schema = store._schema.quoted
    postgres.ask(f"UPDATE {schema}.session SET {HOSTILE[hostile]} WHERE sid = %s", bad.sid)
    with pytest.raises(CorruptRecord) as caught:
        await store.loadSession(bad.sid)
    assert "s3cret" not in str(caught.value)
    assert await store.loadSession(bad.sid, "nothing") == "nothing"
    assert postgres.ask(f"SELECT sid FROM {schema}.quarantine") == [(bad.sid,)]
    assert await store.loadSession(whole.sid) == whole
    assert await store.findSessions("anna") == [whole]
