"""
Key files: where the keys of an application are between its starts.

A text, one key in a line, the newest first::

    # for sessions.example.com
    txsessions-key-1:3q2-7w...

Each key is L{PREFIX} and the URL-safe Base64 (RFC 4648, section 5, no padding) of
its bytes.  Empty lines, and lines that begin with C{#}, say nothing.
"""

from __future__ import annotations

import os
import stat
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Final

import attrs

from .keys import LONGEST, SHORTEST, BadKeys, KeyRing

PREFIX: Final = b"txsessions-key-1:"
"""
How a line with a key begins: people, and programs that look for secrets in the
wrong place, see what it is.
"""

MAXIMUM_SIZE: Final = 65536
"""
No key file is larger, in bytes.
"""

ROOT: Final = 0


@attrs.frozen
class KeyFile:
    """
    What is in a key file.

    @ivar lines: Its lines, comments too.
    @ivar keys: The keys, in their order, by the numbers of their lines.
    """

    lines: list[bytes] = attrs.field(repr=False)
    keys: dict[int, bytes] = attrs.field(repr=False)


def readKeyFile(path: str) -> KeyRing:
    """
    The keys of an application.

    @raise BadKeys: There is no such file, it is no key file, or others can read
        it.  The text is one line, which shows nothing of what is in it.
    """
    return KeyRing(_parsed(path, _contents(path)).keys.values())


def writeKeyFile(path: str, entropy: Callable[[int], bytes] = os.urandom) -> KeyRing:
    """
    Make a key file with one new key, that nobody else can read.

    @param entropy: Gives that many random bytes.
    @raise BadKeys: There is such a file already, or it cannot be written.
    """
    key = entropy(SHORTEST)
    ring = KeyRing(key)
    try:
        descriptor = _created(path)
    except FileExistsError:
        raise BadKeys(f"{path} is there already: --rotate puts a new key in front of it") from None
    with _filled(descriptor, path, path) as write:
        write([_line(key)])
    _sync(path)
    return ring


def rotateKeyFile(path: str, entropy: Callable[[int], bytes] = os.urandom) -> KeyRing:
    """
    Put a new key in front of those of a key file: it encrypts from now on.
    """
    return _replaced(path, lambda lines, keys: [_line(entropy(SHORTEST)), *lines])


def addToKeyFile(path: str, entropy: Callable[[int], bytes] = os.urandom) -> KeyRing:
    """
    Put a new key behind those of a key file: it decrypts, and does not encrypt
    yet.
    """
    return _replaced(path, lambda lines, keys: [*lines, _line(entropy(SHORTEST))])


def promoteInKeyFile(path: str) -> KeyRing:
    """
    Put the last key of a key file in front: it encrypts from now on.
    """

    def promoted(lines: list[bytes], keys: Sequence[int]) -> list[bytes]:
        if len(keys) == 1:
            raise BadKeys(f"{path} has one key only: --add adds another one")
        last = keys[-1]
        return [lines[last], *lines[:last], *lines[last + 1 :]]

    return _replaced(path, promoted)


def _replaced(path: str, change: Callable[[list[bytes], Sequence[int]], list[bytes]]) -> KeyRing:
    """
    Change a key file: whoever reads it gets the old one or the new one.

    @param change: Gets the lines and the numbers of those with keys.
    """
    try:
        path = os.path.realpath(path, strict=True)
    except OSError as e:
        raise _refusal(path, e) from None
    new = f"{path}.new"
    try:
        # Nobody else changes it while this is there.
        descriptor = _created(new)
    except FileExistsError:
        raise BadKeys(
            f"somebody else changes {path}: if nobody does, remove {new} and try again"
        ) from None
    with _filled(descriptor, new, path) as write:
        old = _parsed(path, _contents(path))
        lines = change(old.lines, list(old.keys))
        ring = KeyRing(_parsed(path, b"\n".join(lines)).keys.values())
        write(lines, os.stat(path))
        os.replace(new, path)
    _sync(path)
    return ring


def _contents(path: str) -> bytes:
    """
    What is in a key file, which nobody else can read.
    """
    try:
        link = os.lstat(path)
        # A pipe would be waited for.
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        try:
            _checkPlace(path, link, os.fstat(descriptor))
            text = _allOf(descriptor)
        finally:
            os.close(descriptor)
    except OSError as e:
        raise _refusal(path, e) from None
    if len(text) > MAXIMUM_SIZE:
        raise BadKeys(f"{path} is no key file: it is larger than {MAXIMUM_SIZE} bytes")
    return text


