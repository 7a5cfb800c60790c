"""
Several processes of L{endingworker}.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Coroutine, Iterable, Sequence
from pathlib import Path
from random import Random
from typing import Any

from endingworker import READY
from servers import ServerProcess, pause
from twisted.internet.defer import Deferred, gatherResults

HERE = Path(__file__).parent


class Worker(ServerProcess):
    """
    A process of L{endingworker}.
    """

    def __init__(self, directory: Path, arguments: list[str], notebook: Path) -> None:
        super().__init__(directory)
        self._arguments = arguments
        self.notebook = notebook

    def arguments(self) -> list[str]:
        """
        See L{ServerProcess.arguments}.
        """
        script = str(HERE / "endingworker.py")
        return [sys.executable, script, *self._arguments]

    def isReady(self) -> bool:
        """
        See L{ServerProcess.isReady}.
        """
        return self.notebook.exists() and self.notebook.read_text().startswith(READY)


class Staff:
    """
    Workers over one store, which are killed, and replaced.

    @ivar notebooks: Where they write.
    @ivar killed: The names of the notebooks whose worker was killed.
    """

    def __init__(
        self, directory: Path, arguments: Sequence[str], count: int, random: Random
    ) -> None:
        """
        @param arguments: For each of them.
        @param count: How many there are.
        """
        self.notebooks = directory
        self.killed: set[str] = set()
        self._arguments = arguments
        self._count = count
        self._random = random
        self._workers: list[Worker] = []
        self._number = 0

    async def start(self) -> None:
        """
        Start as many as there are to be.
        """
        await self._each(self._startOne for _ in range(self._count))

    async def stop(self) -> None:
        """
        Ask all of them to end.
        """
        workers, self._workers = self._workers, []
        await self._each(worker.stop for worker in workers)

    async def kill(self) -> None:
        """
        Kill all of them.
        """
        await self._each(worker.kill for worker in self._workers)

    async def killUntil(self, moment: float, interval: float) -> None:
        """
        Kill one of them every few seconds until that time, once at least, and
        start another one.
        """
        due = time.time()
        while True:
            due = max(due + interval, time.time())
            await pause(max(0.0, due - time.time()))
            worker = self._workers.pop(self._random.randrange(len(self._workers)))
            self.killed.add(worker.notebook.name)
            await worker.kill()
            await self._startOne()
            if time.time() > moment:
                return

    async def _startOne(self) -> None:
        """
        Start one.
        """
        self._number += 1
        name = f"worker-{self._number}"
        notebook = self.notebooks / name
        place = self.notebooks.parent / f"{self.notebooks.name}-run" / name
        worker = Worker(place, [*self._arguments, str(notebook)], notebook)
        self._workers.append(worker)
        await worker.start()

    async def _each(self, steps: Iterable[Callable[[], Coroutine[Any, Any, None]]]) -> None:
        """
        Do something with all of them at the same time.
        """
        await gatherResults([Deferred.fromCoroutine(step()) for step in steps])
