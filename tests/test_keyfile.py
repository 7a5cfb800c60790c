"""
Tests for L{txsessions.keyfile}.
"""

from __future__ import annotations

import os
import stat
from base64 import urlsafe_b64encode
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from txsessions import keyfile
from txsessions.keyfile import (
    PREFIX,
    addToKeyFile,
    promoteInKeyFile,
    readKeyFile,
    rotateKeyFile,
    writeKeyFile,
)
from txsessions.keys import BadKeys, Key, KeyRing

KEY = b"canary-canary-canary-canary-key!"

LINE = PREFIX + urlsafe_b64encode(KEY).rstrip(b"=")


@pytest.fixture
def path(tmp_path: Path) -> str:
    """
    Where the key file is.
    """
    return str(tmp_path / "keys")


def written(path: str, text: bytes, mode: int = 0o600) -> str:
    """
    A file with this text.
    """
    Path(path).write_bytes(text)
    os.chmod(path, mode)
    return path


def refused(path: str, read: Callable[[str], Any] = readKeyFile) -> str:
    """
    The one line with which a file is refused, that shows nothing of what is in it.
    """
    with pytest.raises(BadKeys) as caught:
        read(path)
    line = str(caught.value)
    assert "\n" not in line
    assert "canary" not in line and LINE[len(PREFIX) : len(PREFIX) + 8].decode() not in line
    return line


def idsOf(ring: KeyRing) -> list[bytes]:
    """
    What the keys of a ring are known by, in their order.
    """
    return list(ring._keys)


def test_write(path: str) -> None:
    """
    A new file has one random key, in one line that says what it is, and nobody else can read it,
    whatever the process gives to others otherwise.
    """
    before = os.umask(0)
    try:
        ring = writeKeyFile(path)
    finally:
        os.umask(before)
    assert stat.S_IMODE(os.stat(path).st_mode) == 0o600
    text = Path(path).read_bytes()
    assert text.startswith(PREFIX) and text.count(b"\n") == 1
    assert idsOf(readKeyFile(path)) == idsOf(ring)
    assert len({writeKeyFile(f"{path}{number}").first.id for number in range(20)}) == 20


def test_writeNotOver(path: str) -> None:
    """
    What is there stays there, a symbolic link to nowhere too.
    """
    written(path, b"precious")
    assert "is there already" in refused(path, writeKeyFile)
    assert Path(path).read_bytes() == b"precious"
    os.symlink("/nonexistent/place", f"{path}.link")
    assert "is there already" in refused(f"{path}.link", writeKeyFile)
    assert "No such file" in refused("/nonexistent/place/keys", writeKeyFile)


def test_comments(path: str) -> None:
    """
    Empty lines and comments say nothing, nor do line ends of other systems; the newest is first.
    """
    other = PREFIX + urlsafe_b64encode(b"k" * 64).rstrip(b"=")
    written(path, b"# of a site\r\n\r\n " + LINE + b" \r\n# older\n" + other)
    assert idsOf(readKeyFile(path)) == [Key(KEY).id, Key(b"k" * 64).id]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (b"", "has no key in it"),
        (b"\n# nothing\n", "has no key in it"),
        (KEY + b"\n", "line 1: that is no key"),
        (LINE + b"\n\n" + LINE[len(PREFIX) :], "line 3: that is no key"),
        (LINE + b"\n" + LINE + b"\n", "line 2: that key is there twice"),
        (LINE[:-1], "line 1: that is no key"),
        (LINE + b"=", "line 1: that is no key"),
        (LINE + b"!", "line 1: that is no key"),
        (LINE.swapcase(), "line 1: that is no key"),
        (PREFIX + urlsafe_b64encode(KEY[:31]).rstrip(b"="), "line 1: that is no key"),
        (PREFIX + urlsafe_b64encode(KEY * 3).rstrip(b"="), "line 1: that is no key"),
        (b"\xff\x00" + KEY, "line 1: that is no key"),
        (LINE + b" # a remark\n", "line 1: that is no key"),
        (b"#" * 70000, "larger than 65536 bytes"),
    ],
    # The name of the test is in the path.
    ids=range(14),
)
def test_malformed(path: str, text: bytes, said: str) -> None:
    """
    What is no key file is refused, with the number of the line.
    """
    written(path, text)
    assert said in refused(path)
    for change in (rotateKeyFile, addToKeyFile, promoteInKeyFile):
        assert said in refused(path, change)
    assert Path(path).read_bytes() == text


@pytest.mark.parametrize("mode", [0o644, 0o640, 0o604, 0o602, 0o620, 0o601, 0o666])
def test_othersCanRead(path: str, mode: int) -> None:
    """
    A file that others can read, or change, is refused, and the line says what to do.
    """
    written(path, LINE, mode)
    assert "chmod 600" in refused(path)
    os.chmod(path, 0o400)
    assert len(readKeyFile(path)) == 1


