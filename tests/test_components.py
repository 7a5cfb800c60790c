"""
Tests for L{txsessions.components}.
"""

from __future__ import annotations

import math
from datetime import datetime, timezone
from typing import Any

import attrs
import msgspec
import pytest
from twisted.python.reflect import qual
from zope.interface import Interface, implementer

from txsessions import components
from txsessions.components import PersistentComponents, persistentComponent
from txsessions.errors import InvalidSessionData

CANARY = "tuna-4711"


class ICart(Interface):
    """
    What a visitor wants to buy.
    """


class IProfile(Interface):
    """
    Who a visitor is.
    """


class IOther(Interface):
    """
    A component that nobody declared.
    """


@attrs.define
class Line:
    """
    One line of a cart.
    """

    article: str
    number: int = 1


@persistentComponent(ICart, key="test-cart")
@implementer(ICart)
@attrs.define
class Cart:
    """
    A cart whose fields may be set.
    """

    lines: list[Line] = attrs.Factory(list)
    since: datetime | None = None
    tags: set[str] = attrs.Factory(set)
    size: tuple[int, int] = (0, 0)
    anything: Any = None
    total: int = attrs.field(default=0, eq=False)


@persistentComponent(IProfile, key="test-profile")
@implementer(IProfile)
@attrs.frozen
class Profile:
    """
    A profile, of which nothing may be set.
    """

    name: str = ""


def stored(**some: Any) -> dict[str, bytes]:
    """
    The attributes of components, as they are stored.
    """
    content = PersistentComponents(
        {qual(ICart if key == "cart" else IProfile): value for key, value in some.items()}, {}
    )
    return content.changes()[0]


def content(attributes: dict[str, bytes]) -> PersistentComponents:
    """
    The components of a session with these attributes.
    """
    return PersistentComponents({}, attributes)


def version(number: int, state: Any) -> dict[str, bytes]:
    """
    A stored cart that a certain version has written.
    """
    return {
        "component:test-cart": msgspec.json.encode({"version": number, "state": state}),
    }


@pytest.fixture
def redeclared() -> Any:
    """
    Lets a test declare the cart in another way.
    """
    before = components._declared[qual(ICart)]
    yield persistentComponent
    components._declared[qual(ICart)] = before


FULL = Cart(
    lines=[Line("tea", 3), Line("milk")],
    since=datetime(2026, 11, 21, tzinfo=timezone.utc),
    tags={"a", "b"},
    size=(3, 4),
    anything={"a": [1, None]},
)


class TestRoundTrip:
    """
    What is stored comes back, or is refused.
    """

    @pytest.mark.parametrize("cart", [Cart(), FULL], ids=["empty", "full"])
    def test_comesBack(self, cart: Cart) -> None:
        """
        A component comes back equal, with the types that its class declares.
        """
        found = content(stored(cart=cart)).find(ICart)
        assert found == cart and found is not cart
        assert type(found.tags) is set and type(found.size) is tuple

    @pytest.mark.parametrize(
        ("field", "value"),
        [
            ("lines", [Line(5)]),  # type: ignore[arg-type]  # that is the point
            ("lines", ["tea"]),
            ("size", [1, 2]),
            ("anything", (1, 2)),
            ("anything", {CANARY}),
            ("anything", math.nan),
            ("anything", object()),
            ("since", "yesterday " + CANARY),
            ("tags", {CANARY + "\ud800"}),
        ],
    )
    def test_refused(self, field: str, value: Any) -> None:
        """
        A component that would not come back as it is, or not at all, is refused when it is to be
        stored, in a line that tells no value.
        """
        cart = Cart()
        setattr(cart, field, value)
        with pytest.raises(InvalidSessionData) as caught:
            stored(cart=cart)
        text = str(caught.value)
        assert "component:test-cart" in text and CANARY not in text and "\n" not in text

    def test_privateField(self, redeclared: Any) -> None:
        """
        A private field, which would silently be lost, is refused; one that need not come back is
        left out.
        """

        @redeclared(ICart, key="test-cart")
        @attrs.define
        class Private:
            _pin: int = 0
            _cached: int = attrs.field(default=0, eq=False)

        assert content(stored(cart=Private(cached=1))).find(ICart) == Private()
        with pytest.raises(InvalidSessionData, match=r"_pin of .*Private would come back as"):
            stored(cart=Private(pin=1))

    def test_subclass(self) -> None:
        """
        An instance of a subclass, which would come back as one of the class, is refused.
        """

        @attrs.define
        class BigCart(Cart):
            more: int = 0

        with pytest.raises(InvalidSessionData, match="BigCart"):
            stored(cart=BigCart())


