"""
What happened in a run, as a story that people can read.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from ...record import UNCHANGED, Change, Record
from ...stores.claim import Claim, Ending, LogIn
from ...stores.wrapping import Call
from .step import Step

VERBS: Final = {
    "begins": "begins",
    "loadSession": "loads the session",
    "createSession": "creates the session",
    "saveSession": "saves the session",
    "deleteSession": "ends the session",
    "hasSession": "asks whether there is the session",
    "claimExpired": "ends what has expired",
    "findSessions": "looks for the sessions of the owner",
    "logInSession": "logs in",
    "endSessions": "ends all sessions of the owner",
}
"""
What one does who calls an operation.
"""


class InterleavingFailed(AssertionError):
    """
    In some order of their steps, what several processes do comes out wrong.

    @ivar steps: The steps up to there.
    @ivar choices: The order, as L{explore<txsessions.testing.explorer.explore>}
        takes it to have it again.
    @ivar error: What was wrong.
    """

    def __init__(self, title: str, steps: Sequence[Step], choices: str, error: Exception) -> None:
        lines = [f"{title}: {_firstLine(error)}", *story(steps)]
        lines.append(f"To have it again: explore(..., choices={choices!r})")
        super().__init__("\n".join(lines))
        self.steps = list(steps)
        self.choices = choices
        self.error = error


def story(steps: Sequence[Step]) -> list[str]:
    """
    What happened, a line for each step.
    """
    sids = {step.call.sid for step in steps} - {None}
    return [
        f"  {number}. {_told(step, isAlone=len(sids) < 2)}"
        for number, step in enumerate(steps, start=1)
    ]


def _told(step: Step, isAlone: bool) -> str:
    """
    One line of a story.

    @param isAlone: Whether all of it is about one session.
    """
    line = f"{step.actor} {VERBS.get(step.call.name, step.call.name)}"
    if not isAlone and step.call.sid is not None:
        line += f" {step.call.sid[:6]}"
    line += _wish(step.call)
    if step.what:
        line += f" [{step.what}]"
    answer = _answer(step.answer)
    return f"{line}: {answer}" if answer else line


def _wish(call: Call) -> str:
    """
    What is asked for, in parentheses.
    """
    first = call.arguments[0] if call.arguments else None
    if isinstance(first, Change):
        return f" ({', '.join(_parts(first)) or 'nothing'})"
    if call.name == "deleteSession" and len(call.arguments) > 1:
        return f" ({call.arguments[1]})"
    return ""


def _parts(change: Change) -> list[str]:
    """
    What a change is about.
    """
    parts = [f"{_plain(name)}={text.decode()}" for name, text in change.set.items()]
    parts += [f"without {_plain(name)}" for name in sorted(change.unset)]
    if change.sessionKey is not UNCHANGED:
        parts.append(f"owner {change.sessionKey}")
    if change.verifier is not UNCHANGED:
        parts.append("new token")
    if change.isTouch and change.lastModified is not None:
        parts.append(f"touched at {change.lastModified:.3f}")
    if change.expectedVersion is not None:
        parts.append(f"if it is version {change.expectedVersion}")
    if change.expectedVerifier is not None:
        parts.append("if the token is as it was")
    return parts


def _answer(answer: Any) -> str:
    """
    What has come of a step.
    """
    if isinstance(answer, Exception):
        return f"{type(answer).__name__}, {_firstLine(answer)}"
    if isinstance(answer, Record):
        keys = ", ".join(f"{_plain(n)}={t.decode()}" for n, t in answer.attributes.items())
        owner = "" if answer.sessionKey is None else f" of {answer.sessionKey}"
        return f"version {answer.version}{owner} with {keys or 'nothing'}"
    if isinstance(answer, Claim):
        return f"{len(answer.endings)} ended"
    if isinstance(answer, LogIn):
        return f"version {answer.version}, {len(answer.evicted)} evicted"
    if isinstance(answer, list | tuple) and answer and isinstance(answer[0], Ending):
        return f"{len(answer)} ended"
    if isinstance(answer, bool):
        return "yes" if answer else "no"
    return f"version {answer}" if isinstance(answer, int) else ""


def _plain(name: str) -> str:
    """
    The name of an attribute as the application knows it.
    """
    return name.removeprefix("data:")


def _firstLine(error: Exception) -> str:
    """
    The first line of the text of an error.
    """
    return (str(error).strip() or type(error).__name__).splitlines()[0]