def _allOf(descriptor: int) -> bytes:
    """
    All of a file, or a little more than a key file may have.
    """
    text = b""
    while len(text) <= MAXIMUM_SIZE:
        more = os.read(descriptor, MAXIMUM_SIZE + 1)
        if not more:
            break
        text += more
    return text


def _checkPlace(path: str, link: os.stat_result, found: os.stat_result) -> None:
    """
    Refuse a file that others have put there, or can read.

    @param link: What is at the path, which may be a symbolic link.
    @param found: The file itself.
    """
    if not stat.S_ISREG(found.st_mode):
        raise BadKeys(f"{path} is no file")
    user = os.geteuid()
    for each, what in ((link, path), (found, f"what {path} leads to")):
        if each.st_uid not in (user, ROOT):
            raise BadKeys(f"{what} belongs to another user (number {each.st_uid}): use no such key")
    # Where root gives a key to a service, the service reads it by its group.
    forbidden = 0o077 if found.st_uid == user else 0o037
    if found.st_mode & forbidden:
        raise BadKeys(f"others can read {path}: chmod 600 it, and make new keys if any have")


def _parsed(path: str, text: bytes) -> KeyFile:
    """
    What is in a key file.

    @raise BadKeys: It is malformed; the text says in which line.
    """
    lines = text.split(b"\n")
    if lines and not lines[-1]:
        lines.pop()
    keys: dict[int, bytes] = {}
    for number, line in enumerate(lines):
        stripped = line.strip()
        if not stripped or stripped.startswith(b"#"):
            continue
        key = _key(stripped)
        if key is None:
            raise BadKeys(
                f"{path}, line {number + 1}: that is no key; python -m txsessions keygen makes "
                "key files"
            )
        if key in keys.values():
            raise BadKeys(f"{path}, line {number + 1}: that key is there twice; remove this line")
        keys[number] = key
    if not keys:
        raise BadKeys(f"{path} has no key in it: python -m txsessions keygen makes key files")
    return KeyFile(lines, keys)


def _line(key: bytes) -> bytes:
    """
    The line of a key.
    """
    return PREFIX + urlsafe_b64encode(key).rstrip(b"=")


def _key(line: bytes) -> bytes | None:
    """
    The key of a line, if it is one.
    """
    text = line[len(PREFIX) :]
    try:
        key = urlsafe_b64decode(text + b"=" * (-len(text) % 4))
    except ValueError:
        return None
    return key if SHORTEST <= len(key) <= LONGEST and _line(key) == line else None


def _created(path: str) -> int:
    """
    The descriptor of a new file that nobody else can read.

    @raise FileExistsError: It is there.
    """
    try:
        return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    except FileExistsError:
        raise
    except OSError as e:
        raise _refusal(path, e) from None


@contextmanager
def _filled(descriptor: int, new: str, path: str) -> Iterator[Callable[..., None]]:
    """
    Give what writes a new file; if anything goes wrong, it is removed.

    @param path: What it is to become.
    """

    def write(lines: Sequence[bytes], like: os.stat_result | None = None) -> None:
        # With the owner and the mode of what it replaces.
        if like is not None:
            os.fchown(descriptor, like.st_uid, like.st_gid)
            os.fchmod(descriptor, stat.S_IMODE(like.st_mode))
        with open(descriptor, "wb", closefd=False) as file:
            file.write(b"\n".join(lines) + b"\n")
        os.fsync(descriptor)

    try:
        yield write
    except BaseException as e:
        _remove(new)
        if isinstance(e, OSError):
            raise _refusal(path, e) from None
        raise
    finally:
        os.close(descriptor)


def _remove(path: str) -> None:
    """
    Remove what was written in vain.
    """
    with suppress(OSError):
        os.unlink(path)


def _sync(path: str) -> None:
    """
    Make the name of a file last, where that can be done.
    """
    with suppress(OSError):
        descriptor = os.open(os.path.dirname(path) or ".", os.O_RDONLY | os.O_CLOEXEC)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def _refusal(path: str, error: OSError) -> BadKeys:
    """
    The error for what the system refuses.
    """
    return BadKeys(f"{path}: {error.strerror or error}")
