"""
Tests for L{txsessions.data}.
"""

from __future__ import annotations

from collections.abc import MutableMapping
from copy import deepcopy
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from txsessions.data import SessionData, renewed
from txsessions.errors import InvalidSessionData, SessionTooLarge
from txsessions.jsonvalues import decode, encode
from txsessions.size import MAXIMUM_BYTES

keys = st.sampled_from("abcd")
scalars = st.none() | st.booleans() | st.integers(0, 3) | st.sampled_from(["", "x", 0.5])
containers = st.recursive(
    st.lists(scalars, max_size=2) | st.dictionaries(st.sampled_from("pqr"), scalars, max_size=3),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.sampled_from("pq"), inner),
    max_leaves=3,
)
values = scalars | containers
contents = st.dictionaries(keys, values)


class GONE:
    """
    Stands for no value, also in a copy.
    """


def stored(content: dict[str, Any]) -> dict[str, bytes]:
    """
    The attributes of a record with this content.
    """
    return {f"data:{key}": encode(key, value) for key, value in content.items()}


def same(one: Any, other: Any) -> bool:
    """
    Whether two values are the same JSON text.
    """
    return (one is GONE) == (other is GONE) and (
        one is GONE or encode("", one) == encode("", other)
    )


class DataMachine(RuleBasedStateMachine):
    """
    A session's data beside two plain dictionaries: C{view} is what the application sees, C{base}
    what it is compared with; and C{record}, what others know to be stored.
    """

    @initialize(content=contents)
    def begin(self, content: dict[str, Any]) -> None:
        """
        A session is loaded.
        """
        self.view = deepcopy(content)
        self.base = deepcopy(content)
        self.record = deepcopy(content)
        self.sent: dict[str, Any] | None = None
        self.data = SessionData({**stored(content), "component:other": b"1"})

    @rule(key=keys, value=values)
    def assign(self, key: str, value: Any) -> None:
        """
        The application assigns.
        """
        self.view[key] = deepcopy(value)
        self.data[key] = value

    @rule(key=keys)
    def delete(self, key: str) -> None:
        """
        The application deletes.
        """
        if key in self.view:
            del self.view[key]
            del self.data[key]
        else:
            with pytest.raises(KeyError):
                del self.data[key]

    @rule(key=keys)
    def look(self, key: str) -> None:
        """
        The application reads.
        """
        assert same(self.data.get(key, GONE), self.view.get(key, GONE))

    @rule(key=keys, value=scalars)
    def changeInside(self, key: str, value: Any) -> None:
        """
        The application changes a list or dict where it is.
        """
        for mapping in (self.view, self.data):
            self.alter(mapping, key, value)

    @staticmethod
    def alter(mapping: MutableMapping[str, Any], key: str, value: Any) -> None:
        """
        Change a container inside of a mapping.
        """
        container = mapping.get(key)
        if isinstance(container, dict):
            container.pop("p", None)
            container["p"] = value
        elif isinstance(container, list):
            container.append(value)

    @rule()
    def send(self) -> None:
        """
        A save of all changes begins.
        """
        if self.sent is not None:
            return
        self.sent = {
            key: deepcopy(self.view.get(key, GONE))
            for key in self.view.keys() | self.base.keys()
            if not same(self.view.get(key, GONE), self.base.get(key, GONE))
        }
        changed, removed = self.data.changes()
        assert {f"data:{key}" for key, value in self.sent.items() if value is GONE} == removed
        assert {key: decode(text) for key, text in changed.items()} == {
            f"data:{key}": value for key, value in self.sent.items() if value is not GONE
        }
        self.base = self.withSent(self.base)
        self.data.stored(stored(self.base))

    @precondition(lambda self: self.sent is not None)
    @rule()
    def confirm(self) -> None:
        """
        The save has been made.
        """
        self.record = self.withSent(self.record)
        self.sent = None
        self.takeOver()

    @precondition(lambda self: self.sent is not None)
    @rule()
    def fail(self) -> None:
        """
        The save has not been made.
        """
        self.sent = None
        self.base = deepcopy(self.record)
        self.data.stored(stored(self.record))

    @rule(content=contents, others=st.sets(keys))
    def refresh(self, content: dict[str, Any], others: set[str]) -> None:
        """
        Others have stored something, and it becomes known.
        """
        for key in others:
            self.record.pop(key, None)
            if key in content:
                self.record[key] = deepcopy(content[key])
        self.takeOver()

    @precondition(lambda self: self.sent is None)
    @rule()
    def forget(self) -> None:
        """
        All changes are given up.
        """
        self.view = deepcopy(self.base)
        self.data.forgetChanges()

    def withSent(self, content: dict[str, Any]) -> dict[str, Any]:
        """
        A content with the changes that are on their way.
        """
        merged = {**content, **deepcopy(self.sent or {})}
        return {key: value for key, value in merged.items() if value is not GONE}

    def takeOver(self) -> None:
        """
        What is not changed here is from now on as it is stored.
        """
        after = self.withSent(self.record)
        for key in self.view.keys() | self.base.keys() | after.keys():
            if same(self.view.get(key, GONE), self.base.get(key, GONE)):
                self.view.pop(key, None)
                if key in after:
                    self.view[key] = deepcopy(after[key])
        self.base = after
        self.data.refresh({**stored(after), "component:other": b"2"})

    @invariant()
    def looksAlike(self) -> None:
        """
        The mapping has the keys that the application put there.
        """
        assert set(self.data) == set(self.view)
        assert len(self.data) == len(self.view)
        assert all((key in self.data) == (key in self.view) for key in "abcd")

    def teardown(self) -> None:
        """
        In the end all values are those of the model, and so are the changes.
        """
        if hasattr(self, "data"):
            changed, removed = self.data.changes()
            assert {key: decode(text) for key, text in changed.items()} == {
                f"data:{key}": value
                for key, value in self.view.items()
                if not same(value, self.base.get(key, GONE))
            }
            assert removed == {f"data:{key}" for key in self.base.keys() - self.view.keys()}
            assert all(same(self.data[key], value) for key, value in self.view.items())


