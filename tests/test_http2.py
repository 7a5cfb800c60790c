"""
HTTP/2: many streams of one connection share one session.
"""

from __future__ import annotations

import ssl
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta, timezone
from typing import Any

import attrs
import h2.config
import h2.connection
import h2.events
import httpx
import pytest
import pytest_twisted
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from pages import Page
from scenes import SECURE_COOKIE, answering, count, gated, look
from twisted.internet import reactor
from twisted.internet.defer import Deferred, gatherResults
from twisted.internet.ssl import PrivateCertificate
from twisted.internet.task import deferLater
from twisted.internet.threads import deferToThread
from twisted.web.server import NOT_DONE_YET

from txsessions import Site
from txsessions.testing import FailingStore, GatedStore
from txsessions.testing.wire import CLIENT, Wire
from txsessions.web.request import SessionRequestMixin


class Wire2(Wire):
    """
    A wire on which both sides agreed to speak HTTP/2.
    """

    negotiatedProtocol = b"h2"


@attrs.define(eq=False)
class Stream:
    """
    A request of HTTP/2, and what has come of its response.
    """

    headers: list[tuple[bytes, bytes]] = attrs.field(factory=list)
    body: bytes = b""
    isReset: bool = False
    isEnded: bool = False
    done: Deferred[Any] = attrs.field(factory=Deferred)

    @property
    def code(self) -> int:
        """
        The status.
        """
        return int(dict(self.headers)[b":status"])

    @property
    def cookies(self) -> list[bytes]:
        """
        What the response sets.
        """
        return [value for name, value in self.headers if name == b"set-cookie"]


class Client:
    """
    A client of HTTP/2.
    """

    def __init__(self, site: Any) -> None:
        self.wire = Wire2(True, self._received, lambda: None)
        self.wire.connect(site.buildProtocol(CLIENT))
        config = h2.config.H2Configuration(client_side=True, header_encoding=None)
        self.conn = h2.connection.H2Connection(config=config)
        self.conn.initiate_connection()
        self.streams: dict[int, Stream] = {}
        self._flush()

    def request(self, path: str, *cookies: bytes, method: str = "GET") -> Stream:
        """
        Send a request; each cookie is a header of its own (RFC 9113, 8.2.3).
        """
        number = self.conn.get_next_available_stream_id()
        stream = self.streams[number] = Stream()
        headers = [
            (":method", method),
            (":path", path),
            (":scheme", "https"),
            (":authority", "localhost"),
            *[("cookie", cookie) for cookie in cookies],
        ]
        self.conn.send_headers(number, headers, end_stream=True)
        self._flush()
        return stream

    def reset(self, stream: Stream) -> None:
        """
        Give a request up.
        """
        number = next(number for number, each in self.streams.items() if each is stream)
        self.conn.reset_stream(number)
        self._flush()

    def close(self) -> None:
        """
        Drop the connection.
        """
        self.wire.loseConnection()

    def _received(self, data: bytes) -> None:
        for event in self.conn.receive_data(data):
            stream = self.streams.get(getattr(event, "stream_id", None) or 0)
            if stream is None:
                continue
            if isinstance(event, h2.events.ResponseReceived):
                stream.headers = list(event.headers or [])
            elif isinstance(event, h2.events.DataReceived):
                stream.body += event.data or b""
                self.conn.acknowledge_received_data(
                    event.flow_controlled_length or 0, event.stream_id or 0
                )
            elif isinstance(event, h2.events.StreamEnded):
                stream.isEnded = True
                self._later(stream)
            elif isinstance(event, h2.events.StreamReset) and not stream.isReset:
                stream.isReset = True
                self._later(stream)
        reactor.callLater(0, self._flush)  # type: ignore[attr-defined]

    def _later(self, stream: Stream) -> None:
        # The server is still busy with what it is writing.
        reactor.callLater(0, stream.done.callback, stream)  # type: ignore[attr-defined]

    def _flush(self) -> None:
        data = self.conn.data_to_send()
        if data:
            self.wire.send(data)


@pytest_twisted.async_yield_fixture
async def connect():
    """
    Connects clients to the site of a scene.
    """
    clients = []

    def make(it: Any) -> Client:
        it.browser()
        clients.append(Client(it.site))
        return clients[-1]

    yield make
    for client in clients:
        client.close()
    await turns()


async def turns() -> None:
    """
    Let the reactor do what it has to.
    """
    for _ in range(30):
        await deferLater(reactor, 0)


def pair(stream: Stream) -> bytes:
    """
    What the browser sends back of a response's cookie.
    """
    return stream.cookies[0].partition(b";")[0]


@pytest_twisted.ensureDeferred
async def test_oneByOne(scene, connect):
    """
    A session works over HTTP/2 as over HTTP/1.1, with the cookie of HTTPS.
    """
    it = scene()
    client = connect(it)
    first = await client.request(it.page(count)).done
    assert (first.code, first.body, len(first.cookies)) == (200, b"1", 1)
    assert pair(first).startswith(SECURE_COOKIE + b"=")
    assert b"Secure" in first.cookies[0]
    second = await client.request(it.page(count), b"other=1", pair(first), b"more=2").done
    assert (second.body, second.cookies) == (b"2", [])


