"""
What a crash of the whole machine may leave of files, as far as a system
promises: the text of a file is on the disk when the file was synced, and names
are on the disk when their directory was.

L{Recorder} stands in for the module C{os} of the code under test and notes
what it does in some directories; L{crashes} gives every state in which they may
be found afterwards.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from itertools import product
from typing import Any

import attrs


@attrs.frozen
class Step:
    """
    One thing that was done.

    @ivar kind: C{create}, C{write}, C{sync}, C{rename}, C{unlink},
        C{syncNames}, or C{acknowledge}.
    @ivar name: The path of a file or directory, or the number of a file.
    @ivar value: The text written, the new path, or the number.
    """

    kind: str
    name: Any = None
    value: Any = None


class Recorder:
    """
    The module C{os}, and a note of each change.

    @ivar steps: What was done so far.
    @ivar files: What is on the disk before, by path.
    """

    def __init__(self, files: Mapping[str, bytes], root: str) -> None:
        """
        @param files: What is on the disk before, by path below C{root}.
        """
        self.steps: list[Step] = []
        self.files = files
        self._root = root
        self._open: dict[int, int] = {}
        self._directories: dict[int, str] = {}
        self._count = 0

    @property
    def places(self) -> set[str]:
        """
        The directories that were opened.
        """
        return set(self._directories.values())

    def __getattr__(self, name: str) -> Any:
        return getattr(os, name)

    def acknowledge(self) -> None:
        """
        Note that the caller was told that it is done.
        """
        self.steps.append(Step("acknowledge"))

    def open(self, path: str, flags: int, mode: int = 0o777, *, dir_fd: int | None = None) -> int:
        """
        See L{os.open}.
        """
        descriptor = os.open(path, flags, mode, dir_fd=dir_fd)
        self._open.pop(descriptor, None)
        if flags & os.O_DIRECTORY:
            self._directories[descriptor] = self._path(path, dir_fd)
        elif flags & os.O_CREAT:
            self._count += 1
            self._open[descriptor] = self._count
            self.steps.append(Step("create", self._path(path, dir_fd), self._count))
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
            self.steps.append(Step("syncNames", self._directories[descriptor]))

    def rename(
        self, old: str, new: str, *, src_dir_fd: int | None = None, dst_dir_fd: int | None = None
    ) -> None:
        """
        See L{os.rename}.
        """
        os.rename(old, new, src_dir_fd=src_dir_fd, dst_dir_fd=dst_dir_fd)
        paths = self._path(old, src_dir_fd), self._path(new, dst_dir_fd)
        self.steps.append(Step("rename", *paths))

    def unlink(self, name: str, *, dir_fd: int | None = None) -> None:
        """
        See L{os.unlink}.
        """
        os.unlink(name, dir_fd=dir_fd)
        self.steps.append(Step("unlink", self._path(name, dir_fd)))

    def _path(self, name: str, directory: int | None) -> str:
        """
        The path of something below the root.
        """
        if directory is None:
            return os.path.relpath(name, self._root)
        return os.path.join(self._directories[directory], name)


class UnsyncedRecorder(Recorder):
    """
    Lets the code under test sync nothing.
    """

    def fsync(self, descriptor: int) -> None:
        """
        Do nothing.
        """


Change = Mapping[str, Any]
"""
What changes at once in one directory: paths, each with the text or the number
of the file that is there then, or C{None}.
"""


def crashes(recorder: Recorder) -> Iterator[tuple[bool, dict[str, bytes]]]:
    """
    What may be found after a crash, at any moment.

    @return: Pairs: whether the change had been acknowledged, and the files by
        their paths.
    """
    steps = recorder.steps
    for end in range(len(steps) + 1):
        done = steps[:end]
        isAcknowledged = any(step.kind == "acknowledge" for step in done)
        for names in _names(recorder.files, done):
            for share in (0.0, 0.5, 1.0):
                yield isAcknowledged, _texts(names, done, share)


def _names(files: Mapping[str, bytes], done: list[Step]) -> Iterator[dict[str, Any]]:
    """
    Which names may be there: in each directory those that were synced, and of
    the changes since then as many as came first, however many that are.
    """
    changes, synced = _changes(files, done)
    directories = sorted(changes)
    counts = [range(synced.get(each, 0), len(changes[each]) + 1) for each in directories]
    for chosen in product(*counts):
        names: dict[str, Any] = dict(files)
        for directory, count in zip(directories, chosen, strict=True):
            for change in changes[directory][:count]:
                names.update(change)
        yield {path: file for path, file in names.items() if file is not None}


def _changes(
    files: Mapping[str, bytes], done: list[Step]
) -> tuple[dict[str, list[Change]], dict[str, int]]:
    """
    The changes of each directory in their order, and how many of them were
    synced.
    """
    names: dict[str, Any] = dict(files)
    changes: dict[str, list[Change]] = {}
    synced: dict[str, int] = {}
    for step in done:
        change: dict[str, Any] = {}
        if step.kind == "create":
            change = {step.name: step.value}
        elif step.kind == "rename":
            change = {step.name: None, step.value: names[step.name]}
        elif step.kind == "unlink":
            change = {step.name: None}
        elif step.kind == "syncNames":
            synced[step.name] = len(changes.get(step.name, ()))
        names.update(change)
        # A move from one directory into another may be found done in one only.
        for directory in {os.path.dirname(path) for path in change}:
            part = {path: file for path, file in change.items() if _isIn(path, directory)}
            changes.setdefault(directory, []).append(part)
    return changes, synced


def _isIn(path: str, directory: str) -> bool:
    """
    Whether this is the path of something in that directory.
    """
    return os.path.dirname(path) == directory


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
