"""
Tests for L{txsessions.cli}: the commands C{keygen}, C{rekey} and C{end}.
"""

from __future__ import annotations

import json
import os
import signal
import stat
from pathlib import Path
from typing import Any

import pytest
import pytest_twisted
from servers import RedisServer, until
from test_cli import command, done, made, newRecords, onTerminal, refused, summary, within
from test_copying import content, newRecord, sidOf

from txsessions.cli.keys import RESUMABLE
from txsessions.cli.main import main
from txsessions.envelope import Envelopes, State
from txsessions.errors import SessionEnded
from txsessions.keyfile import readKeyFile, writeKeyFile
from txsessions.keys import KeyRing
from txsessions.lifetime import REVOKED
from txsessions.record import Record
from txsessions.stores.recordcipher import RecordCipher

STORE = ("--store", "sqlite:a.db")


def encrypted(records: list[Record], *keys: bytes) -> list[Record]:
    """
    Sessions as they are in a store that is encrypted.
    """
    cipher = RecordCipher(Envelopes(KeyRing(keys), os.urandom), lambda: False)
    return [cipher.close(record) for record in records]


async def decrypted(text: str, path: Path) -> dict[str, Record]:
    """
    What is in a store, for who has a key file.
    """
    cipher = RecordCipher(Envelopes(readKeyFile(str(path)), os.urandom), lambda: False)
    found = await within(text, content)
    return {sid: cipher.open(record) for sid, record in found.items()}


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["keygen"], "say which file, and nothing else"),
        (["keygen", "a", "b"], "say which file, and nothing else"),
        (["keygen", "--rotate", "--add", "a"], "only one of --rotate, --add and --promote goes"),
        (["rekey", *STORE], "--key-file is missing"),
        (["rekey", "--key-file", "keys"], "--store is missing"),
        (["end", *STORE, "--yes"], "say which sessions: --key OWNER, --all, or their handles"),
        (["end", *STORE, "--all", "--key", "anna"], "say which sessions"),
        (["end", *STORE, "--all", sidOf(1)], "say which sessions"),
        (["end", *STORE, sidOf(1), "0" * 64], "handle 2 is no handle: the command sessions"),
        (["end", "--all", "--yes"], "--store is missing"),
    ],
)
def test_wrongOptions(arguments: list[str], said: str) -> None:
    """
    A command line that is wrong is told in one line.
    """
    with pytest.raises(SystemExit) as caught:
        main(arguments)
    line = str(caught.value)
    assert line.startswith("txsessions: ") and "\n" not in line
    assert said in line
    assert "0" * 64 not in line


def test_keygen(tmp_path: Path) -> None:
    """
    C{keygen} makes a file that nobody else can read, says by which name the key is known and
    nothing more of it, and does not do it twice.
    """
    said = done(tmp_path, "keygen", "keys")
    path = tmp_path / "keys"
    id = readKeyFile(str(path)).first.id.hex()
    assert said == f"keys: 1 key, encrypting with {id}\n"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    text = path.read_bytes()
    assert "is there already" in refused(tmp_path, "keygen", "keys")
    assert path.read_bytes() == text


def test_rotate(tmp_path: Path) -> None:
    """
    C{--rotate} puts a new key in front; C{--add} and C{--promote} do so in two steps.
    """
    done(tmp_path, "keygen", "keys")
    path = str(tmp_path / "keys")
    first = readKeyFile(path).first.id
    assert done(tmp_path, "keygen", "--rotate", "keys").startswith("keys: 2 keys, encrypting with")
    second = readKeyFile(path).first.id
    assert second != first
    done(tmp_path, "keygen", "--add", "keys")
    assert readKeyFile(path).first.id == second
    done(tmp_path, "keygen", "--promote", "keys")
    assert readKeyFile(path).first.id not in (first, second)
    assert len(readKeyFile(path)) == 3
    os.chmod(path, 0o644)
    assert "chmod 600" in refused(tmp_path, "keygen", "--rotate", "keys")


def test_withoutLibrary(tmp_path: Path) -> None:
    """
    Without the library one line says what to install, and no file is made.
    """
    (tmp_path / "without").mkdir()
    (tmp_path / "without" / "cryptography.py").write_text("raise ImportError\n")
    environment = {"PYTHONPATH": str(tmp_path / "without")}
    with command(tmp_path, "keygen", "keys", **environment) as process:
        assert process.wait() == 1
        assert process.errors == (
            "txsessions: keys need the library cryptography: pip install 'txsessions[crypto]'\n"
        )
    assert not (tmp_path / "keys").exists()


