"""
Tests for L{txsessions.cli}: C{python -m txsessions}.
"""

from __future__ import annotations

import json
import os
import pty
import select
import signal
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import attrs
import pytest
import pytest_twisted
from processes import PATIENCE, Process
from servers import RedisServer, until
from test_copying import content, fill, isLike, newRecord, sidOf
from twisted.internet import reactor
from twisted.logger import Logger, capturedLogs
from twisted.python.failure import Failure

from txsessions.cli.commands import RESUMABLE
from txsessions.cli.main import main, tell
from txsessions.errors import StoreUnavailable
from txsessions.interfaces import IConnectedStore
from txsessions.record import Record
from txsessions.stores.opening import openStore

TORN = """
import json, os
from txsessions.stores import SessionStore

class TornStore(SessionStore):
    def __init__(self, directory):
        self._directory = directory
        os.makedirs(directory, exist_ok=True)
    def _path(self, sid):
        return os.path.join(self._directory, sid)
    def loadSession(self, sid, default=None):
        try:
            with open(self._path(sid)) as file:
                return json.load(file)
        except FileNotFoundError:
            return default
    def saveSession(self, record):
        text = json.dumps(record).encode()
        file = os.open(self._path(record["sid"]), os.O_CREAT | os.O_WRONLY)
        for half in (text[:9], text[9:]):
            os.write(file, half)
            os.fsync(file)
        os.close(file)
    def deleteSession(self, sid):
        os.unlink(self._path(sid))
    def iterSessions(self):
        return [self.loadSession(sid) for sid in os.listdir(self._directory)]
"""
"""
A store whose records are there in part.
"""


def command(directory: Path, *arguments: str, **environment: str) -> Process:
    """
    The command line in a process of its own.
    """
    return Process([sys.executable, "-m", "txsessions", *arguments], directory, environment)


def done(directory: Path, *arguments: str, **environment: str) -> str:
    """
    What a command writes that does what it should, and says nothing else.
    """
    with command(directory, *arguments, **environment) as process:
        assert process.wait() == 0, process.errors
        assert process.errors == ""
        return process.output


def refused(directory: Path, *arguments: str) -> str:
    """
    The one line with which a command is refused.
    """
    with command(directory, *arguments) as process:
        assert process.wait() == 1
        assert process.output == ""
        assert process.errors.startswith("txsessions: ") and process.errors.count("\n") == 1
        return process.errors.removeprefix("txsessions: ").rstrip("\n")


async def within(text: str, function: Callable[[Any], Awaitable[Any]]) -> Any:
    """
    What comes of doing something with a store, that is closed then.
    """
    store = openStore(text, reactor)
    try:
        return await function(store)
    finally:
        if IConnectedStore.providedBy(store):
            await store.close()


async def made(text: str, records: list[Record]) -> None:
    """
    Make a store with some sessions.
    """
    await within(text, lambda store: fill(store, records))


def newRecords(count: int) -> list[Record]:
    """
    Some sessions.
    """
    return [newRecord(number) for number in range(count)]


