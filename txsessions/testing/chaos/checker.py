"""
The judge of a history: pure, and short enough to be believed.

A request that was not answered, or refused, may have been done, and may still be done
at any later time: what it wrote is never held against anybody who reads it, or does
not.  What was acknowledged is certain from the moment of the answer, for whoever asks
after that, at whichever worker.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from typing import Final

from .anomaly import Anomaly
from .history import History
from .operation import (
    ADD,
    BEGIN,
    FAILED,
    LOGIN,
    LOGOUT,
    NONE,
    WRITE,
    Operation,
)

MISSING: Final = "an acknowledged write is missing"
FOREIGN: Final = "somebody else's session answered"
UNWRITTEN: Final = "what nobody wrote was read"
COUNT: Final = "the counter is wrong"
REVIVED: Final = "an ended session answered"
OLD: Final = "an old cookie answered"
VANISHED: Final = "a session vanished"
COOKIE: Final = "a cookie came where none belongs"
STATUS: Final = "a request failed"

Found = Iterator[Anomaly]


def check(history: History) -> list[Anomaly]:
    """
    What is wrong with one session.
    """
    return [anomaly for rule in RULES for anomaly in rule(history)]


def foreign(history: History) -> Found:
    """
    A session shows itself, and nothing that was written into another one.
    """
    for each in history.operations:
        if not each.isDone:
            continue
        strange = [token for token in (each.found or {}).values() if not _isOf(token, history.name)]
        if each.name != history.name or strange:
            text = f"{each.name} with {strange}" if strange else f"{each.name}"
            yield Anomaly(FOREIGN, text, history.name, [each])


def missing(history: History) -> Found:
    """
    A read finds, for each key, the last write that was acknowledged before it began, or
    one that was not over before that began.
    """
    writes = _writes(history)
    for read in history.operations:
        if read.found is None or not read.isDone:
            continue
        for key, written in writes.items():
            newer = _hidden(written, read, read.found.get(key))
            if newer is not None:
                found = read.found.get(key, "nothing")
                text = f"{key} is {found}, after {newer.token} was acknowledged"
                shown = [each for each in written if each.token == found]
                yield Anomaly(MISSING, text, history.name, [*shown, newer, read])


def _hidden(written: list[Operation], read: Operation, token: str | None) -> Operation | None:
    """
    The acknowledged write that should be there instead of what a read has found.
    """
    certain = [each for each in written if each.certainFrom < read.start]
    if not certain:
        return None
    latest = max(certain, key=lambda each: each.start)
    source = next((each for each in written if each.token == token), None)
    if source is None:
        return latest if token is None else None
    return latest if source.certainFrom < latest.start else None


def unwritten(history: History) -> Found:
    """
    What is read was written, under that key, by a request that had begun.
    """
    written = {(each.key, each.token): each.start for each in history.of(WRITE)}
    for read in history.operations:
        for key, token in (read.found or {}).items():
            if not _isOf(token, history.name):
                continue
            if written.get((key, token), read.end) >= read.end:
                yield Anomaly(UNWRITTEN, f"{key} is {token}", history.name, [read])


def counted(history: History) -> Found:
    """
    The counter is as high as the increments that were acknowledged before, and no
    higher than those that had begun; and no two of them made the same number.
    """
    adds = history.of(ADD)
    for each in history.operations:
        if each.total is None or not each.isDone:
            continue
        isOwn = each.kind == ADD
        low = isOwn + sum(add.certainFrom < each.start for add in adds)
        high = sum(add.start < each.end and add.outcome != NONE for add in adds)
        if not low <= each.total <= high:
            text = f"it is {each.total}, and should be {low} to {high}"
            before = [add for add in adds if add.start < each.end and add is not each]
            yield Anomaly(COUNT, text, history.name, [*before[-6:], each])
    made = Counter(each.total for each in adds if each.isDone)
    for total, times in made.items():
        if times > 1:
            shown = [each for each in adds if each.isDone and each.total == total]
            text = f"{times} increments were told that they made {total}"
            yield Anomaly(COUNT, text, history.name, shown)


def revived(history: History) -> Found:
    """
    After an end that was acknowledged no cookie opens the session; nor does a cookie
    that was found dead.
    """
    for cookie, operations in _byCookie(history).items():
        deaths = [each for each in operations if each.outcome == NONE]
        ends = [each for each in history.of(LOGOUT) if each.isDone]
        certain = min([*deaths, *ends], key=lambda each: each.end, default=None)
        if certain is None:
            continue
        for each in operations:
            if each.isDone and each.start > certain.end:
                text = f"cookie {cookie} was dead, and opens it again"
                yield Anomaly(REVIVED, text, history.name, [certain, each])


def old(history: History) -> Found:
    """
    After a log-in that was acknowledged only the new cookie opens the session.
    """
    for logIn in history.of(LOGIN):
        for each in history.operations:
            isLater = logIn.isDone and each.isDone and each.start > logIn.end
            if isLater and 0 <= each.cookie <= logIn.cookie:
                text = f"cookie {each.cookie} still opens it"
                yield Anomaly(OLD, text, history.name, [logIn, each])


def vanished(history: History) -> Found:
    """
    A session is there until somebody ends it, and so is its cookie until somebody
    replaces it.
    """
    for each in history.operations:
        if each.outcome != NONE or each.cookie < 0:
            continue
        reasons = [
            *history.endings,
            *(logIn for logIn in history.logIns if logIn.cookie >= each.cookie),
        ]
        if not any(reason is not each and reason.start < each.end for reason in reasons):
            shown = [*history.operations[-8:], each]
            yield Anomaly(VANISHED, "nobody had ended it", history.name, list(dict.fromkeys(shown)))


def cookies(history: History) -> Found:
    """
    A cookie comes with the beginning of a session and with a log-in, and not with an
    answer that says that the store is away.
    """
    for each in history.operations:
        belongs = each.isDone and each.kind in (BEGIN, LOGIN)
        if each.hasCookie and not belongs:
            yield Anomaly(COOKIE, f"with {each.kind}", history.name, [each])


def statuses(history: History) -> Found:
    """
    A request is answered, or the store is away.
    """
    for each in history.operations:
        if each.outcome == FAILED:
            yield Anomaly(STATUS, f"status {each.status}", history.name, [each])


RULES: Final[list[Callable[[History], Found]]] = [
    foreign,
    missing,
    unwritten,
    counted,
    revived,
    old,
    vanished,
    cookies,
    statuses,
]


def _writes(history: History) -> dict[str, list[Operation]]:
    """
    The writes that may have been done, by key.
    """
    writes = defaultdict(list)
    for each in history.of(WRITE):
        if each.mayHappen:
            writes[each.key].append(each)
    return writes


def _byCookie(history: History) -> dict[int, list[Operation]]:
    """
    The requests by the cookie that they brought.
    """
    found = defaultdict(list)
    for each in history.operations:
        if each.cookie >= 0:
            found[each.cookie].append(each)
    return found


def _isOf(token: str, name: str) -> bool:
    """
    Whether a token was made for the session of that name.
    """
    return token.rpartition(".")[0] == name