def test_rootsFile(path: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """
    Root may give a file to a service by its group, and to nobody else.
    """
    written(path, LINE, 0o640)
    if os.stat(path).st_uid != 0:
        pytest.skip("only root can make a file of root's")
    monkeypatch.setattr(os, "geteuid", lambda: 4711)
    assert len(readKeyFile(path)) == 1
    for mode in (0o644, 0o660):
        os.chmod(path, mode)
        assert "chmod 600" in refused(path)


def test_foreign(path: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """
    A file of somebody else's is refused, and a symbolic link that somebody else has made or that
    leads to such a file; one of one's own is followed.
    """
    written(path, LINE)
    link = f"{path}.link"
    os.symlink(path, link)
    assert len(readKeyFile(link)) == 1
    if os.geteuid() != 0:
        pytest.skip("only root can make files of somebody else's")
    os.lchown(link, 4711, 4711)
    assert "another user (number 4711)" in refused(link)
    os.lchown(link, 0, 0)
    os.chown(path, 4711, 4711)
    assert "another user (number 4711)" in refused(link)
    assert "another user (number 4711)" in refused(path)


def test_noFile(path: str) -> None:
    """
    What is no file is refused and not waited for.
    """
    assert "No such file" in refused(path)
    assert "No such file" in refused(path, rotateKeyFile)
    os.mkfifo(path, 0o600)
    assert "is no file" in refused(path)
    assert "is no file" in refused("/")
    assert "is no file" in refused("/dev/null")


def test_rotate(path: str) -> None:
    """
    A new key comes in front, the others stay, with what is said of them and with owner and mode.
    """
    written(path, b"# of a site\n" + LINE, 0o400)
    ring = rotateKeyFile(path)
    assert idsOf(ring) == [ring.first.id, Key(KEY).id] == idsOf(readKeyFile(path))
    assert Path(path).read_bytes().endswith(b"\n# of a site\n" + LINE + b"\n")
    assert stat.S_IMODE(os.stat(path).st_mode) == 0o400
    assert os.listdir(os.path.dirname(path)) == ["keys"]


def test_twoSteps(path: str) -> None:
    """
    For several processes a key comes behind first, and then in front.
    """
    old = writeKeyFile(path).first.id
    assert "--add adds" in refused(path, promoteInKeyFile)
    ring = addToKeyFile(path)
    assert ring.first.id == old and len(ring) == 2
    assert idsOf(promoteInKeyFile(path)) == idsOf(ring)[::-1] == idsOf(readKeyFile(path))


def test_rotateLink(path: str) -> None:
    """
    Where the path is a symbolic link, the file is changed and the link stays.
    """
    written(path, LINE)
    link = f"{path}.link"
    os.symlink("keys", link)
    rotateKeyFile(link)
    assert os.path.islink(link) and len(readKeyFile(path)) == 2


def test_crash(path: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """
    Whoever reads it while it is changed gets the old one; and if it cannot be changed it stays
    as it is, with nothing left beside it.
    """
    written(path, LINE)

    def fails(*arguments: Any) -> None:
        assert len(readKeyFile(path)) == 1
        raise OSError(28, "No space left on device")

    for name in ("replace", "fsync"):
        with monkeypatch.context() as patch:
            patch.setattr(os, name, fails)
            assert "No space left" in refused(path, rotateKeyFile)
        assert os.listdir(os.path.dirname(path)) == ["keys"]
    assert Path(path).read_bytes() == LINE


def test_oneAtATime(path: str) -> None:
    """
    Of two who change it at the same time one is told so, and none loses the other's key.
    """
    written(path, LINE)

    def entropy(count: int) -> bytes:
        for change in (rotateKeyFile, addToKeyFile, promoteInKeyFile):
            assert "somebody else changes" in refused(path, change)
        return os.urandom(count)

    assert len(rotateKeyFile(path, entropy)) == 2
    assert len(rotateKeyFile(path)) == 3


def test_noEntropy(path: str) -> None:
    """
    Where there is no randomness no key is made, and nothing is left behind.
    """
    written(path, LINE)

    def fails(count: int) -> bytes:
        raise OSError("no randomness")

    for change in (rotateKeyFile, addToKeyFile):
        with pytest.raises(BadKeys, match="no randomness"):
            change(path, fails)
    with pytest.raises(OSError, match="no randomness"):
        writeKeyFile(f"{path}2", fails)
    assert os.listdir(os.path.dirname(path)) == ["keys"]


def test_control(path: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """
    The same finds a reader that looks at nothing (broken on purpose).
    """
    written(path, LINE, 0o644)
    monkeypatch.setattr(keyfile, "_checkPlace", lambda *arguments: None)
    with pytest.raises(pytest.fail.Exception):
        refused(path)
