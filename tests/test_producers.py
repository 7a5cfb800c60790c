"""
Producers of a response rest while it is held back for its session.
"""

from __future__ import annotations

from typing import Any

import pytest
import pytest_twisted
from scenes import Scene, count, gated
from twisted.internet import reactor
from twisted.internet.error import ConnectionLost
from twisted.internet.interfaces import IPullProducer, IPushProducer
from twisted.internet.task import deferLater
from twisted.web.server import NOT_DONE_YET
from twisted.web.static import File
from zope.interface import implementer

from txsessions import Request
from txsessions.testing import FailingStore, resultOf

CHUNK = b"x" * 65536
CHUNKS = 32


@implementer(IPushProducer)
class Pusher:
    """
    Writes chunks as long as nobody pauses it.
    """

    def __init__(self, request: Any) -> None:
        self.request = request
        self.calls: list[str] = []
        self.left = CHUNKS
        self.isPaused = False

    def produce(self) -> None:
        while self.left and not self.isPaused:
            self.left -= 1
            self.request.write(CHUNK)
        if not self.left:
            self.request.unregisterProducer()
            self.request.finish()

    def pauseProducing(self) -> None:
        self.calls.append("pause")
        self.isPaused = True

    def resumeProducing(self) -> None:
        self.calls.append("resume")
        self.isPaused = False
        self.produce()

    def stopProducing(self) -> None:
        self.calls.append("stop")
        self.isPaused = True


@implementer(IPullProducer)
class Puller:
    """
    Writes a chunk each time it is asked.
    """

    def __init__(self, request: Any) -> None:
        self.request = request
        self.calls: list[str] = []
        self.left = CHUNKS

    def resumeProducing(self) -> None:
        self.calls.append("resume")
        self.left -= 1
        self.request.write(CHUNK)
        if not self.left:
            self.request.unregisterProducer()
            self.request.finish()

    def stopProducing(self) -> None:
        self.calls.append("stop")


class DeafRequest(Request):
    """
    A request that lets its producer go on while it is held: broken on purpose.
    """

    def holdBack(self) -> None:
        producer, self.producer = self.producer, None
        super().holdBack()
        self.producer = producer


def pushing(producers: list[Any]) -> Any:
    """
    A handler that leaves the response to a Pusher.
    """

    def answer(request: Any) -> Any:
        count(request)
        producer = Pusher(request)
        producers.append(producer)
        request.registerProducer(producer, True)
        producer.produce()
        return NOT_DONE_YET

    return answer


def pulling(producers: list[Any]) -> Any:
    """
    A handler that leaves the response to a Puller.
    """

    def answer(request: Any) -> Any:
        count(request)
        producers.append(Puller(request))
        request.registerProducer(producers[-1], False)
        return NOT_DONE_YET

    return answer


def heldBytes(request: Any) -> int:
    """
    How many bytes of a response are held.
    """
    return sum(map(len, request._gate._held or ()))


async def until(condition: Any) -> None:
    """
    Wait for a condition, for as long as a few turns of the reactor take.
    """
    for _ in range(2000):
        if condition():
            return
        await deferLater(reactor, 0)
    raise AssertionError("it never came about")


def test_pushProducer(scene):
    """
    A push producer is paused with its first chunk held, and goes on when the
    session is stored.
    """
    it, producers = scene(wrap=gated), []
    response = it.ask(it.browser().connect(), pushing(producers))
    (producer,) = producers
    assert producer.calls == ["pause"]
    assert heldBytes(producer.request) == len(CHUNK)
    it.store.openAll()
    assert resultOf(response).body == CHUNK * CHUNKS
    assert producer.calls == ["pause", "resume"]


def test_control(scene):
    """
    The test notices a request that lets its producer go on.
    """
    it, producers = scene(wrap=gated), []
    it.site.requestFactory = DeafRequest
    response = it.ask(it.browser().connect(), pushing(producers))
    assert heldBytes(producers[0].request) == len(CHUNK) * CHUNKS
    it.store.openAll()
    resultOf(response)


@pytest_twisted.ensureDeferred
async def test_pullProducer(scene):
    """
    A pull producer is not asked for more while its first chunk is held.
    """
    it, producers = scene(wrap=gated), []
    response = it.ask(it.browser().connect(), pulling(producers))
    await until(lambda: producers[0].calls)
    for _ in range(20):
        await deferLater(reactor, 0)
    assert producers[0].calls == ["resume"]
    assert heldBytes(producers[0].request) == len(CHUNK)
    it.store.openAll()
    await until(lambda: response.called)
    assert resultOf(response).body == CHUNK * CHUNKS