TestDataMachine = DataMachine.TestCase
TestDataMachine.settings = settings(max_examples=300, stateful_step_count=30, deadline=None)


class TestMapping:
    """
    What an application sees.
    """

    def test_nestedChanges(self) -> None:
        """
        A change deep inside of a list or a dict counts as well as an assignment.
        """
        data = SessionData(stored({"cart": [{"article": "tea", "number": 1}]}))
        data["cart"][0]["number"] += 1
        assert data.changes() == (stored({"cart": [{"article": "tea", "number": 2}]}), set())

    def test_lookingIsNoChange(self) -> None:
        """
        What was only read is no change, however its text was written.
        """
        data = SessionData({"data:a": b"1.50", "data:b": b'"\\u0061"', **stored({"c": [1]})})
        assert dict(data) == {"a": 1.5, "b": "a", "c": [1]}
        assert data.changes() == ({}, set())

    def test_undone(self) -> None:
        """
        What was changed and changed back is no change.
        """
        data = SessionData(stored({"a": 1, "b": [1]}))
        data["a"], data["a"] = 2, 1
        data["b"].append(2)
        data["b"].pop()
        del data["a"]
        data["a"] = 1
        assert data.changes() == ({}, set())

    def test_whatIsAssignedIsKept(self) -> None:
        """
        The list that was assigned is the one in the session, so that its changes count.
        """
        data = SessionData({})
        cart: list[int] = []
        data["cart"] = cart
        cart.append(1)
        assert data["cart"] is cart
        assert data.changes()[0] == stored({"cart": [1]})

    @pytest.mark.parametrize("key", [1, None, b"key", ("a",)])
    def test_keysAreText(self, key: Any) -> None:
        """
        A key that is no C{str} is refused at once, and nothing is found under it.
        """
        data = SessionData({})
        with pytest.raises(TypeError):
            data[key] = 1
        assert key not in data and len(data) == 0

    @pytest.mark.parametrize("value", [(1,), {1}, object(), float("nan"), b"x"])
    def test_refusedAtOnce(self, value: Any) -> None:
        """
        A value that cannot be kept is refused where it is assigned, and what was there stays.
        """
        data = SessionData(stored({"a": 1}))
        with pytest.raises(InvalidSessionData):
            data["a"] = value
        assert data["a"] == 1
        assert data.changes() == ({}, set())

    def test_refusedInside(self) -> None:
        """
        What was put into a list and cannot be kept is refused when it is to be saved.
        """
        data = SessionData(stored({"a": [1]}))
        data["a"].append({2})
        with pytest.raises(InvalidSessionData, match=r"data\['a'\]"):
            data.changes()
        data["a"] = ["x" * MAXIMUM_BYTES][:0]
        data["a"].append("x" * MAXIMUM_BYTES)
        with pytest.raises(SessionTooLarge):
            data.changes()

    @pytest.mark.parametrize("value", [(1,), float("nan")])
    def test_refusedInsideWithTheSameText(self, value: Any) -> None:
        """
        So is what would be written as the text that is stored already.
        """
        data = SessionData(stored({"a": [[1], None]}))
        data["a"][0 if isinstance(value, tuple) else 1] = value
        with pytest.raises(InvalidSessionData, match=r"data\['a'\]"):
            data.changes()

    def test_representation(self) -> None:
        """
        Its text form shows neither keys nor values.
        """
        data = SessionData(stored({"pin": "tuna-4711"}))
        data["more"] = ["tuna-4711"]
        for text in (repr(data), str(data), f"{data}"):
            assert text == "<SessionData of 2 keys>"

    def test_deletedWhileIterating(self) -> None:
        """
        Keys may be deleted while one goes through them.
        """
        data = SessionData(stored({"a": 1, "b": 2}))
        data["c"] = 3
        for key in data:
            del data[key]
        assert dict(data) == {}


