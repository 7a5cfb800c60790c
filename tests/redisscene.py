"""
Processes that share a Redis with a time of its own, and die or hang at a certain step.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from uuid import uuid4

from servers import RedisServer, pause, until
from twisted.internet.defer import Deferred, DeferredList
from twisted.internet.task import Clock

from txsessions.limit import SessionLimit
from txsessions.record import AUTHENTICATED, Change, Record, timeText
from txsessions.stores.redis import RedisStore
from txsessions.stores.redisserver.ownerscripts import PROBE, RESERVATION
from txsessions.stores.redisserver.scripts import Scripts

START = 1_000_000_000.0

TIME_OF_TEST = "local function present() return tonumber(redis.call('GET', '{clock}')) end"

LIVE = """
local count = 0
for _, key in ipairs(redis.call('KEYS', '*session:*')) do
  if redis.call('HGET', key, 'o') == 'anna' then count = count + 1 end
end
return count
"""


class Mortal:
    """
    A client of a process that dies, or hangs, before it sends a certain command.

    @ivar names: What was sent.
    """

    def __init__(self, client: Any, isLast: Callable[[str, Any], bool]) -> None:
        self._client = client
        self._isLast = isLast
        self._held: list[Callable[[], None]] | None = None
        self.names: list[str] = []

    def execute(self, key: Any, *command: Any, answer: Any = None) -> Deferred[Any]:
        """
        See L{IRedis.execute}.
        """
        name = command[0] if isinstance(command[0], str) else command[0].decode()
        return self._send(name, (), lambda: self._client.execute(key, *command, answer=answer))

    def script(self, script: Any, keys: Any, args: Any, answer: Any = None) -> Deferred[Any]:
        """
        See L{IRedis.script}.
        """
        if script.name == "now":
            return self._client.script(script, keys, args)
        return self._send(
            script.name, args, lambda: self._client.script(script, keys, args, answer)
        )

    def close(self) -> Deferred[None]:
        """
        See L{IRedis.close}.
        """
        return self._client.close()

    def revive(self) -> None:
        """
        Go on, if it only hung.
        """
        held, self._held = self._held or [], None
        self._isLast = lambda name, args: False
        for send in held:
            send()

    def lose(self) -> None:
        """
        Go on, but for what is held: that is on its way for ever.
        """
        self._held = None
        self._isLast = lambda name, args: False

    @property
    def isStuck(self) -> bool:
        """
        Whether it has died, or hangs.
        """
        return self._held is not None

    def _send(self, name: str, args: Any, send: Callable[[], Deferred[Any]]) -> Deferred[Any]:
        """
        Send a command, unless the process has died.
        """
        if self._held is None and self._isLast(name, args):
            self._held = []
        if self._held is None:
            self.names.append(name)
            return send()
        answer: Deferred[Any] = Deferred()
        self._held.append(lambda: send().chainDeferred(answer))
        return answer


class TimedStore(RedisStore):
    """
    A store whose server has the time of the test.
    """

    _scripts = Scripts(TIME_OF_TEST)
    mortal: Mortal

    def _connect(self) -> Any:
        """
        A client that may die.
        """
        self.mortal = Mortal(super()._connect(), self.isLast)
        return self.mortal

    isLast: Callable[[str, Any], bool] = staticmethod(lambda name, args: False)


class Scene:
    """
    A server with a time of its own, and processes that use it.

    @ivar stores: The processes.
    @ivar logIns: What they have begun.
    """

    def __init__(self, server: RedisServer) -> None:
        self.server = server
        self.clock = Clock()
        self.stores: list[Any] = []
        self.logIns: list[Deferred[Any]] = []
        self.advance(START)

    def advance(self, seconds: float) -> None:
        """
        Let time pass.
        """
        self.clock.advance(seconds)
        self.server.ask("SET", "{clock}", repr(self.clock.seconds()))

    def store(self, isLast: Callable[[str, Any], bool] | None = None) -> TimedStore:
        """
        A process.

        @param isLast: Whether it dies before it sends this.
        """
        store = TimedStore(path=self.server.path, clock=self.clock)
        if isLast is not None:
            store.isLast = isLast
        self.stores.append(store)
        return store

    async def hanging(self, limit: SessionLimit) -> tuple[TimedStore, Deferred[Any]]:
        """
        A process that hangs just before its session gets in.
        """
        store = self.store(isLanding)
        logIn = self.begin(store, limit)
        await until(lambda: hasattr(store, "mortal") and store.mortal.isStuck, "it hangs")
        return store, logIn

    async def close(self) -> None:
        """
        End the processes.
        """
        for store in self.stores:
            if hasattr(store, "mortal"):
                store.mortal.revive()
        await DeferredList(self.logIns, consumeErrors=True)
        for store in self.stores:
            await store.close()

    def live(self) -> int:
        """
        How many live sessions the owner has, in one step.
        """
        return int(self.server.ask("EVAL", LIVE, 0))

    async def newSession(self, store: RedisStore) -> Record:
        """
        Create a session of nobody.
        """
        now = self.clock.seconds()
        record = Record(uuid4().hex, b"v" * 32, now, now, 1800.0)
        assert await store.createSession(record)
        return record

    async def logIn(self, store: RedisStore, limit: SessionLimit) -> Any:
        """
        Log a new session in.
        """
        record = await self.newSession(store)
        return await store.logInSession(changeOf(record, self.clock.seconds()), limit)

    def begin(self, store: RedisStore, limit: SessionLimit) -> Deferred[Any]:
        """
        Begin to log a new session in.
        """
        logIn = Deferred.fromCoroutine(self.logIn(store, limit))
        self.logIns.append(logIn)
        return logIn

    async def outcome(self, logIn: Any) -> Any:
        """
        What comes of a log-in; whoever has died is forgotten after a while.
        """
        ended = DeferredList([Deferred.fromCoroutine(logIn)], consumeErrors=True)
        for _ in range(3):
            for _ in range(30):
                if ended.called:
                    break
                await pause(0.01)
            self.advance(0.0 if ended.called else RESERVATION)
        [(succeeded, result)] = await ended
        return result if succeeded else result.value


def changeOf(record: Record, moment: float) -> Change:
    """
    The change that logs a session in.
    """
    return Change(record.sid, sessionKey="anna", set={AUTHENTICATED: timeText(moment)})


def isLanding(name: str, args: Any) -> bool:
    """
    Whether this is the last step, the one that counts.
    """
    return name == "logIn" and args[-1] not in (b"", PROBE)