def summary(text: str) -> dict[str, Any]:
    """
    What a copy says with C{--json}, without what is nought.
    """
    return {name: value for name, value in json.loads(text).items() if value}


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([], "say what to do: copy, sessions, delete-old, setup, end, keygen, rekey; --help"),
        (["nonsense"], "Unknown command: nonsense"),
        (["--nonsense"], "option --nonsense not recognized"),
        (["copy", "--from", "a"], "--to is missing"),
        (["copy", "--to", "a"], "--from is missing"),
        (["copy", "--from", "a", "--to", "a"], "--from and --to are the same"),
        (["copy", "stray"], "Wrong number of arguments."),
        (["copy", "--verify", "--no-verify", "--from=a", "--to=b"], "only one of --verify and"),
        (["copy", "--delete-extra", "--no-verify", "--from=a", "--to=b"], "--delete-extra does"),
        (["sessions"], "--store is missing"),
        (["delete-old", "--store", "sqlite:a"], "--minutes is missing"),
        (["setup"], "--store is missing"),
        *(
            (["delete-old", "--store", "a", "--minutes", text], f"{text!r} is no number of minutes")
            for text in ("0", "-1", "nan", "inf", "soon")
        ),
    ],
)
def test_wrongOptions(arguments, said):
    """
    A command line that is wrong is told in one line.
    """
    with pytest.raises(SystemExit) as caught:
        main(arguments)
    line = str(caught.value)
    assert line.startswith("txsessions: ") and "\n" not in line
    assert said in line


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["sessions", "--store", "nonsense"], "--store: there is no store of the kind 'nonsense'"),
        (["sessions", "--store", "sqlite:secret=hunter2"], "--store: sqlite: it is written"),
        (["sessions", "--store", "memory"], "--store: only the process that keeps sessions in"),
        (["sessions", "--store", "sqlite:no.db"], "--store: there is no no.db; the command setup"),
        (["delete-old", "--store", "json:no", "--minutes", "1"], "--store: there is no no;"),
        (["copy", "--from", "json:no", "--to", "sqlite:new.db"], "--from: there is no no;"),
        (["copy", "--from", "nonsense", "--to", "sqlite:new.db"], "--from: there is no store of"),
        (["copy", "--from", "sqlite:old.db", "--to", "memory"], "--to: only the process that"),
        (["copy", "--from", "sqlite:old.db", "--to", "sqlite:/proc/x.db"], "/proc/x.db cannot"),
        (["setup", "--store", "json:/proc/x"], "/proc/x"),
        (["setup", "--store", "sqlite:foreign"], "foreign"),
        (["setup", "--store", "redis:port=1:timeout=1"], "127.0.0.1:1"),
    ],
)
@pytest_twisted.ensureDeferred
async def test_refused(tmp_path, arguments, said):
    """
    A store that cannot be used is told in one line, with exit status 1; nothing is
    made where something is missing, and what is no store is left alone.
    """
    (tmp_path / "foreign").write_text("this is no store")
    await made(f"sqlite:{tmp_path}/old.db", newRecords(1))
    line = refused(tmp_path, *arguments)
    assert said in line
    assert "hunter2" not in line
    assert (tmp_path / "foreign").read_text() == "this is no store"
    assert not [name for name in ("no", "no.db", "new.db") if (tmp_path / name).exists()]


def test_help(tmp_path):
    """
    C{--help} tells of the commands, and of the options of each; C{--help-stores}
    of the stores.
    """
    told = done(tmp_path, "--help")
    assert "delete-old" in told
    assert "C{" not in told
    shown = done(tmp_path, "copy", "--help")
    assert shown.startswith("Usage: python -m txsessions copy [options]\n")
    assert "--no-verify" in shown
    assert "sqlite:PATH" in done(tmp_path, "sessions", "--help-stores")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="the machine has no full device")
@pytest_twisted.ensureDeferred
async def test_outputFull(tmp_path: Path) -> None:
    """
    A disk on which nothing more can be written is told in one line.
    """
    await made(f"sqlite:{tmp_path / 'x.db'}", newRecords(3))
    for arguments in (["sessions"], ["sessions", "--json"], ["delete-old", "--minutes", "5"]):
        with open("/dev/full", "wb") as full:
            ended = subprocess.run(
                [sys.executable, "-m", "txsessions", *arguments, "--store", "sqlite:x.db"],
                cwd=tmp_path,
                stdout=full,
                stderr=subprocess.PIPE,
                text=True,
                timeout=60,
                check=False,
            )
        assert ended.returncode == 1
        assert ended.stderr == "txsessions: standard output: No space left on device\n"


@pytest_twisted.ensureDeferred
async def test_copy(tmp_path):
    """
    C{copy} copies, and says what it did, to people or to scripts; again, it has
    nothing to do.
    """
    records = newRecords(20)
    await made(f"sqlite:{tmp_path}/a.db", records)
    options = ("copy", "--from", "sqlite:a.db", "--to", "json:b")
    assert done(tmp_path, *options) == "sessions: 20 copied\n"
    assert isLike(await within(f"json:{tmp_path}/b", content), records)
    facts = {"present": 20, "complete": True}
    assert summary(done(tmp_path, *options, "--json")) == {**facts, "verified": True}
    assert summary(done(tmp_path, *options, "--json", "--no-verify")) == facts