@pytest_twisted.ensureDeferred
async def test_inParallel(scene, connect):
    """
    A hundred streams in parallel that set one key each: a hundred keys.
    """
    it = scene()
    client = connect(it)
    cookie = pair(await client.request(it.page(count)).done)
    ready: Deferred[None] = Deferred()

    async def slow(request: Any) -> bytes:
        session = request.getSession()
        waiting: Deferred[None] = Deferred()
        ready.addCallback(lambda _: waiting.callback(None))
        await waiting
        session.data[request.args[b"name"][0].decode()] = 1
        return b"done"

    path = it.page(slow)
    streams = [client.request(f"{path}?name=k{number}", cookie) for number in range(100)]
    await turns()
    ready.callback(None)
    await gatherResults([stream.done for stream in streams])
    assert [stream.code for stream in streams] == [200] * 100
    (record,) = it.memory._records.values()
    assert len(record.attributes) == 101
    (session,) = it.site.sessions.values()
    assert session.holders == {}


@pytest_twisted.ensureDeferred
async def test_held(scene, connect):
    """
    No frame of a stream leaves before its session is saved, and the other streams
    are not kept waiting.
    """
    it = scene(wrap=gated)
    client = connect(it)
    held, other = client.request(it.page(count)), client.request(it.page(look))
    await other.done
    await turns()
    assert other.body == b"none"
    assert (held.headers, held.body) == ([], b"")
    it.store.openAll()
    await held.done
    assert (held.code, held.body, len(held.cookies)) == (200, b"1", 1)


@pytest_twisted.ensureDeferred
async def test_saveFails(scene, connect):
    """
    A save that fails is a 503 of its stream, and of no other.
    """
    it = scene(wrap=FailingStore)
    client = connect(it)
    cookie = pair(await client.request(it.page(count)).done)
    it.store.fail("saveSession")
    failed, other = client.request(it.page(count), cookie), client.request(it.page(look), cookie)
    await gatherResults([failed.done, other.done])
    assert (failed.code, failed.cookies) == (503, [])
    assert dict(failed.headers)[b"retry-after"] == b"5"
    assert (other.code, other.body) == (200, b"1")
    it.store.mend()
    assert (await client.request(it.page(count), cookie).done).body == b"2"
    it.errors.flush("the test broke the store")


@pytest_twisted.ensureDeferred
async def test_loadFails(scene, connect):
    """
    So is a load that fails; and a stream that is given up while its session is
    being loaded leaves nothing behind.
    """
    it = scene(wrap=lambda store: GatedStore(FailingStore(store), "loadSession"))
    it.site.sessionManager.isOwner = False
    client = connect(it)
    cookie = pair(await client.request(it.page(count)).done)
    it.store.store.fail("loadSession")
    ran: list[int] = []
    streams = [client.request(it.page(lambda r: ran.append(1) or b""), cookie) for _ in range(2)]
    client.reset(streams[0])
    await turns()
    it.store.openAll()
    await streams[1].done
    assert (streams[1].code, streams[1].cookies, ran) == (503, [], [])
    assert streams[0].headers == []
    it.errors.flush("the test broke the store")
    it.store.store.mend()
    stream = client.request(it.page(look), cookie)
    await turns()
    it.store.openAll()
    assert (await stream.done).body == b"1"


async def beginsAndFails(scene: Any, connect: Any) -> tuple[Stream, list[Any]]:
    """
    A stream whose save fails after its headers have left, and what its handler is
    told of its end.
    """
    it = scene(wrap=FailingStore)
    client = connect(it)
    cookie = pair(await client.request(it.page(count)).done)
    told: list[Any] = []

    def answer(request: Any) -> Any:
        request.notifyFinish().addBoth(told.append)
        request.getSession()
        request.write(b"begun")
        it.store.fail("saveSession")
        count(request)
        request.write(b"never seen")
        request.finish()
        return NOT_DONE_YET

    stream = client.request(it.page(answer), cookie)
    await turns()
    it.store.mend()
    assert (await client.request(it.page(look), cookie).done).body == b"1"
    it.errors.flush("while the response was leaving")
    return stream, told


@pytest_twisted.ensureDeferred
async def test_failsAfterHeaders(scene, connect):
    """
    A save that fails after the headers have left resets the stream, so that nobody
    takes the response for whole; the connection goes on.
    """
    stream, told = await beginsAndFails(scene, connect)
    assert stream.isReset
    assert not stream.isEnded
    assert len(told) == 1
    assert b"never" not in stream.body


