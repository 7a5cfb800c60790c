"""
Kill a process that saves sessions into files, again and again, and see that
what it acknowledged is there and that every file can be read::

    python tests/killloop.py --kills 10000

The status is 0 when nothing was lost, and 1 when something was.
"""

from __future__ import annotations

import argparse
import os
import random
import signal
import sys
import tempfile
from queue import SimpleQueue
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorFromThreads
from zope.interface import implementer

from txsessions.errors import CorruptRecord
from txsessions.record import Change, Record
from txsessions.stores.files.directory import Directory
from txsessions.stores.files.folder import TEMPORARY
from txsessions.stores.files.shard import SUFFIX, Shard, shardOf
from txsessions.stores.files.text import End
from txsessions.stores.json import JSONStore

SESSIONS = 8
"""
How many sessions the process saves at the same time.
"""

ENDING = 25
"""
At which change a session is ended, and another one begun.
"""


@implementer(IReactorFromThreads)
class Loop:
    """
    As much of a reactor as a store needs, so that a process is ready at once.
    """

    def __init__(self) -> None:
        self._calls: SimpleQueue[tuple[Any, tuple[Any, ...]]] = SimpleQueue()

    def callFromThread(self, callable: Any, *args: Any, **kwargs: Any) -> None:
        """
        See L{IReactorFromThreads.callFromThread}.
        """
        self._calls.put((callable, args))

    def run(self) -> None:
        """
        Make the calls, until the process is killed.
        """
        while True:
            function, arguments = self._calls.get()
            function(*arguments)


class InPlaceShard(Shard):
    """
    Broken on purpose: it writes into the file that is there.
    """

    def write(self, sid: str, text: bytes) -> None:
        """
        Write piece by piece where others read.
        """
        flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC
        with open(os.open(sid + SUFFIX, flags, dir_fd=self._descriptor), "wb", 0) as file:
            for start in range(0, len(text), 4096):
                file.write(text[start : start + 4096])
            os.fsync(file.fileno())


class ForgetfulShard(Shard):
    """
    Broken on purpose: it forgets every third file that it is to write.
    """

    count = 0

    def write(self, sid: str, text: bytes) -> None:
        """
        Write, mostly.
        """
        ForgetfulShard.count += 1
        if ForgetfulShard.count % 3:
            super().write(sid, text)


SHARDS = {"good": Shard, "in-place": InPlaceShard, "forgetful": ForgetfulShard}


class Saver:
    """
    The process that is killed: it says which change of which session it
    begins, and which one was acknowledged.
    """

    def __init__(self, path: str, output: int, variant: str, source: random.Random) -> None:
        self._loop = Loop()
        self._store = JSONStore(path, self._loop)
        self._store._directory._openShard = SHARDS[variant]
        self._output = output
        self._random = source

    def run(self) -> None:
        """
        Save until the process is killed.
        """
        for _ in range(SESSIONS):
            self._begin()
        self._loop.run()

    def _begin(self) -> None:
        """
        Begin a session.
        """
        sid = f"{self._random.getrandbits(128):032x}"
        record = Record(sid, bytes(32), 0, 0, 1e6, attributes={"data:n": b"1"})
        self._do(sid, 1, self._store.createSession(record))

    def _do(self, sid: str, number: int, done: Deferred[Any]) -> None:
        """
        Note a change, and go on when it is acknowledged.
        """
        self._say(f"begun {sid} {number}")
        done.addCallback(self._done, sid, number)
        done.addErrback(lambda failure: self._say(f"failed {failure.value}"))

    def _done(self, _: Any, sid: str, number: int) -> None:
        """
        A change was acknowledged: make the next one.
        """
        self._say(f"acknowledged {sid} {number}")
        if number > ENDING:
            self._begin()
        elif number == ENDING:
            self._do(sid, number + 1, self._store.deleteSession(sid))
        else:
            filling = b'"%s"' % (b"x" * self._random.randrange(32768))
            change = Change(sid, set={"data:n": b"%d" % (number + 1), "data:x": filling})
            self._do(sid, number + 1, self._store.saveSession(change))

    def _say(self, text: str) -> None:
        """
        Tell the process that kills.
        """
        os.write(self._output, text.encode() + b"\n")