@pytest_twisted.ensureDeferred
async def test_file(scene, tmp_path):
    """
    A file that is served behind a session arrives whole, on the first request and
    on those that save.
    """
    (tmp_path / "file").write_bytes(CHUNK * CHUNKS)

    def answer(request: Any) -> Any:
        count(request)
        return File(str(tmp_path / "file")).render(request)

    it = scene(wrap=gated)
    browser = it.browser()
    for _ in range(3):
        response = it.ask(browser, answer)
        await until(lambda response=response: it.store.openAll() or response.called)
        assert resultOf(response).body == CHUNK * CHUNKS


@pytest.mark.parametrize("isPush", [True, False])
def test_registeredLater(scene, isPush):
    """
    A producer that is registered while the response is held begins to rest, and may
    be unregistered again.
    """
    seen = []

    def answer(request: Any) -> Any:
        count(request)
        request.write(b"first ")
        producer = Pusher(request) if isPush else Puller(request)
        request.registerProducer(producer, isPush)
        with pytest.raises(ValueError, match="registering producer"):
            request.registerProducer(producer, isPush)
        seen.append(list(producer.calls))
        request.unregisterProducer()
        request.write(b"second")
        request.finish()
        return NOT_DONE_YET

    it = scene(wrap=gated)
    response = it.ask(it.browser().connect(), answer)
    assert seen == [["pause"] if isPush else []]
    it.store.openAll()
    assert resultOf(response).body == b"first second"


@pytest.mark.parametrize("delay", [lambda store: store, gated])
def test_refused(scene, delay):
    """
    When the save fails the producer is stopped, and the next request of the
    connection can have one.
    """
    it, producers = scene(wrap=lambda store: delay(FailingStore(store))), []
    failing = it.store if isinstance(it.store, FailingStore) else it.store.store
    failing.fail("createSession")
    connection = it.browser().connect()
    response = it.ask(connection, pushing(producers))
    openAll(it)
    assert resultOf(response).code == 503
    assert producers[0].calls[-1] == "stop"
    failing.mend()
    response = it.ask(connection, pushing(producers))
    openAll(it)
    assert resultOf(response).body == CHUNK * CHUNKS
    it.errors.flush("the test broke the store")


def openAll(it: Scene) -> None:
    """
    Let happen whatever waits, if anything can.
    """
    if not isinstance(it.store, FailingStore):
        it.store.openAll()


def test_registeredTooLate(scene):
    """
    A producer that is registered after the response was refused is stopped at once,
    and unregistering it is no error.
    """
    producers = []

    def answer(request: Any) -> Any:
        count(request)
        request.write(b"never seen")
        producers.append(Pusher(request))
        request.registerProducer(producers[0], True)
        request.unregisterProducer()
        request.finish()
        return NOT_DONE_YET

    it = scene(wrap=FailingStore)
    it.store.fail("createSession")
    assert it.get(it.browser(), answer).code == 503
    assert producers[0].calls == ["stop"]
    it.errors.flush("the test broke the store")


def test_clientGone(scene):
    """
    When the client goes while the response is held, its producer is stopped, once.
    """
    it, producers = scene(wrap=gated), []
    connection = it.browser().connect()
    response = it.ask(connection, pushing(producers))
    connection.disconnect()
    assert producers[0].calls == ["pause", "stop"]
    it.store.openAll()
    assert producers[0].calls == ["pause", "stop"]
    producers[0].request.unregisterProducer()
    with pytest.raises(ConnectionLost):
        resultOf(response)


def test_cutOff(scene):
    """
    A producer whose save fails after the headers have left is stopped, and the
    connection cut off.
    """
    it, producers = scene(wrap=FailingStore), []

    def answer(request: Any) -> Any:
        count(request)
        request.write(b"begun")
        producers.append(Pusher(request))
        request.registerProducer(producers[0], True)
        it.store.fail("saveSession")
        count(request)
        request.write(b"never seen")
        return NOT_DONE_YET

    connection = it.browser().connect()
    response = it.ask(connection, answer)
    response.addErrback(lambda failure: None)
    assert producers[0].calls == ["stop"]
    assert not connection.isOpen
    assert b"never" not in connection.received
    it.errors.flush("while the response was leaving")
