"""
Bad input: cookies that are made to cost something, and data that no session keeps.
"""

from __future__ import annotations

from collections.abc import Callable
from time import process_time
from typing import Any

import pytest
from floods import Flooded, looks, named
from scenes import COOKIE, SharedStore, asks, count, look

from txsessions.errors import SessionTooLarge
from txsessions.testing import RecordingStore, resultOf

MEBIBYTE = 1 << 20

TOKEN = b"0123456789abcdef" * 4

BOMBS = [
    b"; ".join(b"c%d=%d" % (number, number) for number in range(1200)),
    b"; ".join([COOKIE + b"=" + TOKEN] * 190),
    b"; ".join(COOKIE + b"=%064x" % number for number in range(190)),
    COOKIE + b"=" + b"a" * 15_000,
    b"a=" + b"b" * 15_000 + b"; " + COOKIE + b"=x",
    b";" * 15_000,
    b"=" * 15_000,
    COOKIE * 900,
    b" \t" * 7_000 + COOKIE + b"=" + TOKEN,
]

SPOOFS = [
    b"__Host-" + COOKIE + b"=%s",
    b"__Secure-" + COOKIE + b"=%s",
    b"__HOST-" + COOKIE + b"=%s",
    COOKIE.lower() + b"=%s",
    COOKIE + b" =%s",
    b"\x0b" + COOKIE + b"=%s",
    b"\xa0" + COOKIE + b"=%s",
    b'"' + COOKIE + b'"=%s',
    b"a[" + COOKIE + b"]=%s",
    b"$" + COOKIE + b"=%s",
    b"=" + COOKIE + b"=%s",
    b"%%54" + COOKIE[1:] + b"=%s",
    b"a=1," + COOKIE + b"=%s",
    COOKIE + b"%%3D%s",
]


@pytest.mark.parametrize("bomb", BOMBS)
def test_bombs(scene: Any, bomb: bytes) -> None:
    """
    A header full of cookies costs the store two looks at the most, and the processor a
    few milliseconds, however it is made.
    """
    it = scene(SharedStore(), wrap=RecordingStore)
    browser, path = it.browser(), it.page(look)
    begun = process_time()
    for _ in range(10):
        response = resultOf(browser.get(path, headers={"Cookie": bomb}))
        assert (response.code, response.body) == (200, b"none")
        assert set(asks(it)) <= {"loadSession"}
    assert (process_time() - begun) / 10 < 0.02
    resultOf(browser.get(path, headers={"Cookie": bomb}))
    assert len(asks(it)) <= 2


@pytest.mark.parametrize("count", [600, 5000])
def test_tooMuch(count: int) -> None:
    """
    What is more than HTTP takes is refused before anybody looks at it, as 600 headers
    or as one that is too long, and harms no other visitor.
    """
    it = Flooded(looks)
    pairs = [named(b"%064x" % number)[0] for number in range(count)]
    it.request(*(pairs if count == 600 else [b"; ".join(pairs)]))
    assert it.wire.lost is not None
    assert it.codes[b"200"] == 1
    assert "loadSession" not in it.store.counts
    it.request()
    assert it.codes[b"200"] == 2
    assert it.trouble() == {}
    it.close()


@pytest.mark.parametrize("spoof", SPOOFS)
def test_spoofs(scene: Any, spoof: bytes) -> None:
    """
    A cookie of another name, however much it looks like ours, opens nothing, and does
    not stand in the way of the right one.
    """
    it = scene()
    browser = it.browser()
    it.get(browser, count)
    token = browser.cookies.get(COOKIE)
    assert it.get(it.browser(), look, headers={"Cookie": spoof % token}).body == b"none"
    both = spoof % TOKEN + b"; " + COOKIE + b"=" + token
    assert it.get(it.browser(), look, headers={"Cookie": both}).body == b"1"


def big(data: Any) -> None:
    """
    One big value.
    """
    data["big"] = BIG


def bigInside(data: Any) -> None:
    """
    One inside of what is there already.
    """
    data["list"].append(BIG)


def bigName(data: Any) -> None:
    """
    A big name.
    """
    data[BIG] = 1


def deep(data: Any) -> None:
    """
    A value that is nested deep.
    """
    data["deep"] = DEEP


def many(data: Any) -> None:
    """
    A great many keys inside of one value.
    """
    data["many"] = MANY


BIG = "x" * (10 * MEBIBYTE)
MANY = {str(number): number for number in range(100_000)}
DEEP: list[Any] = []
for _ in range(100_000):
    DEEP = [DEEP]
SIZES = [big, bigInside, bigName, deep, many]


def spoiling(spoil: Callable[[Any], None], spent: list[float]) -> Callable[[Any], Any]:
    """
    A page that spoils the session, whose commit is refused, and notes the time that
    this takes.
    """

    async def answer(request: Any) -> bytes:
        session = request.getSession()
        begun = process_time()
        try:
            spoil(session.data)
            await session.commit()
        except SessionTooLarge:
            spent.append(process_time() - begun)
            session.forgetChanges()
            return b"refused"
        return b"kept"

    return answer


def begin(request: Any) -> bytes:
    """
    A page that begins a session with a list in it.
    """
    request.getSession().data["list"] = [1]
    return count(request)


@pytest.mark.parametrize("spoil", SIZES)
def test_giants(scene: Any, spoil: Callable[[Any], None]) -> None:
    """
    Ten mebibytes, a hundred thousand levels, a hundred thousand keys are refused, in less
    than 20 milliseconds; what was stored stays, and the session can be used.
    """
    it = scene()
    spent: list[float] = []
    browser = it.browser()
    it.get(browser, begin)
    before = dict(it.memory._records)
    for _ in range(3):
        assert it.get(browser, spoiling(spoil, spent)).body == b"refused"
    assert dict(it.memory._records) == before
    assert min(spent) < 0.02
    assert it.get(browser, count).body == b"2"