class Killer:
    """
    Starts savers, kills them, and looks at what they leave.

    @ivar begun: For each session the last change that was begun.
    @ivar acknowledged: For each session the last one that was acknowledged.
    @ivar troubles: What was found wrong.
    """

    def __init__(self, path: str, variant: str, seed: int) -> None:
        self._path = path
        self._variant = variant
        self._random = random.Random(seed)
        self._directory = Directory(path, lambda error: None)
        self.begun: dict[str, int] = {}
        self.acknowledged: dict[str, int] = {}
        self.writes = 0
        self.troubles: list[str] = []

    def round(self) -> None:
        """
        One saver, one kill, one look.
        """
        reading, writing = os.pipe()
        seed = self._random.getrandbits(64)
        child = os.fork()
        if child == 0:
            os.close(reading)
            Saver(self._path, writing, self._variant, random.Random(seed)).run()
        os.close(writing)
        with open(reading, "rb") as pipe:
            first = b"".join(pipe.readline() for _ in range(self._random.choice((1, 20))))
            signal.setitimer(signal.ITIMER_REAL, self._random.uniform(0.0001, 0.02))
            signal.sigwait([signal.SIGALRM])
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)
            lines = (first + pipe.read()).decode().splitlines()
        self._note(lines)
        self._look()

    def _note(self, lines: list[str]) -> None:
        """
        Note what a saver has said.
        """
        for line in lines:
            word, sid, *number = line.split()
            if word == "begun":
                self.begun[sid] = int(number[0])
            elif word == "acknowledged":
                self.acknowledged[sid] = int(number[0])
                self.writes += 1
            else:
                self.troubles.append(line)

    def _look(self) -> None:
        """
        Open the store as the next process would, and look at all sessions of
        the last saver.
        """
        self._directory.setup()
        for sid, begun in self.begun.items():
            trouble = self._trouble(sid, self.acknowledged.get(sid, 0), begun)
            if trouble is not None:
                self.troubles.append(f"session {sid}: {trouble}")
        self.begun.clear()
        self.acknowledged.clear()

    def _trouble(self, sid: str, acknowledged: int, begun: int) -> str | None:
        """
        What is wrong with a session.
        """
        try:
            with self._directory.shard(shardOf(sid)) as shard:
                found = shard.read(sid)
                if os.path.exists(os.path.join(self._path, shardOf(sid), TEMPORARY)):
                    return "has left a file that is half-written"
        except CorruptRecord:
            return "cannot be read"
        if found is None:
            number = 0
        elif isinstance(found, End):
            number = ENDING + 1
        else:
            number = int(found.attributes["data:n"])
        if acknowledged <= number <= begun:
            return None
        return f"has change {number}; {acknowledged} was acknowledged and {begun} begun"


def main() -> int:
    """
    Kill as often as the command line says.
    """
    parser = argparse.ArgumentParser(description="Kill a process that saves sessions.")
    parser.add_argument("--kills", type=int, default=10_000)
    parser.add_argument("--variant", choices=SHARDS, default="good")
    parser.add_argument("--seed", type=int, default=random.randrange(1_000_000))
    options = parser.parse_args()
    signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGALRM])
    with tempfile.TemporaryDirectory() as place:
        killer = Killer(os.path.join(place, "sessions"), options.variant, options.seed)
        for number in range(1, options.kills + 1):
            killer.round()
            if sys.stderr.isatty() or number % 1000 == 0:
                print(f"\r{number} of {options.kills} kills", end="", file=sys.stderr)
    print(
        f"{options.kills} kills, {killer.writes} acknowledged writes, "
        f"{len(killer.troubles)} troubles, seed {options.seed}"
    )
    for trouble in killer.troubles[:10]:
        print(trouble)
    return 1 if killer.troubles else 0


if __name__ == "__main__":
    sys.exit(main())