@pytest.mark.parametrize(
    ("text", "said"),
    [(None, "No such file"), (b"nonsense", "line 1: that is no key"), (b"", "has no key in it")],
)
def test_badKeyFile(tmp_path: Path, text: bytes | None, said: str) -> None:
    """
    A key file that cannot be used is told in one line, before the store is touched.
    """
    if text is not None:
        (tmp_path / "keys").write_bytes(text)
        (tmp_path / "keys").chmod(0o600)
    line = refused(tmp_path, "rekey", *STORE, "--key-file", "keys")
    assert line.startswith("--key-file: ") and said in line
    assert "nonsense" not in line


@pytest_twisted.ensureDeferred
async def test_rekey(tmp_path: Path) -> None:
    """
    C{rekey} encrypts all sessions with the newest key, and says what it did, to people or to
    scripts.
    """
    done(tmp_path, "keygen", "keys")
    path = tmp_path / "keys"
    text = f"sqlite:{tmp_path}/a.db"
    await made(text, newRecords(20))
    options = ("rekey", *STORE, "--key-file", "keys")
    with command(tmp_path, *options) as process:
        assert process.wait() == 1
        assert process.output == "sessions: 20 not encrypted, left alone\n"
        *named, more, last = process.errors.splitlines()
    assert len(named) == 10 and more.endswith("… and more")
    assert last == "txsessions: 20 sessions are not encrypted with the newest key"
    assert done(tmp_path, *options, "--plain") == ("sessions: 20 encrypted with the newest key\n")
    done(tmp_path, "keygen", "--rotate", "keys")
    assert summary(done(tmp_path, *options, "--json")) == {"rekeyed": 20, "complete": True}
    assert done(tmp_path, *options) == "sessions: 20 as they should be already\n"
    path.write_bytes(path.read_bytes().splitlines()[0])
    found = await decrypted(text, path)
    assert {sid: record.attributes for sid, record in found.items()} == {
        record.sid: record.attributes for record in newRecords(20)
    }


@pytest_twisted.ensureDeferred
async def test_unknownKey(tmp_path: Path) -> None:
    """
    What is under a key that is not in the file is left as it is, and told.
    """
    text = f"sqlite:{tmp_path}/a.db"
    await made(text, encrypted(newRecords(2), os.urandom(32)))
    before = await within(text, content)
    writeKeyFile(str(tmp_path / "keys"))
    with command(tmp_path, "rekey", *STORE, "--key-file", "keys", "--json") as process:
        assert process.wait() == 1
        assert summary(process.output) == {"unknown": 2, "complete": True}
        assert process.errors.count("add it to the keys") == 2
        assert "Traceback" not in process.errors
    assert await within(text, content) == before


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT])
@pytest_twisted.ensureDeferred
async def test_stopped(tmp_path: Path, run: Any, number: int) -> None:
    """
    One that is stopped in the midst of it leaves whole sessions, each under one key; the same
    command goes on, and all sessions are as they were.
    """
    server = await run(RedisServer(tmp_path / "redis"))
    text = f"redis:port={server.port}"
    keys, records = str(tmp_path / "keys"), newRecords(6000)
    old, new = os.urandom(32), os.urandom(32)
    await made(text, encrypted(records, old))
    (tmp_path / "keys").write_bytes(b"")
    _keyFile(tmp_path / "keys", new, old)
    options = ("rekey", "--store", text, "--key-file", keys, "--quiet")
    saves = server.calls("evalsha")
    with command(tmp_path, *options) as process:
        await until(lambda: server.calls("evalsha") > saves + 300, "something is encrypted")
        process.signal(number)
        status = process.wait()
        assert status == (-number if number == signal.SIGKILL else 1)
        if number == signal.SIGINT:
            assert process.errors == f"txsessions: interrupted; {RESUMABLE}\n"
    envelopes = Envelopes(KeyRing(new, old), os.urandom)
    counts = {State.CURRENT: 0, State.OLDER: 0}
    for record in (await within(text, content)).values():
        (state,) = {envelopes.state(value) for value in record.attributes.values()}
        counts[state] += 1
    assert counts[State.CURRENT] and counts[State.OLDER]
    facts = summary(done(tmp_path, *options, "--json"))
    assert facts["complete"] and facts["current"] == counts[State.CURRENT]
    _keyFile(tmp_path / "keys", new)
    found = await decrypted(text, tmp_path / "keys")
    assert {sid: record.attributes for sid, record in found.items()} == {
        record.sid: record.attributes for record in records
    }


