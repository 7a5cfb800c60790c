"""
What a store gives back is what it got, to the byte.
"""

from __future__ import annotations

from ...record import Change
from .harness import Contract, Store, promise

TEXTS = (
    b"null",
    b"true",
    b"-0.0",
    b"1E400",
    b"12345678901234567890",
    b'""',
    b'"\\u0000"',
    b'"\\ud83d\\ude00 \xf0\x9f\x98\x80"',
    b'"a\\/b\\\\ \' %s {} $1 :x ? \\n"',
    b"[]",
    b"{}",
    b'{"b": 1,  "a" :2, "b":3}',
)
"""
JSON texts that come back changed from a store which understands them.
"""

NAMES = (
    "data:",
    "data: ",
    "data:a b",
    "data:a:b",
    "data:a.b[0]",
    "data:A",
    "data:a",
    "data:\u00e9",
    "data:e\u0301",
    "data:\u043a\u043b\u044e\u0447",
    "data:\U0001f600",
    "data:'\"`;--",
    "data:%s{}$1?*",
    "data:/../..\\",
    "data:\n\r\t",
    "data:" + "n" * 5000,
    "component:cart",
    "sid",
    "version",
    "",
)
"""
Names of attributes that look like something else to a careless store.
"""


class ValueContract(Contract):
    """
    A store understands nothing of what it keeps.
    """

    @promise
    async def test_everyFact(self, store: Store) -> None:
        """
        Every fact of a record comes back as it was.
        """
        now = await self.now()
        record = await self.newSession(
            store,
            verifier=bytes(range(224, 256)),
            created=now - 86400.123456,
            lastModified=now - 0.654321,
            sessionTimeout=1800.1,
            absoluteTimeout=2592000.7,
            sessionKey="anna",
            attributes={"data:a": b"1", "component:b": b'{"c":[]}'},
            version=7,
        )
        assert await store.loadSession(record.sid) == record

    @promise
    async def test_verifiers(self, store: Store) -> None:
        """
        A verifier is 32 bytes of any value.
        """
        for verifier in (bytes(32), b"\xff" * 32, b"\r\n '\"\\%s".ljust(32), b"0" * 32):
            record = await self.newSession(store, verifier=verifier)
            assert (await store.loadSession(record.sid)).verifier == verifier

    @promise
    async def test_noAttributes(self, store: Store) -> None:
        """
        A record without attributes is a record, before and after a change.
        """
        record = await self.newSession(store, attributes={})
        assert (await store.loadSession(record.sid)).attributes == {}
        await store.saveSession(Change(record.sid, set={"data:a": b"1"}))
        await store.saveSession(Change(record.sid, unset=frozenset({"data:a"})))
        assert (await store.loadSession(record.sid)).attributes == {}
        assert await store.hasSession(record.sid) is True

    @promise
    async def test_bytes(self, store: Store) -> None:
        """
        The text of a value comes back byte by byte, created or saved.
        """
        attributes = {f"data:{number}": text for number, text in enumerate(TEXTS)}
        created = await self.newSession(store, attributes=attributes)
        saved = await self.newSession(store)
        await store.saveSession(Change(saved.sid, set=attributes))
        for sid in (created.sid, saved.sid):
            assert (await store.loadSession(sid)).attributes == attributes

    @promise
    async def test_names(self, store: Store) -> None:
        """
        An attribute may have any name, and is told from those with similar ones.
        """
        attributes = {name: b"%d" % number for number, name in enumerate(NAMES)}
        created = await self.newSession(store, attributes=attributes)
        saved = await self.newSession(store)
        await store.saveSession(Change(saved.sid, set=attributes))
        for sid in (created.sid, saved.sid):
            assert (await store.loadSession(sid)).attributes == attributes
            for name in NAMES[::2]:
                await store.saveSession(Change(sid, unset=frozenset({name})))
            left = {name: attributes[name] for name in NAMES[1::2]}
            assert (await store.loadSession(sid)).attributes == left

    @promise
    async def test_nameWithNUL(self, store: Store) -> None:
        """
        The name of an attribute may hold a NUL, which JSON allows in a key.
        """
        attributes = {"data:\0": b"1", "data:\0a": b"2"}
        record = await self.newSession(store, attributes=attributes)
        await store.saveSession(Change(record.sid, set={"data:\0a": b"3", "data:": b"4"}))
        loaded = await store.loadSession(record.sid)
        assert loaded.attributes == {"data:\0": b"1", "data:\0a": b"3", "data:": b"4"}

    @promise
    async def test_bigRecord(self, store: Store) -> None:
        """
        A big record is kept whole: long values, and many of them.
        """
        attributes = {"data:long": b'"' + b"0123456789abcdef" * 16384 + b'"'}
        attributes.update({f"data:{number}": b"%d" % number for number in range(1000)})
        record = await self.newSession(store, attributes=attributes)
        assert (await store.loadSession(record.sid)).attributes == attributes
        more = {f"data:{number}": b"true" for number in range(500, 1500)}
        await store.saveSession(Change(record.sid, set=more))
        assert (await store.loadSession(record.sid)).attributes == {**attributes, **more}
        assert (await store.deleteSession(record.sid)).attributes == {**attributes, **more}

    @promise
    async def test_timesOfLongAgoAndFarAhead(self, store: Store) -> None:
        """
        Times and time-outs may be of any size.
        """
        now = await self.now()
        for facts in (
            {"sessionTimeout": 0.001, "lastModified": now},
            {"sessionTimeout": 10.0**9, "absoluteTimeout": 10.0**9},
            {"created": 0.0, "lastModified": 0.0},
        ):
            record = await self.newSession(store, **facts)
            assert await store.loadSession(record.sid) == record
