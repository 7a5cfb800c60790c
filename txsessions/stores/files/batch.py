"""
A batch of what a store is asked, done on its files.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from itertools import groupby
from typing import Any

import attrs
from twisted.python.failure import Failure

from ...errors import SessionError
from .directory import Directory
from .owners import Owners, bucketOf
from .upgrade import upgrade


@attrs.frozen
class Request:
    """
    One thing that a store is asked.

    @ivar function: What does it.
    @ivar arguments: What it is called with.
    @ivar shard: The name of a shard that is opened for it, and given to it as
        its first argument; C{None}: it concerns more than one, or none.
    @ivar owned: An owner, and the C{sid} of a session that may get this owner
        by it; C{None}: none does.
    """

    function: Callable[..., Any]
    arguments: tuple[Any, ...] = attrs.field(repr=False)
    shard: str | None = None
    owned: tuple[str, str] | None = attrs.field(repr=False, default=None)

    @property
    def kind(self) -> tuple[bool, bool]:
        """
        What is done together is alike in this.
        """
        return self.shard is not None, self.owned is not None


class Performer:
    """
    Does batches of requests.  For one thread.

    What concerns one shard is done together, with one lock and one sync of the
    directory, in the order in which it was asked; what concerns all is done
    after all that came before it and before all that comes after.

    @ivar _directory: Where the files are.
    @ivar _owners: Which sessions an owner has.
    @ivar _isReady: Whether the directory has been made ready.
    """

    def __init__(self, directory: Directory, owners: Owners) -> None:
        self._directory = directory
        self._owners = owners
        self._isReady = False

    def perform(self, requests: Sequence[Request]) -> Sequence[Any]:
        """
        Do a batch.

        @return: The outcome of each request, a L{Failure} for what has failed.
        """
        failure = self._ready()
        if failure is not None:
            return [failure] * len(requests)
        outcomes: list[Any] = []
        for (isForOne, isGiving), some in groupby(requests, lambda request: request.kind):
            if isGiving:
                outcomes += self._performGiving(list(some))
            elif isForOne:
                outcomes += self._performForOne(list(some))
            else:
                outcomes += [self._outcome(each.function, *each.arguments) for each in some]
        return outcomes

    def finish(self) -> None:
        """
        Make the directory ready anew before the next batch.
        """
        self._isReady = False

    def _ready(self) -> Failure | None:
        """
        Make the directory ready.

        @return: Why it cannot be.
        """
        if not self._isReady:
            outcome = self._outcome(self._setup)
            if isinstance(outcome, Failure):
                return outcome
            self._isReady = True
        return None

    def _setup(self) -> None:
        """
        Make the directory ready, and bring it up to date.
        """
        self._directory.setup()
        if self._directory.isOld:
            upgrade(self._directory, self._owners)

    def _performGiving(self, requests: list[Request]) -> list[Any]:
        """
        Do requests that concern one session each and give it an owner: say so
        where the sessions of the owners are listed, and keep others from these
        owners until it is done.
        """
        outcomes: list[Any] = [None] * len(requests)
        with ExitStack() as stack:
            listed: list[int] = []
            for bucket, some in _byBucket(requests):
                owned = [requests[number].owned for number in some]
                found = self._outcome(self._owners.enter, stack, bucket, owned)
                if isinstance(found, Failure):
                    for number in some:
                        outcomes[number] = found
                else:
                    listed += some
            # In the order in which they were asked.
            listed.sort()
            done = self._performForOne([requests[number] for number in listed])
            for number, outcome in zip(listed, done, strict=True):
                outcomes[number] = outcome
        return outcomes

    def _performForOne(self, requests: list[Request]) -> list[Any]:
        """
        Do requests that concern one session each.
        """
        outcomes: list[Any] = [None] * len(requests)
        numbers = sorted(range(len(requests)), key=lambda number: requests[number].shard or "")
        for shard, some in groupby(numbers, lambda number: requests[number].shard or ""):
            group = list(some)
            found = self._outcome(self._performInShard, shard, [requests[each] for each in group])
            for place, number in enumerate(group):
                outcomes[number] = found if isinstance(found, Failure) else found[place]
        return outcomes

    def _performInShard(self, name: str, requests: list[Request]) -> list[Any]:
        """
        Do requests that concern one shard.  They have failed together when
        what they changed cannot be made durable.
        """
        with self._directory.shard(name) as shard:
            return [self._outcome(each.function, shard, *each.arguments) for each in requests]

    def _outcome(self, function: Callable[..., Any], *arguments: Any) -> Any:
        """
        What a function returns, or the L{Failure} of what it raises.  That of
        what somebody outside can cause carries no traceback.
        """
        try:
            return function(*arguments)
        except SessionError as e:
            return Failure(e)
        except OSError as e:
            return Failure(self._directory.explain(e))
        except Exception:
            return Failure()


def _byBucket(requests: list[Request]) -> Iterator[tuple[str, list[int]]]:
    """
    The places of requests that give a session an owner, by the owner's bucket,
    in the order in which the locks of buckets are taken.
    """
    buckets = [bucketOf(each.owned[0]) if each.owned else "" for each in requests]
    numbers = sorted(range(len(requests)), key=buckets.__getitem__)
    for bucket, some in groupby(numbers, buckets.__getitem__):
        yield bucket, list(some)
