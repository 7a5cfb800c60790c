"""
Where things are: the names of the keys.
"""

from __future__ import annotations

from hashlib import sha1
from typing import Final
from zlib import crc32

BUCKETS: Final = 64
"""
Over how many slots the sessions are spread.  A Cluster moves whole slots, so
this is over how many nodes they can be; and it is how many places a sweep, or a
search for an owner, has to look at.  It is part of the form in which sessions
are kept: another number would not find those that are there.
"""


class Bucket:
    """
    The names of the keys of one bucket, all of which are in one slot.

    @ivar base: How they all begin: the tag that makes the slot.
    @ivar deadlines: A sorted set: handles by their deadlines.
    @ivar owners: A sorted set without scores: see L{ownerOf}.
    @ivar observers: A set: who has to be told of endings.
    """

    __slots__ = ("_record", "base", "deadlines", "observers", "owners")

    def __init__(self, base: bytes) -> None:
        self.base = base
        self.deadlines = base + b"deadlines"
        self.owners = base + b"owners"
        self.observers = base + b"observers"
        self._record = base + b"session:"

    def record(self, sid: str) -> bytes:
        """
        A hash: the record of a session, or that it has ended.
        """
        return self._record + sid.encode()

    def damaged(self, sid: str) -> bytes:
        """
        Where a damaged record is put aside.
        """
        return self.base + b"damaged:" + sid.encode()

    def line(self, owner: bytes) -> tuple[bytes, bytes]:
        """
        Two sorted sets: the log-ins of an owner that are under way, in their
        order, and until when they are.

        @param owner: See L{ownerOf}.
        """
        return self.base + b"line:" + owner[:-1], self.base + b"until:" + owner[:-1]

    def fence(self, owner: bytes) -> bytes:
        """
        A text: when all sessions of an owner were ended.
        """
        return self.base + b"fence:" + owner[:-1]

    def journal(self, observer: str) -> bytes:
        """
        A sorted set: of which endings an observer has still to be told, by the
        moment from which on that may be done.
        """
        return self.base + b"journal:" + text(observer)

    def entry(self, eventID: str) -> bytes:
        """
        A hash: an ending that somebody has to be told of.
        """
        return self.base + b"ending:" + text(eventID)

    @property
    def sets(self) -> tuple[bytes, bytes, bytes]:
        """
        The keys that a script on many sessions names.  There is nothing under
        the last one, ever: while a Cluster moves the slot key by key it refuses
        a script that names a key which it has not, and so the whole script,
        before that finds some of the sessions only.
        """
        return self.deadlines, self.owners, self.base + b"nothing"

    def keys(self, sid: str) -> tuple[bytes, bytes, bytes, bytes]:
        """
        All keys that a change of a session may touch.
        """
        return self.record(sid), self.deadlines, self.owners, self.damaged(sid)


class Keys:
    """
    The names of all keys.

    @ivar buckets: The buckets.
    @ivar channel: Where endings are told.
    """

    def __init__(self, prefix: str) -> None:
        """
        @param prefix: How they begin; tells the sessions of one application
            from those of others in the same database.
        @raise ValueError: It has braces, which would make another slot.
        """
        if not prefix or set("{}") & set(prefix):
            raise ValueError("the prefix of the keys is some text without braces")
        tags = (f"{{{prefix}:{number:02x}}}" for number in range(BUCKETS))
        self.buckets = [Bucket(tag.encode()) for tag in tags]
        self.channel = f"{prefix}:ended".encode()
        self._records = [bucket.record("") for bucket in self.buckets]

    def bucket(self, sid: str) -> Bucket:
        """
        The bucket of a session.
        """
        return self.buckets[crc32(sid.encode()) % BUCKETS]

    def record(self, sid: str) -> bytes:
        """
        The key of the record of a session.
        """
        name = sid.encode()
        return self._records[crc32(name) % BUCKETS] + name


def ownerOf(sessionKey: str) -> bytes:
    """
    By what an owner is found: C{owners} has members that begin with this and end
    with the handle of a session.  A digest, so that names of any length and form
    will do.  (Who makes two names with one digest finds nothing: the owner is
    compared in the record.)
    """
    return sha1(text(sessionKey), usedforsecurity=False).hexdigest().encode() + b":"


def text(value: str) -> bytes:
    """
    Any text as bytes, and never two texts as the same.
    """
    return value.encode("utf-8", "surrogatepass")
