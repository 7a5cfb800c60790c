"""
Many visitors at once, who note what they were told.
"""

from __future__ import annotations

from functools import partial
from random import Random

from httpclient import Answer, Client
from ledger import Ledger
from servers import pause, until
from twisted.internet import reactor
from twisted.internet.defer import Deferred, gatherResults
from twisted.internet.error import ConnectError, ConnectionLost

KEYS = 16
"""
How many keys a visitor has.  It sets one after the other, so that as many of its
writes can be looked for one by one.
"""

RETRY = 0.2
"""
How long a visitor waits when nobody listens, in seconds.
"""


class Account:
    """
    What came of all requests.

    @ivar acknowledged: How many writes were answered with 200.
    @ivar refused: How many with 503.
    @ivar unknown: How many were sent and never answered.
    @ivar withCookie: How many requests with a cookie were answered, by whatever.
    @ivar slowest: The longest time that an answer took, in seconds.
    @ivar troubles: What was wrong.
    """

    def __init__(self) -> None:
        self.acknowledged = self.refused = self.unknown = self.withCookie = 0
        self.slowest = 0.0
        self.troubles: list[str] = []

    def judge(self, ledger: Ledger, answer: Answer) -> bool:
        """
        Note an answer to a request of a session.

        @return: Whether it is 200.
        """
        self.withCookie += 1
        if "set-cookie" in answer.headers:
            self.troubles.append(f"{ledger.name}: {answer.code} came with a new cookie")
        if answer.code == 503:
            self.refused += 1
            if "retry-after" not in answer.headers:
                self.troubles.append(f"{ledger.name}: 503 came without Retry-After")
        elif answer.code != 200:
            self.troubles.append(f"{ledger.name}: {answer.code}")
        elif answer.content.get("name") != ledger.name:
            self.troubles.append(f"{ledger.name}: {answer.content.get('name')!r} answered")
        return answer.code == 200


class Visitor:
    """
    One tab of a browser: does one request after the other.
    """

    def __init__(
        self, number: int, ledger: Ledger, account: Account, port: int, source: Random
    ) -> None:
        self._number = number
        self._ledger = ledger
        self._account = account
        self._client = Client(port)
        self._source = source
        self._count = 0

    async def visit(self) -> None:
        """
        Write once, in one way or the other.
        """
        account, start = self._account, reactor.seconds()
        try:
            await self._client.connect()
        except ConnectError:
            await pause(self._source.uniform(0, RETRY))
            return
        try:
            await (self._add() if self._source.random() < 0.5 else self._put())
        except (ConnectionLost, TimeoutError):
            account.unknown += 1
        account.slowest = max(account.slowest, reactor.seconds() - start)

    def close(self) -> None:
        """
        Close the connection.
        """
        self._client.close()

    async def _put(self) -> None:
        """
        Set one of its keys.
        """
        self._count += 1
        key, number = f"{self._number}-{self._count % KEYS}", self._count
        self._ledger.beginPut(key, number)
        if await self._ask(f"put?key={key}&number={number}") is not None:
            self._ledger.acknowledgePut(key, number)

    async def _add(self) -> None:
        """
        Increment the total.
        """
        self._ledger.beginAdd()
        answer = await self._ask("add")
        if answer is not None:
            self._account.troubles += self._ledger.acknowledgeAdd(answer.content["total"])

    async def _ask(self, path: str) -> Answer | None:
        """
        Do a request; its answer if it was done.
        """
        answer = await self._client.ask(path, self._ledger.cookie)
        if not self._account.judge(self._ledger, answer):
            return None
        self._account.acknowledged += 1
        return answer


class Crowd:
    """
    Visitors who share some sessions.

    @ivar account: What came of their requests.
    @ivar _isVisiting: Whether they go on.
    """

    def __init__(
        self, port: int, sessions: int, visitors: int, rate: float | None, source: Random
    ) -> None:
        """
        @param rate: How many requests they do per second, together; C{None}: as
            many as they can.
        """
        self.account = Account()
        self._client = Client(port)
        self._port = port
        self._sessions = sessions
        self._rest = None if rate is None else visitors / rate
        self._size = visitors
        self._source = source
        self._ledgers: list[Ledger] = []
        self._visitors: list[Visitor] = []
        self._visits: list[Deferred[None]] = []
        self._isVisiting = False

    @property
    def compared(self) -> int:
        """
        How many acknowledged writes were looked for one by one.
        """
        return sum(ledger.compared for ledger in self._ledgers)

    async def begin(self) -> None:
        """
        Begin the sessions.
        """
        for number in range(self._sessions):
            name = f"session-{number}"
            answer = await self._client.ask(f"begin?key={name}")
            assert answer.code == 200 and answer.cookie is not None, answer
            self._ledgers.append(Ledger(name, answer.cookie))
        for number in range(self._size):
            ledger = self._ledgers[number % self._sessions]
            self._visitors.append(Visitor(number, ledger, self.account, self._port, self._source))

    def start(self) -> None:
        """
        Let them visit.
        """
        self._isVisiting = True
        self._visits = [Deferred.fromCoroutine(self._go(visitor)) for visitor in self._visitors]

    async def stop(self) -> None:
        """
        Let them stop, and wait for their last answers.
        """
        self._isVisiting = False
        await gatherResults(self._visits, consumeErrors=True)

    async def compare(self) -> None:
        """
        Look whether the sessions have what they must have.  Nobody may be
        visiting.
        """
        for ledger in self._ledgers:
            answer = await until(partial(self._read, ledger), f"{ledger.name} can be read")
            self.account.troubles += ledger.compare(answer.content)

    async def isWelcome(self) -> bool:
        """
        Whether requests are answered by 200.
        """
        try:
            return await self._read(self._ledgers[0]) is not None
        except (ConnectError, ConnectionLost, TimeoutError):
            return False

    def leave(self) -> None:
        """
        Let them stop, and close all connections.
        """
        self._isVisiting = False
        for one in (self._client, *self._visitors):
            one.close()

    async def _read(self, ledger: Ledger) -> Answer | None:
        """
        All that a session has; C{None} when the store cannot answer.
        """
        answer = await self._client.ask("", ledger.cookie)
        return answer if self.account.judge(ledger, answer) else None

    async def _go(self, visitor: Visitor) -> None:
        """
        Let one visit again and again.
        """
        if self._rest is not None:
            await pause(self._source.uniform(0, self._rest))
        while self._isVisiting:
            start = reactor.seconds()
            await visitor.visit()
            if self._rest is not None and self._isVisiting:
                await pause(max(0.0, start + self._rest - reactor.seconds()))