@pytest_twisted.ensureDeferred
async def test_failsAfterHeadersControl(scene, connect, monkeypatch):
    """
    The test notices a request that only lets go of its stream.
    """

    def cutOff(self: Any) -> None:
        self.loseConnection()

    monkeypatch.setattr(SessionRequestMixin, "_cutOff", cutOff)
    stream, _ = await beginsAndFails(scene, connect)
    assert stream.isEnded


@pytest_twisted.ensureDeferred
async def test_resetDuringSave(scene, connect):
    """
    A stream that is given up while its session is being saved leaves a stored
    session, and no request that holds it.
    """
    it = scene(wrap=lambda store: GatedStore(store, "saveSession"))
    client = connect(it)
    cookie = pair(await client.request(it.page(count)).done)
    streams = [client.request(it.page(count), cookie) for _ in range(5)]
    for stream in streams[:3]:
        client.reset(stream)
    await turns()
    it.store.openAll()
    await gatherResults([stream.done for stream in streams[3:]])
    (session,) = it.site.sessions.values()
    assert session.holders == {}
    (record,) = it.memory._records.values()
    assert record.attributes["data:n"] == b"6"


@pytest_twisted.ensureDeferred
async def test_rapidReset(scene, connect):
    """
    Many streams that are opened and given up at once leave nothing behind.
    """
    it = scene(wrap=lambda store: GatedStore(store, "saveSession"))
    client = connect(it)
    cookie = pair(await client.request(it.page(count)).done)
    path = it.page(count)
    for _ in range(500):
        client.reset(client.request(path, cookie))
    it.store.openAll()
    await turns()
    (session,) = it.site.sessions.values()
    assert session.holders == {}
    assert len(it.memory._records) == 1


@pytest_twisted.ensureDeferred
async def test_logOut(scene, connect):
    """
    A stream that logs out while others are slow: they revive nothing and end as
    usual.
    """
    it = scene()
    client = connect(it)
    cookie = pair(await client.request(it.page(count)).done)
    ready: Deferred[None] = Deferred()

    async def slow(request: Any) -> bytes:
        session = request.getSession()
        waiting: Deferred[None] = Deferred()
        ready.addCallback(lambda _: waiting.callback(None))
        await waiting
        session.data["late"] = 1
        return b"done"

    async def logOut(request: Any) -> bytes:
        await request.getSession().logOut()
        return b"bye"

    streams = [client.request(it.page(slow), cookie) for _ in range(10)]
    await turns()
    out = await client.request(it.page(logOut), cookie).done
    assert out.cookies[0].startswith(SECURE_COOKIE + b"=;")
    ready.callback(None)
    await gatherResults([stream.done for stream in streams])
    assert {(stream.code, stream.body, len(stream.cookies)) for stream in streams} == {
        (200, b"done", 0)
    }
    assert it.memory._records == {}


@pytest_twisted.ensureDeferred
async def test_largeResponse(scene, connect):
    """
    A large response that is held leaves whole, at the pace of the client.
    """
    it = scene(wrap=gated)
    client = connect(it)
    stream = client.request(it.page(lambda request: (count(request), b"x" * 300_000)[1]))
    await turns()
    assert stream.headers == []
    it.store.openAll()
    await stream.done
    assert stream.body == b"x" * 300_000


def certificate() -> tuple[PrivateCertificate, str]:
    """
    A certificate for localhost, for a day, with its key; and what a client needs to
    trust it.
    """
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "localhost")])
    now = datetime.now(timezone.utc)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .sign(key, hashes.SHA256())
    )
    pem = made.public_bytes(serialization.Encoding.PEM)
    private = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    return PrivateCertificate.loadPEM(pem + private), pem.decode()


# Twisted gives pyOpenSSL what that wants in other forms now.
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest_twisted.ensureDeferred
async def test_overTLS():
    """
    A browser that speaks HTTP/2 over TLS gets one session on one connection, and
    keeps it through parallel requests.
    """

    def answer(request: Any) -> bytes:
        assert request.clientproto == b"HTTP/2"
        data = request.getSession().data
        data[request.args[b"name"][0].decode()] = 1
        return b"%d" % len(data)

    site = Site(Page(answering(answer)))
    own, trusted = certificate()
    port = reactor.listenSSL(0, site, own.options(), interface="127.0.0.1")  # type: ignore
    trust = ssl.create_default_context(cadata=trusted)
    url = f"https://localhost:{port.getHost().port}/?name="

    def browse() -> list[Any]:
        with httpx.Client(http2=True, verify=trust) as client:
            first = client.get(url + "first")
            with ThreadPoolExecutor(6) as pool:
                others = list(pool.map(lambda number: client.get(f"{url}{number}"), range(6)))
            return [first, *others, client.get(url + "first")]

    try:
        responses = await deferToThread(browse)
    finally:
        await port.stopListening()
    assert {response.http_version for response in responses} == {"HTTP/2"}
    assert [response.status_code for response in responses] == [200] * 8
    assert responses[-1].text == "7"
    assert [len(response.headers.get_list("set-cookie")) for response in responses] == [1] + [0] * 7
    await turns()
