"""
All stores against a model, by a state machine; and that it finds out stores that are
broken on purpose.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable
from typing import Any

import pytest
import pytest_twisted
from broken import (
    EarlyStore,
    KeepingStore,
    LateStore,
    LateTouchingStore,
    LazyStore,
    RevivingStore,
    TouchCountingStore,
    TouchlessStore,
    VerifierlessStore,
    VersionlessStore,
)
from exploredcontrols import DoublyClaimingStore, FencelessStore
from hypothesis import Phase, settings
from hypothesis.stateful import run_state_machine_as_test
from servers import RedisServer
from twisted.internet import reactor

from txsessions.stores.json import JSONStore
from txsessions.stores.memory import MemoryStore
from txsessions.stores.redis import RedisStore
from txsessions.stores.sqlite import SQLiteStore
from txsessions.testing.machine import StoreMachine, runMachine

LONG = bool(os.environ.get("TXSESSIONS_EXPLORE"))
"""
Whether there is much time.
"""


def some(examples: int, **options: Any) -> settings:
    """
    How much is tried: the same each time, unless there is much time.
    """
    return settings(
        max_examples=examples * (50 if LONG else 1),
        stateful_step_count=30,
        derandomize=not LONG,
        database=None,
        report_multiple_bugs=False,
        **options,
    )


def steps(examples: int) -> str:
    """
    How much that is.
    """
    plan = some(examples)
    chance = "the same each time" if plan.derandomize else "at random"
    return f"{plan.max_examples} plays of {plan.stateful_step_count} steps, {chance}"


class MemoryMachine(StoreMachine):
    """
    The store in memory.
    """

    kind: Any = MemoryStore

    def makeStore(self) -> Any:
        return self.kind(self.clock)


class FileMachine(StoreMachine):
    """
    A store in files, which now and then is closed and opened, or left as it is when a process
    is killed.

    @ivar left: Those that were left.
    """

    kind: Any = SQLiteStore

    def makeStore(self) -> Any:
        self.directory = tempfile.mkdtemp()
        self.left: list[Any] = []
        self.number = 0
        return self.opened()

    def opened(self) -> Any:
        """
        A store on the files.
        """
        return self.kind(os.path.join(self.directory, "sessions"), clock=self.clock)

    def reopen(self, store: Any) -> Any:
        self.number += 1
        if self.number % 2:
            return store.close().addCallback(lambda _: self.opened())
        self.left.append(store)
        return self.opened()

    def teardown(self) -> None:
        try:
            super().teardown()
            for store in self.left:
                self.call(store.close)
        finally:
            shutil.rmtree(self.directory, ignore_errors=True)


class ServerMachine(StoreMachine):
    """
    A store on a server, whose time passes by itself.
    """

    isTimed = False
    open: Callable[[], Any]

    def now(self) -> float:
        return reactor.seconds()  # type: ignore[attr-defined, no-any-return]

    def makeStore(self) -> Any:
        return type(self).open()

    def reopen(self, store: Any) -> Any:
        return store.close().addCallback(lambda _: store)


def test_memory(record_property: Any) -> None:
    """
    The store in memory answers as the model does.
    """
    record_property("figures", steps(60))
    run_state_machine_as_test(MemoryMachine, settings=some(60))


@pytest.mark.parametrize("kind, examples", [(SQLiteStore, 12), (JSONStore, 3)])
@pytest_twisted.ensureDeferred
async def test_files(kind: Any, examples: int, record_property: Any) -> None:
    """
    A store in files answers as the model does, also after it was opened anew.
    """
    record_property("figures", steps(examples))
    await runMachine(type("Machine", (FileMachine,), {"kind": kind}), some(examples))


@pytest_twisted.ensureDeferred
async def test_redis(run: Any, tmp_path: Any, record_property: Any) -> None:
    """
    The store on Redis answers as the model does.
    """
    record_property("figures", steps(8))
    server = await run(RedisServer(tmp_path))

    def open() -> RedisStore:
        server.ask("FLUSHALL")
        return RedisStore(port=server.port)

    await runMachine(type("Machine", (ServerMachine,), {"open": staticmethod(open)}), some(8))


@pytest_twisted.ensureDeferred
async def test_postgres(make: Callable[..., Any], postgres: Any, record_property: Any) -> None:
    """
    The store on PostgreSQL answers as the model does.
    """
    record_property("figures", steps(5))
    numbers = iter(range(10**6))

    def open() -> Any:
        return make(schema=f"machine {next(numbers)}", timeout=10.0)

    machine = type("Machine", (ServerMachine,), {"open": staticmethod(open)})
    await runMachine(machine, some(5))


BROKEN = [
    DoublyClaimingStore,
    EarlyStore,
    FencelessStore,
    KeepingStore,
    LateStore,
    LateTouchingStore,
    LazyStore,
    RevivingStore,
    TouchCountingStore,
    TouchlessStore,
    VerifierlessStore,
    VersionlessStore,
]


@pytest.mark.parametrize("broken", BROKEN, ids=lambda broken: broken.__name__)
def test_control(broken: Any) -> None:
    """
    A store that breaks a promise is found out.
    """
    machine = type("Broken", (MemoryMachine,), {"kind": broken})
    with pytest.raises((AssertionError, KeyError)):
        run_state_machine_as_test(machine, settings=some(200, phases=[Phase.generate]))
