"""
What the tests of L{txsessions.stores.json} have in common: the parts of a store
without its thread, and crashes of what they do.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from crashmodel import Recorder, crashes

from txsessions.errors import CorruptRecord
from txsessions.record import Record
from txsessions.stores.files import backlog as backlogModule
from txsessions.stores.files import folder as folderModule
from txsessions.stores.files import journal as journalModule
from txsessions.stores.files.admission import Admission
from txsessions.stores.files.directory import Directory
from txsessions.stores.files.journal import Journal
from txsessions.stores.files.keeper import Keeper
from txsessions.stores.files.owners import Owners
from txsessions.stores.files.shard import Shard, shardOf
from txsessions.stores.files.text import End
from txsessions.stores.index import Index

SID = "0123456789abcdef" * 2

MODULES: Sequence[ModuleType] = (folderModule, journalModule, backlogModule)
"""
Those that change files.
"""


def newRecord(sid: str = SID, **facts: Any) -> Record:
    """
    A record.
    """
    usual: dict[str, Any] = {"created": 1.0, "lastModified": 1.0, "sessionTimeout": 1e9}
    return Record(**{"sid": sid, "verifier": bytes(32), **usual, **facts})


class Files:
    """
    The parts of a store, made anew as another process would have them.

    @ivar dropped: Which observers are not told of how many endings.
    @ivar damaged: The errors of files that were put aside.
    """

    def __init__(self, path: Path, shardClass: type[Shard] = Shard) -> None:
        self.path = path
        self.dropped: list[tuple[str, int]] = []
        self.damaged: list[CorruptRecord] = []
        self.directory = Directory(str(path), self.damaged.append, openShard=shardClass)
        self.journal = Journal(self.directory, lambda *drop: self.dropped.append(drop))
        self.keeper = Keeper(Index(), self.journal)
        self.admission = Admission(self.directory, Owners(self.directory), self.keeper)

    def create(self, record: Record) -> None:
        """
        Create a session.
        """
        with self.directory.shard(shardOf(record.sid)) as shard:
            assert self.keeper.create(shard, record)

    def end(self, sid: str, now: float, reason: str = "logout") -> None:
        """
        End a session.
        """
        with self.directory.shard(shardOf(sid)) as shard:
            self.keeper.end(shard, sid, lambda record: reason, now)

    def forget(self, sid: str) -> None:
        """
        Forget the end of a session.
        """
        with self.directory.shard(shardOf(sid)) as shard:
            self.keeper.forget(shard, sid)

    def read(self, sid: str) -> Record | End | None:
        """
        What is kept of a session.
        """
        with self.directory.shard(shardOf(sid)) as shard:
            return shard.read(sid)

    def told(self, now: float, observer: str = "mail") -> list[str]:
        """
        The events of which an observer is told now.
        """
        entries = None
        while entries is None:
            entries = self.journal.take(observer, 100, 60.0, now)
        return [entry.eventID for entry in entries]


def afterCrashes(
    path: Path,
    does: Callable[[Files], object],
    files: Files,
    recorderClass: type[Recorder] = Recorder,
) -> Iterator[bool]:
    """
    Do something, and then bring about each state in which a crash may have left
    the files, one after the other.

    @param does: Called with what does it.
    @return: For each state, whether it had been acknowledged.
    """
    before = texts(path)
    recorder = recorderClass(before, str(path))
    with pytest.MonkeyPatch.context() as patch:
        for module in MODULES:
            patch.setattr(module, "os", recorder)
        does(files)
    recorder.acknowledge()
    places = {os.path.dirname(name) for name in before} | recorder.places
    for isAcknowledged, found in crashes(recorder):
        put(path, found, places)
        yield isAcknowledged


def texts(path: Path) -> dict[str, bytes]:
    """
    All files, by their paths.
    """
    return {
        os.path.relpath(os.path.join(place, name), path): Path(place, name).read_bytes()
        for place, _, names in os.walk(path)
        for name in names
    }


def put(path: Path, files: Mapping[str, bytes], places: Iterable[str]) -> None:
    """
    Put these files in the place of those that are in some directories.
    """
    for place in places:
        for each in os.scandir(path / place):
            if each.is_file():
                os.unlink(each)
    for name, text in files.items():
        (path / name).write_bytes(text)