class TestRefresh:
    """
    What others have stored.
    """

    def test_inPlace(self) -> None:
        """
        Whoever holds a list or a dict sees what others have stored in it.
        """
        data = SessionData(stored({"cart": {"lines": [1], "gone": 1}}))
        cart = data["cart"]
        lines = cart["lines"]
        data.refresh(stored({"cart": {"new": {}, "lines": [1, 2]}}))
        assert cart is data["cart"] and lines is cart["lines"]
        assert cart == {"new": {}, "lines": [1, 2]}

    def test_orderOfOthers(self) -> None:
        """
        What was taken over from others is no change of this process, even if the keys of a dict
        come in another order.
        """
        data = SessionData(stored({"a": {"x": 1, "y": 2}}))
        assert data["a"]["x"] == 1
        data.refresh(stored({"a": {"y": 2, "x": 1}}))
        assert data.changes() == ({}, set())

    def test_assignedAsItWas(self) -> None:
        """
        A value that was assigned and is stored already does not stand in the way of what others
        store later.
        """
        data = SessionData(stored({"theme": "dark"}))
        data["theme"] = "dark"
        data.refresh(stored({"theme": "light"}))
        assert data["theme"] == "light"
        assert data.changes() == ({}, set())

    def test_removedAndStoredAnew(self) -> None:
        """
        A key that was removed here, and that others store anew later, is there again.
        """
        data = SessionData(stored({"a": 1}))
        del data["a"]
        data.stored({})
        data.refresh(stored({"a": 2}))
        assert data["a"] == 2
        assert data.changes() == ({}, set())

    @pytest.mark.parametrize("other", [{"a": [1, 2], "b": [1]}, {"a": [1], "b": [3]}, {"a": [9]}])
    def test_oneListInTwoPlaces(self, other: dict[str, Any]) -> None:
        """
        A list that is in two places becomes two when others have made two different ones of it.
        """
        data = SessionData({})
        data["a"] = data["b"] = [1]
        data.stored(stored({"a": [1], "b": [1]}))
        data.refresh(stored(other))
        assert dict(data) == other
        assert data.changes() == ({}, set())


@pytest.mark.parametrize(
    ("old", "new"), [([], {}), ({}, []), ([1], "x"), (1, [1]), (True, 1), ({"a": [1]}, {"a": {}})]
)
def test_renewedByAnotherKind(old: Any, new: Any) -> None:
    """
    A value of another kind takes the place of the old one.
    """
    assert same(renewed(old, deepcopy(new)), new)


def test_machineIsStrict() -> None:
    """
    The machine notices data that forget what was changed while a save was under way.
    """

    class Forgetful(SessionData):
        def stored(self, attributes: Any) -> None:
            super().stored(attributes)
            for key in [key for key, text in self.touched.items() if text is not None]:
                del self.touched[key]

    machine: Any = DataMachine()
    machine.begin({"a": 1})
    machine.data = Forgetful(stored({"a": 1}))
    machine.assign("a", 2)
    machine.send()
    machine.assign("a", 1)
    machine.fail()
    machine.assign("a", 3)
    machine.send()
    machine.fail()
    with pytest.raises(AssertionError):
        machine.teardown()
