"""
What a crash of the whole machine may leave of files, as far as a system
promises: the text of a file is on the disk when the file was synced, and names
are on the disk when their directory was.

L{Recorder} stands in for the module C{os} of the code under test and notes
what it does in one directory; L{crashes} gives every state in which the
directory may be found afterwards.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any

import attrs


@attrs.frozen
class Step:
    """
    One thing that was done.

    @ivar kind: C{create}, C{write}, C{sync}, C{rename}, C{unlink},
        C{syncNames}, or C{acknowledge}.
    @ivar name: The name of a file, or the number of one.
    @ivar value: The text written, or the new name.
    """

    kind: str
    name: Any = None
    value: Any = None


class Recorder:
    """
    The module C{os}, and a note of each change.

    @ivar steps: What was done so far.
    """

    def __init__(self, files: dict[str, bytes]) -> None:
        """
        @param files: What is on the disk before.
        """
        self.steps: list[Step] = []
        self.files = files
        self._open: dict[int, int] = {}
        self._count = 0

    def __getattr__(self, name: str) -> Any:
        return getattr(os, name)

    def acknowledge(self) -> None:
        """
        Note that the caller was told that it is stored.
        """
        self.steps.append(Step("acknowledge"))

    def open(self, path: str, flags: int, mode: int = 0o777, *, dir_fd: int | None = None) -> int:
        """
        See L{os.open}.
        """
        descriptor = os.open(path, flags, mode, dir_fd=dir_fd)
        self._open.pop(descriptor, None)
        if flags & os.O_CREAT:
            self._count += 1
            self._open[descriptor] = self._count
            self.steps.append(Step("create", path, self._count))
        return descriptor

    def write(self, descriptor: int, text: bytes) -> int:
        """
        See L{os.write}; it writes less than it is given, as it may.
        """
        written = os.write(descriptor, text[:100])
        self.steps.append(Step("write", self._open[descriptor], bytes(text[:written])))
        return written

    def fsync(self, descriptor: int) -> None:
        """
        See L{os.fsync}.
        """
        if descriptor in self._open:
            self.steps.append(Step("sync", self._open[descriptor]))
        else:
            self.steps.append(Step("syncNames"))

    def rename(self, old: str, new: str, **options: Any) -> None:
        """
        See L{os.rename}.
        """
        os.rename(old, new, **options)
        self.steps.append(Step("rename", old, new))

    def unlink(self, name: str, **options: Any) -> None:
        """
        See L{os.unlink}.
        """
        os.unlink(name, **options)
        self.steps.append(Step("unlink", name))


def crashes(recorder: Recorder) -> Iterator[tuple[bool, dict[str, bytes]]]:
    """
    What may be found after a crash, at any moment.

    @return: Pairs: whether the change had been acknowledged, and the files.
    """
    steps = recorder.steps
    for end in range(len(steps) + 1):
        done = steps[:end]
        isAcknowledged = any(step.kind == "acknowledge" for step in done)
        for names in _names(recorder.files, done):
            for share in (0.0, 0.5, 1.0):
                yield isAcknowledged, _texts(names, done, share)


def _names(files: dict[str, bytes], done: list[Step]) -> Iterator[dict[str, Any]]:
    """
    Which names may be there: those that were synced, and of the changes since
    then as many as came first, however many that are.
    """
    changes = [step for step in done if step.kind in ("create", "rename", "unlink", "syncNames")]
    synced = max((n + 1 for n, s in enumerate(changes) if s.kind == "syncNames"), default=0)
    for count in range(synced, len(changes) + 1):
        names: dict[str, Any] = dict(files)
        for step in changes[:count]:
            if step.kind == "create":
                names[step.name] = step.value
            elif step.kind == "rename":
                names[step.value] = names.pop(step.name)
            elif step.kind == "unlink":
                names.pop(step.name, None)
        yield names


def _texts(names: dict[str, Any], done: list[Step], share: float) -> dict[str, bytes]:
    """
    What may be in the files: all that was synced, and a share of what was
    written since then.
    """
    texts: dict[str, bytes] = {}
    for name, file in names.items():
        if isinstance(file, bytes):
            texts[name] = file
            continue
        steps = [step for step in done if step.kind in ("write", "sync") and step.name == file]
        synced = max((n for n, step in enumerate(steps) if step.kind == "sync"), default=0)
        safe = b"".join(step.value for step in steps[:synced] if step.kind == "write")
        rest = b"".join(step.value for step in steps[synced:] if step.kind == "write")
        texts[name] = safe + rest[: int(len(rest) * share)]
    return texts
