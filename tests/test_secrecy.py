"""
No token, and nothing of what a session keeps, is in any log, page or representation.
"""

from __future__ import annotations

import gc
from base64 import b64encode
from pprint import pformat
from typing import Any

import attrs
import pytest
from rich.pretty import pretty_repr
from scenes import COOKIE, SharedStore, count
from twisted.logger import eventAsText, globalLogPublisher
from zope.interface import Interface, implementer

import txsessions
from txsessions.keyfile import readKeyFile, writeKeyFile
from txsessions.keys import KeyRing
from txsessions.stores import openStore
from txsessions.stores.counting import CountingStore
from txsessions.stores.memory import MemoryStore
from txsessions.stores.migrating import MigratingStore
from txsessions.stores.postgres import PostgresStore
from txsessions.stores.redis import RedisStore
from txsessions.stores.timelimited import TimeLimitedStore
from txsessions.testing import FailingStore, resultOf

CANARY = "canary-of-the-test"


@pytest.fixture
def logged():
    """
    Everything that is logged, as text.
    """
    texts: list[str] = []

    def observe(event: Any) -> None:
        texts.append(eventAsText(event) + repr(event))

    globalLogPublisher.addObserver(observe)
    yield texts
    globalLogPublisher.removeObserver(observe)


def keep(request: Any) -> bytes:
    """
    Keep the canary in a session.
    """
    request.getSession().data["secret"] = CANARY
    return count(request)


def trouble(it: Any, browser: Any) -> list[Any]:
    """
    Everything that can go wrong with a session, and the responses.
    """

    def bad(request: Any) -> bytes:
        data = request.getSession().data
        data["list"] = [CANARY]
        data["list"].append(object())
        return b""

    def raises(request: Any) -> bytes:
        session = request.getSession()
        raise ValueError(f"of {session}, {request}, {request.session}, {request.site.sessions}")

    async def waits(request: Any) -> bytes:
        session = request.getSession()
        session.data["secret"] = CANARY + "2"
        await session.commit()
        return b""

    async def ends(request: Any) -> bytes:
        request.getSession().notifyOnExpire(lambda: 1 / 0)
        await request.getSession().logOut()
        await request.getSession().logOut()
        return b""

    def late(request: Any) -> bytes:
        request.write(b"begun")
        request.getSession(forceNotSecure=True)
        return b""

    responses = []
    for operation in ("loadSession", "saveSession", "deleteSession", "createSession"):
        it.store.fail(operation)
        for answer in (keep, bad, raises, waits, ends):
            responses.append(it.get(browser, answer))
        it.store.mend()
    for answer in (keep, bad, raises, waits, late, ends):
        response = it.ask(browser, answer)
        response.addErrback(lambda failure: None)
        responses.append(resultOf(response))
    return [response for response in responses if response is not None]


@pytest.mark.parametrize("isShared", [True, False])
@pytest.mark.parametrize("displaysTracebacks", [True, False])
def test_nothingLeaks(scene, logged, isShared, displaysTracebacks):
    """
    Whatever goes wrong, neither logs nor pages show more than handles.
    """
    it = scene(SharedStore() if isShared else None, wrap=FailingStore)
    it.site.displayTracebacks = displaysTracebacks
    browser = it.browser()
    it.get(browser, keep)
    tokens = {browser.cookies.get(COOKIE)}
    responses = trouble(it, browser)
    tokens |= {cookie.value for response in responses for cookie in response.cookies}
    verifiers = [token.decode()[32:] for token in tokens if token]
    assert len(it.errors.events) > 10
    for text in [*logged, *(response.body.decode("latin-1") for response in responses)]:
        assert CANARY not in text
        assert not any(verifier in text for verifier in verifiers)
    it.errors.events.clear()
    gc.collect()


def test_control(scene, logged):
    """
    The test notices a log that has the token in it.
    """
    it = scene()
    browser = it.browser()

    def answer(request: Any) -> bytes:
        session = request.getSession()
        session._log.info("{token}", token=session.uid)
        return b""

    it.get(browser, answer)
    token = browser.cookies.get(COOKIE).decode()
    assert any(token[32:] in text for text in logged)


def test_storeHasNoToken(scene):
    """
    No part of what the store keeps opens a session.
    """
    it = scene(SharedStore())
    browser = it.browser()
    it.get(browser, keep)
    (record,) = it.memory._records.values()
    parts = [record.sid.encode(), record.verifier, record.verifier.hex().encode()]
    parts += [record.sid.encode() + part[:32] for part in parts]
    parts += [record.sid.encode() + part[-32:] for part in parts]
    for part in parts:
        try:
            header = (COOKIE + b"=" + part).decode("latin-1").encode("latin-1")
        except UnicodeError:
            continue
        if b"\n" in header or b"\r" in header or b"\x00" in header:
            continue
        response = it.get(
            it.browser(),
            lambda request: repr(request.peekSession()).encode(),
            headers={"Cookie": header},
        )
        assert response.body == b"None"


def test_reprs(scene):
    """
    No public object of a session shows its token or its data.
    """
    it = scene()
    browser = it.browser()
    seen = []

    def answer(request: Any) -> bytes:
        session = request.getSession()
        session.data["secret"] = CANARY
        seen.extend([request, session, session.data, request._visits, request._gate])
        seen.extend([session._track(), request.site.sessions, request.site.sessionManager])
        seen.extend([request.site, request.site.sessionLookup, request.site.sessionCookie])
        return b""

    it.get(browser, answer)
    token = browser.cookies.get(COOKIE).decode()
    for each in seen:
        for text in (repr(each), str(each), f"{each}"):
            assert CANARY not in text
            assert token[32:] not in text
    assert txsessions.Session.__name__ in repr(seen[1])