def _keyFile(path: Path, *keys: bytes) -> None:
    """
    A file with these keys.
    """
    from txsessions.keyfile import _line

    path.write_bytes(b"\n".join(map(_line, keys)))
    path.chmod(0o600)


@pytest_twisted.ensureDeferred
async def test_bar(tmp_path: Path) -> None:
    """
    On a terminal a bar shows how far it is; not with C{--quiet}.
    """
    writeKeyFile(str(tmp_path / "keys"))
    await made(f"sqlite:{tmp_path}/a.db", newRecords(10))
    options = ("rekey", *STORE, "--key-file", "keys", "--plain")
    shown = onTerminal(tmp_path, *options)
    assert "Encrypting" in shown
    assert shown.endswith("sessions: 10 encrypted with the newest key\r\n")
    assert onTerminal(tmp_path, *options, "--quiet") == (
        "sessions: 10 as they should be already\r\n"
    )


@pytest_twisted.ensureDeferred
async def test_endAsks(tmp_path: Path) -> None:
    """
    C{end} does nothing without C{--yes}, and says so in one line.
    """
    text = f"sqlite:{tmp_path}/a.db"
    await made(text, newRecords(3))
    for which in (("--all",), ("--key", "Zoë 1"), (sidOf(1),)):
        assert "say --yes as well" in refused(tmp_path, "end", *STORE, *which)
    assert len(await within(text, content)) == 3
    line = refused(tmp_path, "end", "--store", "sqlite:no.db", "--all", "--yes")
    assert "there is no no.db" in line and not (tmp_path / "no.db").exists()


@pytest.mark.parametrize("store", ["sqlite:a.db", "json:a"])
@pytest_twisted.ensureDeferred
async def test_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, store: str) -> None:
    """
    C{end} ends sessions by their handles, those of an owner, or all, as revoked; whatever they
    are encrypted with; and says how many.
    """
    monkeypatch.chdir(tmp_path)
    owners = ["anna", "Zoë: ñ", "anna", None, "bert", "bert"]
    records = [newRecord(number, sessionKey=owner) for number, owner in enumerate(owners)]
    await made(store, encrypted(records, os.urandom(32)))
    options = ("end", "--store", store, "--yes")
    assert done(tmp_path, *options, sidOf(4), sidOf(99)) == "1 sessions ended\n"
    with pytest.raises(SessionEnded) as caught:
        await within(store, lambda opened: opened.loadSession(sidOf(4)))
    assert caught.value.reason == REVOKED
    assert done(tmp_path, *options, "--key", "nobody") == "0 sessions ended\n"
    assert json.loads(done(tmp_path, *options, "--key", "anna", "--json")) == {"ended": 2}
    assert done(tmp_path, *options, "--key", "Zoë: ñ") == "1 sessions ended\n"
    assert (await within(store, content)).keys() == {sidOf(3), sidOf(5)}
    assert done(tmp_path, *options, "--all") == "2 sessions ended\n"
    assert await within(store, content) == {}


@pytest_twisted.ensureDeferred
async def test_endMany(tmp_path: Path) -> None:
    """
    C{end --all} ends any number of them.
    """
    await made(f"sqlite:{tmp_path}/a.db", newRecords(3000))
    with command(tmp_path, "end", *STORE, "--all", "--yes") as process:
        assert process.wait() == 0
        assert process.output == "3,000 sessions ended\n"


@pytest_twisted.ensureDeferred
async def test_storeDown(tmp_path: Path) -> None:
    """
    A store that is down is told in one line.
    """
    writeKeyFile(str(tmp_path / "keys"))
    down = ("--store", "redis:port=1:timeout=1")
    assert "127.0.0.1:1" in refused(tmp_path, "rekey", *down, "--key-file", "keys", "--quiet")[:200]
    assert "0 sessions had been ended" in refused(tmp_path, "end", *down, "--all", "--yes")