class TestDeclaration:
    """
    What may be declared, and what may be read.
    """

    def test_attrsOnly(self) -> None:
        """
        A class without declared fields is refused when it is declared.
        """
        with pytest.raises(TypeError, match="no attrs class"):
            persistentComponent(IOther, key="other")(object)

    def test_undeclared(self) -> None:
        """
        A component of an interface that nobody declared is neither found nor stored.
        """
        cache: dict[str, Any] = {qual(IOther): Cart()}
        content = PersistentComponents(cache, {})
        assert content.find(IOther) is None
        assert content.changes() == ({}, set())

    def test_unknownIsCarriedThrough(self) -> None:
        """
        A stored component that this process does not know is no change of its.
        """
        attributes = {**stored(cart=FULL), "component:of another node": b"whatever"}
        mine = content(attributes)
        mine.find(ICart).lines.clear()
        changed, removed = mine.changes()
        assert list(changed) == ["component:test-cart"] and removed == set()

    def test_upgrade(self, redeclared: Any) -> None:
        """
        An older component is brought up to date once, with its version and state, and is stored
        in the new form.
        """
        calls = []

        def upgrade(number: int, state: dict[str, Any]) -> dict[str, Any]:
            calls.append((number, state))
            return {"name": state["called"]}

        @redeclared(ICart, key="test-cart", version=3, upgrade=upgrade)
        @attrs.define
        class Named:
            name: str = ""

        mine = content(version(1, {"called": "anna"}))
        assert mine.find(ICart) == Named("anna")
        assert calls == [(1, {"called": "anna"})]
        changed, _ = mine.changes()
        assert msgspec.json.decode(changed["component:test-cart"]) == {
            "version": 3,
            "state": {"name": "anna"},
        }

    def test_newer(self) -> None:
        """
        A component that a newer version has written is refused to the one who asks, and stays as
        it is.
        """
        mine = content(version(2, {"lines": []}))
        for _ in range(2):
            with pytest.raises(InvalidSessionData, match=r"written by version 2 of .*newer"):
                mine.find(ICart)
        assert mine.changes() == ({}, set())

    @pytest.mark.parametrize(
        "attributes",
        [
            version(1, {"lines": [{"number": CANARY}]}),
            version(1, CANARY),
            {"component:test-cart": CANARY.encode()},
            {"component:test-cart": b"\xff"},
            {"component:test-cart": b"{}"},
        ],
    )
    def test_doesNotFit(self, attributes: dict[str, bytes]) -> None:
        """
        A text that does not fit the class is refused to the one who asks, without its values.
        """
        with pytest.raises(InvalidSessionData, match="cannot read: it does not fit") as caught:
            content(attributes).find(ICart)
        assert CANARY not in str(caught.value)