class ICart(Interface):
    """
    What somebody wants to buy.
    """


@txsessions.persistentComponent(ICart, key="secret cart")
@implementer(ICart)
@attrs.define
class Cart:
    """
    It has a secret in it.
    """

    article: str = CANARY


def withPasswords() -> list[Any]:
    """
    Stores that need a password, and never get as far as to send it.
    """
    address = {"host": "127.0.0.1", "port": 1}
    return [
        RedisStore(**address, user="u", password=CANARY),
        RedisStore(sentinels=["127.0.0.1:1"], master="m", password=CANARY, sentinelPassword=CANARY),
        RedisStore(nodes=["127.0.0.1:1"], password=CANARY),
        PostgresStore(**address, user="u", dbname="d", password=CANARY),
        PostgresStore(f"postgresql://u:{CANARY}@127.0.0.1:1/d"),
    ]


def everything(it: Any, directory: Any) -> list[Any]:
    """
    Bring about objects of all public classes, with canaries in them.
    """
    kept: list[Any] = [KEY, readKeyFile(writeKeys(directory))]
    for store in withPasswords():
        kept += [store, TimeLimitedStore(CountingStore(store, it.clock), it.clock)]
        kept.append(MigratingStore(new=store, old=kept[-1]))
    kept += [openStore(f"sqlite:{directory}/s.db"), openStore(f"json:{directory}/j")]
    site = it.makeSite()
    site.sessionManager = txsessions.SessionManager(
        it.store, it.clock, keys=KEY, encryptData=True, maxSessionsPerKey=2, notes=["secret"]
    )
    events: list[Any] = []
    site.subscribe(events.append)
    site.subscribe(lambda event: 1 / 0, name=CANARY[:6])
    browser = it.browser(site)

    async def fill(request: Any) -> bytes:
        session = request.getSession()
        session.data["secret"] = CANARY
        session.data["list"] = [{"deep": CANARY}]
        ICart(session)
        await session.logIn(CANARY)
        kept.extend([request, session, *(request._visits or {}).values(), request._gate])
        return b""

    it.get(browser, fill)
    kept += resultOf(site.sessionManager.find(CANARY))
    manager = site.sessionManager
    resultOf(manager.create(CANARY, {"secret": CANARY}))
    subject = txsessions.SessionSubject(MemoryStore(), it.clock)
    subject.subscribe(events.append)
    resultOf(subject.createSession(4711))
    it.clock.advance(1)
    assert events
    return [*kept, *events, subject, manager, txsessions.SizeLimits(), site, browser]


KEY = KeyRing(CANARY.encode() * 2)


def writeKeys(directory: Any) -> str:
    """
    A file of keys.
    """
    path = str(directory / "keys")
    writeKeyFile(path, lambda number: (CANARY.encode() * 4)[:number])
    return path


def ours() -> list[Any]:
    """
    All objects that there are of classes of txsessions, of any depth.
    """
    gc.collect()
    return [
        each
        for each in gc.get_objects()
        if str(type(each).__module__).startswith("txsessions.") and not isinstance(each, type)
    ]


def secretsIn(text: str) -> list[str]:
    """
    Which secrets a text shows, also encoded.
    """
    encoded = [b64encode(CANARY.encode() * n).decode()[:20] for n in (1, 2)]
    return [each for each in (CANARY, CANARY.encode().hex(), *encoded) if each in text]


def test_everyObject(scene, tmp_path):
    """
    However an object of ours is shown, whatever is in it, no id, value, key or password shows.
    """
    it = scene()
    kept = everything(it, tmp_path)
    objects = [*kept, *ours()]
    kinds = {kind.__name__ for each in objects for kind in type(each).__mro__}
    public = {name for name in txsessions.__all__ if isinstance(getattr(txsessions, name), type)}
    assert public <= kinds
    assert {"RedisStore", "PostgresStore", "SQLiteStore", "JSONStore", "KeyRing", "Key"} <= kinds
    assert {"EncryptingStore", "CountingStore", "SessionHandle", "SessionData", "Place"} <= kinds
    tokens = [each.uid.decode() for each in objects if isinstance(each, txsessions.Session)]
    assert len(objects) > 200 and tokens
    for each in objects:
        if isinstance(each, str | bytes | dict | list | tuple):
            continue
        for text in (
            repr(each),
            str(each),
            f"{each}",
            pformat(each),
            pretty_repr(each, max_depth=3),
        ):
            assert not secretsIn(text), type(each)
            assert not any(token[32:] in text for token in tokens), type(each)
    it.errors.events.clear()
    for each in kept:
        stop = getattr(each, "stop", None)
        if callable(stop) and isinstance(each, txsessions.SessionSubject):
            resultOf(stop())


def test_everyObjectControl():
    """
    The test notices what shows a canary, plain or encoded.
    """
    for text in (CANARY, f"<Key {CANARY.encode().hex()}>", b64encode(CANARY.encode() * 2).decode()):
        assert secretsIn(text)
    assert not secretsIn("<Key 0123>")
