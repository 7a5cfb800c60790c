"""
A directory of JSON files that the processes of a scenario share.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, Any

from twisted.internet.defer import Deferred

from ...record import Record
from ...stores.files.batch import Request
from ...stores.files.directory import JOURNAL, OWNERS, Directory
from ...stores.files.folder import Folder
from ...stores.files.shard import Shard
from ...stores.files.text import End
from ...stores.json import JSONStore
from .data import NamedOperations, SharedData
from .puppet import Pause, Puppet, inTurn
from .worker import ThreadlessWorker

if TYPE_CHECKING:
    from ..explorer.gates import Gates


class GatedFolder(Folder):
    """
    A directory in which each operation on files is a step: to lock it, to
    replace, make, rename or remove a file, and to make that durable and let go of
    the lock.

    @ivar _held: The paths of those that are locked.
    @ivar _used: The paths of those that were locked at any time.
    """

    def __init__(self, held: set[str], used: set[str], *arguments: Any) -> None:
        super().__init__(*arguments)
        self._held = held
        self._used = used

    def __exit__(self, *details: object) -> None:
        leave = partial(super().__exit__, *details)
        if self.isLocked:
            inTurn(f"unlock {self._name}", leave)
            self._held.discard(self._path)
        else:
            leave()

    def lock(self) -> None:
        """
        See L{Folder.lock}.
        """
        if not self.isLocked:
            inTurn(f"lock {self._name}", super().lock, lambda: self._path not in self._held)
            self._held.add(self._path)
            self._used.add(self._path)

    def replace(self, name: str, text: bytes) -> None:
        """
        See L{Folder.replace}.
        """
        inTurn("replace a file", partial(super().replace, name, text))

    def mark(self, name: str) -> None:
        """
        See L{Folder.mark}.
        """
        inTurn("make a file", partial(super().mark, name))

    def unlink(self, name: str) -> None:
        """
        See L{Folder.unlink}.
        """
        inTurn("remove a file", partial(super().unlink, name))

    @property
    def _name(self) -> str:
        """
        What the story calls it.
        """
        return "/".join(self._path.rsplit(os.sep, 2)[-2:])


class GatedShard(GatedFolder, Shard):
    """
    A shard in which to read the file of a session is a step too.
    """

    def _read(self, sid: str) -> Record | End | None:
        """
        See L{Shard._read}.
        """
        found: Record | End | None = inTurn("read a file", partial(super()._read, sid))
        return found


class SharedDirectory(SharedData):
    """
    One directory; a step is an operation on files.  All is done when
    L{explore<txsessions.testing.explorer.explore>} returns.
    """

    def __init__(
        self,
        directory: str | os.PathLike[str],
        makeStore: Callable[..., Any] = JSONStore,
        openShard: type[GatedShard] = GatedShard,
    ) -> None:
        """
        @param directory: Where the files are, a directory that is there and
            empty.
        @param makeStore: Called with the path and C{clock}.
        """
        self._path = os.path.join(os.fspath(directory), "run")
        self._makeStore = makeStore
        self._openShard = openShard
        self._held: set[str] = set()
        self._used: set[str] = set()
        self._isReady = False

    def open(self) -> Any:
        """
        See L{SharedData.open}.
        """
        store = self._makeStore(self._path, clock=self.clock)
        directory, desk = store._directory, store._desk
        directory._openShard = partial(self._openShard, self._held, self._used)
        directory.bucket = partial(self._bucket, directory)
        # To make hundreds of directories ready takes longer than all of a run.
        desk._performer._isReady = self._isReady
        desk._worker = ThreadlessWorker(desk._worker)
        return store

    def clear(self) -> None:
        """
        See L{SharedData.clear}.
        """
        if not self._isReady:
            self.open().setup()
            self._isReady = True
        self._held.clear()
        for path in self._files():
            os.unlink(path)
        for enrolled in os.scandir(os.path.join(self._path, JOURNAL)):
            if enrolled.is_dir():
                shutil.rmtree(enrolled.path)

    def contents(self) -> Any:
        """
        See L{SharedData.contents}.
        """
        texts = []
        for path in self._files():
            with open(path, "rb") as file:
                texts.append((path, file.read()))
        return sorted(texts), sorted(self._held)

    def gated(self, store: Any, process: str, gates: Gates) -> Any:
        """
        See L{SharedData.gated}.
        """
        worker = store._desk._worker

        def submit(request: Request) -> Deferred[Any]:
            place = None if request.owned else request.shard

            def wait(pause: Pause, go: Callable[[], Any]) -> None:
                gates.step(process, go, pause.what, place=place, isPossible=pause.isPossible)

            return Puppet(partial(worker.perform, request), wait).start()

        worker.submit = submit
        return NamedOperations(store, process, gates)

    @contextmanager
    def _bucket(self, directory: Directory, name: str) -> Iterator[Folder]:
        """
        See L{Directory.bucket}.
        """
        place = os.path.join(OWNERS, name)
        path, patience = directory.join(place), directory._patience(place)
        folder = GatedFolder(self._held, self._used, path, patience)
        with folder, directory._watched(place, folder):
            yield folder

    def _files(self) -> list[str]:
        """
        The files of all sessions and owners, and what is written down of endings.
        """
        journal = os.path.join(self._path, JOURNAL)
        places = [*self._used, *(place for place, _, _ in os.walk(journal))]
        return [
            each.path
            for place in places
            for each in os.scandir(place)
            if each.is_file(follow_symlinks=False)
        ]
