"""
Let several web servers share the sessions of one store, and see that they agree::

    python tests/workers.py --store redis
    python tests/workers.py --store postgres
    python tests/workers.py --store sqlite:sessions.db --increments 10000

Clients that go from server to server increment one number; write different keys
at the same time; and log out at one server while another is answering a slow
request.  The status is 0 when nothing was lost and nothing came back, and 1 when
something was.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import attrs
from backends import BACKENDS, backend
from httpclient import Answer, Client
from killed import bound, tell
from postgresserver import PostgresServer
from servers import until
from twistdserver import TwistdServer
from twisted.internet.defer import Deferred, gatherResults
from twisted.internet.task import react

CLIENTS = 32
"""
How many clients increment at the same time.
"""

WRITERS = 6
"""
How many requests write different keys at the same time.
"""


@attrs.frozen
class Plan:
    """
    What is to be done.

    @ivar store: As L{backend} has it.
    @ivar increments: How many increments are done.
    @ivar rounds: How often different keys are written at the same time.
    @ivar endings: How often somebody logs out.
    @ivar workers: How many servers there are.
    """

    store: str
    increments: int = 10_000
    rounds: int = 1000
    endings: int = 200
    workers: int = 2


class Browser:
    """
    Asks one server after the other.

    @ivar cookie: What opens its session.
    """

    def __init__(self, ports: list[int], first: int = 0, cookie: str | None = None) -> None:
        self._clients = [Client(port) for port in ports]
        self._next = first
        self.cookie = cookie

    async def ask(self, path: str, place: int | None = None) -> Answer:
        """
        Ask one server, or the next one.
        """
        if place is None:
            place = self._next
            self._next += 1
        answer = await self._clients[place % len(self._clients)].ask(path, self.cookie)
        if self.cookie is None:
            self.cookie = answer.cookie
        return answer

    def close(self) -> None:
        """
        Close its connections.
        """
        for client in self._clients:
            client.close()


class Workers:
    """
    Some web servers on one store, and what they are asked.

    @ivar troubles: What was wrong.
    """

    def __init__(self, ports: list[int], tell: Callable[[str], object]) -> None:
        self._ports = ports
        self._tell = tell
        self._browsers: list[Browser] = []
        self.troubles: list[str] = []

    async def increment(self, count: int) -> None:
        """
        Increment one number so many times, from many clients.
        """
        owner = await self._newcomer("counter")
        totals: list[int] = []

        async def add(browser: Browser, share: int) -> None:
            for _ in range(share):
                answer = await browser.ask("add")
                if not self._isRight(answer, "counter"):
                    continue
                totals.append(answer.content["total"])
                if len(totals) % 1000 == 0:
                    self._tell(f"{len(totals)} of {count} increments")

        shares = [count // CLIENTS + (number < count % CLIENTS) for number in range(CLIENTS)]
        await gatherResults(
            [
                Deferred.fromCoroutine(add(self._browser(number, owner.cookie), share))
                for number, share in enumerate(shares)
            ]
        )
        if sorted(totals) != list(range(1, count + 1)):
            self.troubles.append(f"{count} increments made {len(set(totals))} different numbers")
        for place in range(len(self._ports)):
            total = (await owner.ask("", place)).content.get("total")
            if total != count:
                self.troubles.append(f"{count} increments make {total} at server {place}")

    async def write(self, rounds: int) -> None:
        """
        Write different keys at the same time, and look whether all are there.
        """
        owner = await self._newcomer("writer")
        writers = [self._browser(number, owner.cookie) for number in range(WRITERS)]
        for number in range(1, rounds + 1):
            answers = await gatherResults(
                [
                    Deferred.fromCoroutine(writer.ask(f"put?key=key-{place}&number={number}"))
                    for place, writer in enumerate(writers)
                ]
            )
            for answer in answers:
                self._isRight(answer, "writer")
            content = (await owner.ask("")).content
            found = [content.get(f"key-{place}") for place in range(WRITERS)]
            if found != [number] * WRITERS:
                self.troubles.append(f"{WRITERS} writers of {number} left {found}")
            if number % 100 == 0:
                self._tell(f"{number} of {rounds} times {WRITERS} writers")

    async def end(self, count: int) -> None:
        """
        Log out at one server, while the next one answers a slow request.
        """
        for number in range(count):
            await self._endOne(number)
            if (number + 1) % 100 == 0:
                self._tell(f"{number + 1} of {count} endings")

    async def _endOne(self, number: int) -> None:
        """
        One session, and its end.
        """
        name, slow, fast = f"guest-{number}", number, number + 1
        guest = await self._newcomer(name)
        other = self._browser(0, guest.cookie)
        held = Deferred.fromCoroutine(guest.ask(f"hold?key={name}&number=1", slow))
        await until(lambda: self._isHeld(other, name, slow), f"{name} is held")
        if number % 2:
            # At the same time: whoever is first, it is dead then.
            left = Deferred.fromCoroutine(self._letGo(name, slow))
            await other.ask("logout", fast)
            await left
        else:
            await other.ask("logout", fast)
            await self._lookForDead(other, name, "before the slow request was answered")
            await self._letGo(name, slow)
        self._isRight(await held, name)
        await self._lookForDead(other, name, "after the slow request was answered")
        for browser in (guest, other):
            browser.close()
            self._browsers.remove(browser)

    async def _lookForDead(self, browser: Browser, name: str, when: str) -> None:
        """
        See that the session has ended, at each server.
        """
        for place in range(len(self._ports)):
            answer = await browser.ask("peek", place)
            if answer.code != 200 or answer.content != {"name": None}:
                self.troubles.append(f"{name} lives on at server {place} {when}")

    async def _isHeld(self, browser: Browser, name: str, place: int) -> bool:
        """
        Whether the slow request has begun.
        """
        return (await browser.ask(f"held?key={name}", place)).content

    async def _letGo(self, name: str, place: int) -> None:
        """
        Let the slow request be answered; asked by somebody else.
        """
        browser = self._browser(0, None)
        await browser.ask(f"letgo?key={name}", place)
        browser.close()
        self._browsers.remove(browser)

    async def _newcomer(self, name: str) -> Browser:
        """
        A browser with a new session.
        """
        browser = self._browser(0, None)
        answer = await browser.ask(f"begin?key={name}")
        assert answer.code == 200 and browser.cookie is not None, answer
        return browser

    def _browser(self, first: int, cookie: str | None) -> Browser:
        """
        A browser that is closed in the end.
        """
        browser = Browser(self._ports, first, cookie)
        self._browsers.append(browser)
        return browser

    def _isRight(self, answer: Answer, name: str) -> bool:
        """
        Whether a request in a session got the answer it should.
        """
        isRight = answer.code == 200 and answer.content["name"] == name and answer.cookie is None
        if not isRight:
            self.troubles.append(f"{name}: {answer.code} {answer.body[:100]!r} {answer.cookie}")
        return isRight

    def close(self) -> None:
        """
        Close all connections.
        """
        for browser in self._browsers:
            browser.close()


@asynccontextmanager
async def serving(store: str, count: int, directory: Path) -> AsyncIterator[list[TwistdServer]]:
    """
    Web servers that share a store.
    """
    server, text = backend(store, directory / "store")
    # What is a path is the same for all of them.
    kind, _, path = text.partition(":")
    text = f"{kind}:{directory / path}" if server is None else text
    workers = [TwistdServer(directory / f"web{number}", text) for number in range(count)]
    try:
        if server is not None:
            await server.start()
        for worker in workers:
            await worker.start()
        yield workers
    finally:
        for worker in workers:
            await worker.kill()
        if server is not None:
            await server.kill()
        if isinstance(server, PostgresServer):
            server.remove()


async def run(
    plan: Plan, directory: Path, tell: Callable[[str], object] = lambda text: None
) -> list[str]:
    """
    Do it.

    @return: What was wrong.
    """
    async with serving(plan.store, plan.workers, directory) as servers:
        workers = Workers([server.port for server in servers], tell)
        try:
            await workers.increment(plan.increments)
            await workers.write(plan.rounds)
            await workers.end(plan.endings)
        finally:
            workers.close()
        tracebacks = [text for server in servers for text in server.tracebacks()]
    return workers.troubles + [f"a web server logged a traceback: {text}" for text in tracebacks]


def parse() -> Plan:
    """
    The plan that the command line says.
    """
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n\n")[0])
    names = ", ".join(BACKENDS)
    parser.add_argument("--store", default="redis", help=f"{names}; or as twistd has it")
    for name in ("increments", "rounds", "endings", "workers"):
        default = getattr(attrs.fields(Plan), name).default
        parser.add_argument(f"--{name}", type=int, default=default)
    return Plan(**vars(parser.parse_args()))


async def main(plan: Plan) -> None:
    """
    Do it, and leave with the status.
    """
    with tempfile.TemporaryDirectory() as directory:
        troubles = await run(plan, Path(directory), tell)
    print(f"{plan.workers} servers on {plan.store}, {CLIENTS} clients")
    if troubles:
        print(*troubles[:20], sep="\n")
    else:
        print(f"increments lost: {bound(plan.increments)}")
        print(f"keys of {WRITERS} writers lost: {bound(plan.rounds * WRITERS)}")
        print(f"sessions that outlived their end: {bound(plan.endings)}")
    sys.exit(1 if troubles else 0)


if __name__ == "__main__":
    given = parse()
    react(lambda _: Deferred.fromCoroutine(main(given)))
