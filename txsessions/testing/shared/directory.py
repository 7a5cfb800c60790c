"""
A directory of JSON files that the processes of a scenario share.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any

from twisted.internet.defer import Deferred

from ...interfaces import ISessionIndex
from ...record import Record
from ...stores.files.batch import Request
from ...stores.files.shard import Shard
from ...stores.files.text import End
from ...stores.json import JSONStore
from .data import NamedOperations, SharedData
from .puppet import Pause, Puppet, inTurn
from .worker import ThreadlessWorker

if TYPE_CHECKING:
    from ..explorer.gates import Gates


class GatedShard(Shard):
    """
    A shard of which each operation on files is a step: to lock it, to read a
    file, to replace one, to remove one, and to make that durable and let go of
    the lock.

    @ivar _held: The paths of the shards that are locked.
    @ivar _used: The paths of all that were locked at any time.
    """

    def __init__(self, held: set[str], used: set[str], *arguments: Any) -> None:
        super().__init__(*arguments)
        self._held = held
        self._used = used

    def __exit__(self, *details: object) -> None:
        leave = partial(super().__exit__, *details)
        if self.isLocked:
            inTurn("unlock", leave)
            self._held.discard(self._path)
        else:
            leave()

    def lock(self) -> None:
        """
        See L{Shard.lock}.
        """
        if not self.isLocked:
            inTurn("lock", super().lock, lambda: self._path not in self._held)
            self._held.add(self._path)
            self._used.add(self._path)

    def write(self, sid: str, text: bytes) -> None:
        """
        See L{Shard.write}.
        """
        inTurn("replace the file", partial(super().write, sid, text))

    def remove(self, sid: str) -> None:
        """
        See L{Shard.remove}.
        """
        inTurn("remove the file", partial(super().remove, sid))

    def _read(self, sid: str) -> Record | End | None:
        """
        See L{Shard._read}.
        """
        found: Record | End | None = inTurn("read", partial(super()._read, sid))
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
        store._directory._openShard = partial(self._openShard, self._held, self._used)
        # To make 256 directories ready takes longer than all of a run.
        store._worker._perform.__self__._isReady = self._isReady
        store._worker = ThreadlessWorker(store._worker)
        return store

    def clear(self) -> None:
        """
        See L{SharedData.clear}.
        """
        if not self._isReady:
            self.open().setup()
            self._isReady = True
        self._held.clear()
        for directory, name in self._files():
            os.unlink(os.path.join(directory, name))

    def contents(self) -> Any:
        """
        See L{SharedData.contents}.
        """
        texts = {}
        for directory, name in self._files():
            with open(os.path.join(directory, name), "rb") as file:
                texts[name] = file.read()
        return sorted(texts.items()), sorted(self._held)

    async def warm(self, store: Any) -> None:
        """
        See L{SharedData.warm}.
        """
        await super().warm(store)
        if ISessionIndex.providedBy(store):
            await store.findSessions("")

    def gated(self, store: Any, process: str, gates: Gates) -> Any:
        """
        See L{SharedData.gated}.
        """
        worker = store._worker

        def submit(request: Request) -> Deferred[Any]:
            def wait(pause: Pause, go: Callable[[], Any]) -> None:
                gates.step(
                    process, go, pause.what, place=request.shard, isPossible=pause.isPossible
                )

            return Puppet(partial(worker.perform, request), wait).start()

        worker.submit = submit
        return NamedOperations(store, process, gates)

    def _files(self) -> list[tuple[str, str]]:
        """
        The files of all sessions, each with its directory.
        """
        others = [
            each.path for each in os.scandir(self._path) if each.is_dir() and len(each.name) > 2
        ]
        return [
            (directory, name)
            for directory in (*self._used, *others)
            for name in os.listdir(directory)
        ]