@pytest_twisted.ensureDeferred
async def test_copyNothing(tmp_path):
    """
    A source without sessions is told.
    """
    await made(f"sqlite:{tmp_path}/a.db", [])
    said = done(tmp_path, "copy", "--from", "sqlite:a.db", "--to", "json:b")
    assert said == "sessions: the source has none\n"


@pytest_twisted.ensureDeferred
async def test_copyFails(tmp_path):
    """
    Sessions that are not copied are named, but not all of a great many; the
    others are copied, and the exit status is 1.
    """
    records = newRecords(20)
    await made(f"sqlite:{tmp_path}/a.db", records)
    others = [attrs.evolve(record, created=1.0) for record in records[:15]]
    await made(f"json:{tmp_path}/b", others)
    with command(tmp_path, "copy", "--from", "sqlite:a.db", "--to", "json:b") as process:
        assert process.wait() == 1
        assert process.output == "sessions: 5 copied; 15 not copied\n"
        *named, more, last = process.errors.splitlines()
    assert len(named) == 10 and all(line.endswith("under its handle") for line in named)
    assert (more, last) == ("txsessions: … and more", "txsessions: 15 sessions were not copied")


@pytest_twisted.ensureDeferred
async def test_damaged(tmp_path):
    """
    What is damaged in the source is told in one line, and the rest is copied.
    """
    await made(f"json:{tmp_path}/a", newRecords(3))
    (damaged,) = tmp_path.glob(f"a/**/{sidOf(1)}*")
    damaged.write_text("{")
    with command(tmp_path, "copy", "--from", "json:a", "--to", "sqlite:b.db") as process:
        assert process.wait() == 0
        assert process.output == "sessions: 2 copied\n"
        assert f"the record of session {sidOf(1)} is damaged" in process.errors
        assert process.errors.count("\n") == 1


@pytest_twisted.ensureDeferred
async def test_sessions(tmp_path):
    """
    C{sessions} lists handles, times and owners; no owner can drive the terminal,
    and neither tokens nor data are shown.
    """
    records = [
        newRecord(1, created=1767225600.0, lastModified=time.time(), absoluteTimeout=None),
        newRecord(2, sessionKey="Zoë\x1b[2J\n", lastModified=time.time()),
        newRecord(3, sessionKey=None),
    ]
    await made(f"sqlite:{tmp_path}/a.db", records)
    shown = done(tmp_path, "sessions", "--store", "sqlite:a.db")
    head, *lines = shown.splitlines()
    assert head.split() == ["session", "began", "last", "seen", "owner"]
    assert sorted(line.split()[0] for line in lines) == [record.sid for record in records]
    assert f"{sidOf(1)}  2026-01-01T00:00:00Z  " in shown
    assert "  Zoë\\x1b[2J\\n\n" in shown and "\x1b" not in shown
    assert "\\u0000" not in shown
    listed = done(tmp_path, "sessions", "--store", "sqlite:a.db", "--json").splitlines()
    assert sorted(map(json.loads, listed), key=lambda facts: facts["sid"]) == [
        {
            "sid": record.sid,
            "sessionKey": record.sessionKey,
            "created": record.created,
            "lastModified": record.lastModified,
        }
        for record in records
    ]