class TestChanges:
    """
    What is noticed.
    """

    def test_sameEachTime(self) -> None:
        """
        Whoever asks twice gets the same component, with what was done to it.
        """
        mine = content(stored(cart=Cart()))
        mine.find(ICart).lines.append(Line("tea"))
        assert mine.find(ICart).lines == [Line("tea")]
        assert list(mine.changes()[0]) == ["component:test-cart"]

    def test_lookingIsNoChange(self) -> None:
        """
        A component that was only looked at is no change.
        """
        mine = content(stored(cart=FULL))
        mine.find(ICart)
        assert mine.changes() == ({}, set())

    def test_takenOut(self) -> None:
        """
        A component that was taken out of the session is removed from the store, and is not found
        again meanwhile.
        """
        cache: dict[str, Any] = {}
        mine = PersistentComponents(cache, stored(cart=FULL))
        mine.find(ICart)
        del cache[qual(ICart)]
        assert mine.find(ICart) is None
        assert mine.changes() == ({}, {"component:test-cart"})
        mine.stored({})
        assert mine.changes() == ({}, set())
        mine.stored(stored(cart=FULL))
        assert mine.changes() == ({}, {"component:test-cart"})

    def test_changedWhileItIsSaved(self) -> None:
        """
        What is changed while a save is under way stays a change, also when the save fails.
        """
        before = stored(cart=Cart())
        mine = content(before)
        cart = mine.find(ICart)
        cart.lines.append(Line("tea"))
        saved, _ = mine.changes()
        mine.stored(saved)
        cart.lines.clear()
        assert mine.changes()[0] == before
        mine.stored(before)
        assert mine.changes() == ({}, set())

    def test_areAll(self) -> None:
        """
        It is known whether a session has other components besides.
        """
        cache: dict[str, Any] = {qual(ICart): FULL}
        mine = PersistentComponents(cache, {})
        assert mine.areAll()
        cache[qual(IOther)] = object()
        assert not mine.areAll()
        cache[qual(IOther)], cache[qual(ICart)] = FULL, object()
        assert not mine.areAll()

    def test_anotherClass(self) -> None:
        """
        A component of another class that was set for the interface is left alone, and so is what
        is stored.
        """
        other = object()
        mine = PersistentComponents({qual(ICart): other}, stored(cart=FULL))
        assert mine.find(ICart) is other
        mine.refresh(stored(cart=Cart()))
        assert mine.find(ICart) is other and mine.changes() == ({}, set())

    def test_forgetChanges(self) -> None:
        """
        Afterwards the stored component is found again, and nothing has changed.
        """
        mine = content(stored(cart=FULL))
        mine.find(ICart).lines.clear()
        mine.forgetChanges()
        assert mine.changes() == ({}, set())
        assert mine.find(ICart) == FULL


class TestRefresh:
    """
    What others have done.
    """

    def test_inPlace(self) -> None:
        """
        Whoever holds a component sees what others have stored, where its fields may be set.
        """
        mine = content(stored(cart=Cart(), profile=Profile("anna")))
        cart, profile = mine.find(ICart), mine.find(IProfile)
        mine.refresh(stored(cart=FULL, profile=Profile("ben")))
        assert cart == FULL and mine.find(ICart) is cart
        assert profile == Profile("anna") and mine.find(IProfile) == Profile("ben")
        assert mine.changes() == ({}, set())

    def test_mineStays(self) -> None:
        """
        What was changed here stays as it is, and will be saved.
        """
        mine = content(stored(cart=Cart()))
        mine.find(ICart).lines.append(Line("mine"))
        mine.refresh(stored(cart=FULL))
        assert mine.find(ICart).lines == [Line("mine")]
        assert list(mine.changes()[0]) == ["component:test-cart"]

    def test_removedByOthers(self) -> None:
        """
        A component that others have removed is gone, and is not stored again.
        """
        mine = content(stored(cart=FULL))
        mine.find(ICart)
        mine.refresh({})
        assert mine.find(ICart) is None
        assert mine.changes() == ({}, set())

    def test_storedAnewByOthers(self) -> None:
        """
        A component that was removed here, and that others stored anew later, is theirs.
        """
        cache: dict[str, Any] = {}
        mine = PersistentComponents(cache, stored(cart=FULL))
        mine.find(ICart)
        del cache[qual(ICart)]
        mine.stored({})
        mine.refresh(stored(cart=Cart()))
        assert mine.changes() == ({}, set())
        assert mine.find(ICart) == Cart()

    @pytest.mark.parametrize("new", [version(2, {}), version(1, {"lines": 5})])
    def test_unreadable(self, new: dict[str, bytes]) -> None:
        """
        What others have stored and this process cannot read hurts only the one who asks for it,
        and is kept.
        """
        mine = content(stored(cart=FULL))
        mine.find(ICart)
        mine.refresh(new)
        assert mine.changes() == ({}, set())
        with pytest.raises(InvalidSessionData):
            mine.find(ICart)

    def test_mineCannotBeKept(self) -> None:
        """
        A component that cannot be kept is an error when it is saved, not when the news of others
        come in.
        """
        mine = content(stored(cart=Cart()))
        mine.find(ICart).anything = object()
        mine.refresh(stored(cart=FULL))
        with pytest.raises(InvalidSessionData):
            mine.changes()