@pytest_twisted.ensureDeferred
async def test_readInPart(tmp_path):
    """
    Whoever reads the beginning of a long list and no more gets no complaint.
    """
    await made(f"sqlite:{tmp_path}/a.db", newRecords(3000))
    process = subprocess.Popen(
        [sys.executable, "-m", "txsessions", "sessions", "--store", "sqlite:a.db"],
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    assert process.stdout.readline().startswith(b"session")
    process.stdout.close()
    assert process.stderr.read() == b""
    process.stderr.close()
    assert process.wait(PATIENCE) == 0


def test_logged(capsys):
    """
    A warning is told in one line, an error of this program with its traceback;
    what a connection says again and again is not.
    """
    with capturedLogs() as events:
        Logger("txsessions.redis.link").warn("refused; trying again")
        Logger("txsessions.stores").info("nothing of interest")
        Logger("txsessions.stores").warn("no append-only\nfile")
        Logger("txsessions.stores").failure("lost", Failure(StoreUnavailable("it is\ndown")))
        Logger("txsessions.stores").failure("a mistake", Failure(ZeroDivisionError()))
    for event in events:
        tell(event)
    lines = capsys.readouterr().err.splitlines()
    assert lines[:2] == ["txsessions: no append-only file", "txsessions: lost: it is down"]
    assert lines[2] == "txsessions: a mistake"
    assert "ZeroDivisionError" in "".join(lines[3:])


@pytest_twisted.ensureDeferred
async def test_deleteOld(tmp_path):
    """
    C{delete-old} ends what nobody has used for so long, and says how many.
    """
    now = time.time()
    ages = [100, 200, 300]
    records = [newRecord(n, lastModified=now - 60 * age) for n, age in enumerate(ages)]
    await made(f"sqlite:{tmp_path}/a.db", records)
    options = ("delete-old", "--store", "sqlite:a.db", "--minutes")
    assert done(tmp_path, *options, "250.5") == "1 sessions ended\n"
    assert json.loads(done(tmp_path, *options, "150", "--json")) == {"ended": 1}
    assert set(await within(f"sqlite:{tmp_path}/a.db", content)) == {sidOf(0)}


def test_setup(tmp_path):
    """
    C{setup} makes a store, and leaves alone what is there.
    """
    for _ in range(2):
        assert done(tmp_path, "setup", "--store", "sqlite:a.db") == ""
        assert (tmp_path / "a.db").exists()
    assert done(tmp_path, "sessions", "--store", "sqlite:a.db") == ""


async def isBegun(store: Any, count: int = 1) -> bool:
    """
    Whether so many are in a store.
    """
    async for _ in store.iterSessions():
        count -= 1
        if count <= 0:
            return True
    return False


def isUnderWay(store: Any) -> Any:
    """
    Whether there are more in a store than are copied at a time, so that the copy
    knows of some.
    """
    return isBegun(store, 500)


async def stopped(
    directory: Path, to: str, number: int, look: Callable[[], Any]
) -> tuple[int, str]:
    """
    Begin a copy, and stop it by a signal in the midst of it.

    @param look: Whether something has been copied.
    @return: Its exit status, and what it wrote on standard error.
    """
    options = ("copy", "--from", "sqlite:source.db", "--to", to)
    with command(directory, *options, PYTHONPATH=str(directory)) as process:
        await until(look, "something is copied")
        process.signal(number)
        return process.wait(), process.errors


async def resumed(directory: Path, to: str, records: list[Record], number: int) -> tuple[int, str]:
    """
    Stop a copy in the midst of it, look at what is there, and go on.

    @return: As L{stopped}.
    """
    await made(f"sqlite:{directory}/source.db", records)
    await within(to, lambda store: store.setup())
    end = await stopped(directory, to, number, lambda: within(to, isBegun))
    copies = await within(to, content)
    assert 0 < len(copies) < len(records)
    assert isLike(copies, [record for record in records if record.sid in copies])
    options = ("copy", "--from", "sqlite:source.db", "--to", to, "--json", "--quiet")
    facts = summary(done(directory, *options))
    assert facts["complete"] and facts["verified"]
    assert facts["present"] == len(copies)
    assert facts["copied"] == len(records) - len(copies)
    assert isLike(await within(to, content), records)
    return end


@pytest.mark.parametrize(("to", "count"), [("json:target", 2000), ("sqlite:target.db", 20000)])
@pytest_twisted.ensureDeferred
async def test_killed(tmp_path, monkeypatch, to, count):
    """
    A copy that is killed (C{kill -9}) leaves whole sessions only, and the same
    command copies the others.
    """
    monkeypatch.chdir(tmp_path)
    status, _ = await resumed(tmp_path, to, newRecords(count), signal.SIGKILL)
    assert status == -signal.SIGKILL


@pytest_twisted.ensureDeferred
async def test_killedToRedis(tmp_path, monkeypatch, run):
    """
    So does one to Redis.
    """
    monkeypatch.chdir(tmp_path)
    server = await run(RedisServer(tmp_path / "redis", "--appendonly", "yes"))
    to = f"redis:port={server.port}"
    status, _ = await resumed(tmp_path, to, newRecords(20000), signal.SIGKILL)
    assert status == -signal.SIGKILL


@pytest_twisted.ensureDeferred
async def test_killedToPostgres(tmp_path, monkeypatch, postgres):
    """
    So does one to PostgreSQL.
    """
    monkeypatch.chdir(tmp_path)
    words = ":".join(f"{name}={value}" for name, value in postgres.keywords().items())
    status, _ = await resumed(tmp_path, f"postgres:{words}", newRecords(20000), signal.SIGKILL)
    assert status == -signal.SIGKILL


@pytest_twisted.ensureDeferred
async def test_tornStore(tmp_path, monkeypatch):
    """
    The same finds a store that has a session in part (the control).
    """
    (tmp_path / "torn.py").write_text(TORN)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    await made("sqlite:source.db", newRecords(2000))
    for attempt in range(20):  # a kill may come between two sessions
        place = tmp_path / f"torn{attempt}"
        place.mkdir()
        store = f"torn.TornStore:{place.name}"
        await stopped(tmp_path, store, signal.SIGKILL, lambda: any(place.iterdir()))  # noqa: B023
        try:
            await within(store, content)
        except StoreUnavailable:
            return
    pytest.fail("no session was ever found in part")


@pytest_twisted.ensureDeferred
async def test_interrupted(tmp_path, monkeypatch):
    """
    A copy that is interrupted (ctrl-C) finishes what is under way, says what it
    did, and how to go on; in one line, with exit status 1.
    """
    monkeypatch.chdir(tmp_path)
    status, said = await resumed(tmp_path, "json:target", newRecords(2000), signal.SIGINT)
    assert status == 1
    assert said == (
        "txsessions: interrupted; what was copied is whole, and the same command goes on from "
        "there\n"
    )


@pytest_twisted.ensureDeferred
async def test_targetGoesDown(tmp_path, monkeypatch, run):
    """
    When a store goes down in the midst of a copy, one line says so, and how to go on.
    """
    monkeypatch.chdir(tmp_path)
    server = await run(RedisServer(tmp_path / "redis", "--appendonly", "yes"))
    to = f"redis:port={server.port}"
    await made("sqlite:source.db", newRecords(20000))
    with command(tmp_path, "copy", "--from", "sqlite:source.db", "--to", to) as process:
        await until(lambda: within(to, isUnderWay), "something is copied")
        await server.kill()
        assert process.wait() == 1
        assert process.output.startswith("sessions: ")
        assert process.errors.startswith("txsessions: ") and "Redis" in process.errors
        assert process.errors.endswith("; " + RESUMABLE + "\n")
        assert process.errors.count("\n") == 1


def onTerminal(directory: Path, *arguments: str, **environment: str) -> str:
    """
    What a command shows on a terminal.
    """
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-m", "txsessions", *arguments],
        cwd=directory,
        env={**os.environ, "TERM": "xterm", **environment},
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
    )
    os.close(theirs)
    shown = b""
    while select.select([ours], [], [], PATIENCE)[0]:
        try:
            shown += os.read(ours, 65536)
        except OSError:
            break
    os.close(ours)
    assert process.wait(PATIENCE) == 0, shown
    return shown.decode()


@pytest_twisted.ensureDeferred
async def test_bar(tmp_path):
    """
    On a terminal a bar shows how far it is, and is gone in the end; not with
    C{--quiet}, and not where rich is not installed.
    """
    await made(f"sqlite:{tmp_path}/a.db", newRecords(10))
    options = ("copy", "--from", "sqlite:a.db", "--to", "sqlite:b.db")
    shown = onTerminal(tmp_path, *options)
    assert "Copying" in shown and shown.endswith("sessions: 10 copied\r\n")
    assert onTerminal(tmp_path, *options, "--quiet") == "sessions: 10 there already\r\n"
    (tmp_path / "without").mkdir()
    (tmp_path / "without" / "rich.py").write_text("raise ImportError\n")
    bare = onTerminal(tmp_path, *options, PYTHONPATH=str(tmp_path / "without"))
    assert bare == "sessions: 10 there already\r\n"
