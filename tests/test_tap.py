"""
Tests for the plugin of C{twistd} and C{twist}.
"""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path
from threading import Event, Thread

import pytest
from processes import (
    PATIENCE,
    Process,
    Visitor,
    isListening,
    script,
    waitForEnd,
    waitForPort,
)
from twisted.application.service import IService, IServiceMaker
from twisted.plugin import getPlugins
from zope.interface.verify import verifyObject

from txsessions.keyfile import writeKeyFile
from txsessions.tap import Options, helpOnStores, makeService
from txsessions.testing.ports import freePort

RUNNERS = {"twistd": ("twistd", "-n", "--pidfile="), "twist": ("twist",)}
COUNT = re.compile(r"You have been here <strong>(\w+)")

FOREIGN = "This is no store of sessions.\n" * 100

SLOW_BODY = 16_000_000

MINE = f"""
from twisted.internet import reactor
from twisted.internet.defer import Deferred, succeed
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import deferLater
from twisted.web.resource import Resource
from twisted.web.server import NOT_DONE_YET
from zope.interface import implementer
from txsessions.interfaces import IConnectedStore
from txsessions.stores import SessionStore
from txsessions.stores.memory import MemoryStore
from txsessions.stores.sqlite import SQLiteStore
import txsessions.draining

text = "text"

def noResource():
    return object()

def application(environ, startResponse):
    startResponse("200 OK", [("Content-Type", "text/plain")])
    return [b"WSGI " + environ["PATH_INFO"].encode()]

class Root(Resource):
    isLeaf = True
    def render_GET(self, request):
        return b"a resource"

class Raising(Resource):
    def __init__(self):
        1 / 0

class Slow(Resource):
    isLeaf = True
    def render_GET(self, request):
        print("request begun")
        request.getSession().data["slow"] = True
        deferLater(reactor, 0.5).addCallback(self.answer, request)
        return NOT_DONE_YET
    def answer(self, _, request):
        request.setHeader(b"content-length", b"{SLOW_BODY}")
        request.write(b"x" * {SLOW_BODY})
        request.finish()

class Hasty(Slow):
    def __init__(self):
        super().__init__()
        txsessions.draining.GRACE = 0

@implementer(IConnectedStore)
class Hanging(MemoryStore):
    def setup(self):
        print("setup was called")
        return Deferred()
    def close(self):
        print("closed")
        return succeed(None)

class Own(SessionStore):
    def loadSession(self, sid, default=None):
        return default
    def saveSession(self, record):
        pass
    def deleteSession(self, sid):
        pass

class Lying(SQLiteStore):
    def saveSession(self, change):
        deferLater(reactor, 1).addCallback(lambda _: SQLiteStore.saveSession(self, change))
        return succeed(2)
"""

SCRIPT = """
from twisted.web.static import Data
resource = Data(b"a script", "text/plain")
resource.putChild(b"", resource)
"""

both = pytest.mark.parametrize("runner", RUNNERS)


def start(runner: str, directory: Path, *options: str, **environment: str) -> Process:
    """
    The plugin in a process of its own.
    """
    program, *flags = RUNNERS[runner]
    return Process([script(program), *flags, "txsessions", *options], directory, environment)


def listen(port: int) -> tuple[str, str]:
    """
    The option for a port of the loopback interface.
    """
    return "--listen", f"tcp:{port}:interface=127.0.0.1"


def refusals(directory: Path, *options: str, **environment: str) -> set[str]:
    """
    The line on standard error with which both runners refuse options, by exit
    status 1 and without a traceback.
    """
    said = set()
    with ExitStack() as stack:
        for process in [
            stack.enter_context(start(runner, directory, *options, **environment))
            for runner in RUNNERS
        ]:
            assert process.wait() == 1, process.output + process.errors
            assert process.errors.count("\n") == 1, process.errors
            assert "Traceback" not in process.output
            said.add(process.errors.rstrip("\n"))
    return said


def refusal(directory: Path, *options: str, **environment: str) -> str:
    """
    The same, where both say the same.
    """
    (said,) = refusals(directory, *options, **environment)
    assert said.startswith("txsessions: ")
    return said.removeprefix("txsessions: ")


def parsed(*options: str) -> Options:
    """
    Options that were parsed.
    """
    result = Options()
    result.parseOptions(options)
    return result


def refused(*options: str) -> str:
    """
    What is said of wrong options.
    """
    with pytest.raises(SystemExit) as caught:
        parsed(*options)
    return str(caught.value)


def test_plugin():
    """
    The plugin is declared, and makes services.
    """
    (maker,) = [maker for maker in getPlugins(IServiceMaker) if maker.tapname == "txsessions"]
    assert verifyObject(IServiceMaker, maker)
    assert maker.options is Options
    assert maker.makeService is makeService
    assert verifyObject(IService, makeService(parsed("--store", "memory")))


def test_defaults():
    """
    No option is needed.
    """
    options = parsed()
    assert options["listen"] == ["tcp:8080"]
    assert options["store"] == "sqlite:sessions.db"
    assert options["timeout"] == 900
    assert options["absolute-timeout"] is None
    assert options["cookie"].secure == "auto"


def test_timeouts():
    """
    Time-outs are given in seconds or with a unit, and the sessions have them.
    """
    options = parsed("--timeout", "15m", "--absolute-timeout", "30d", "--store", "memory")
    site = makeService(options)._site
    session = site.makeSession()
    session.expire()
    assert (session.sessionTimeout, session.absoluteTimeout) == (900, 30 * 86400)


@pytest.mark.parametrize("option", ["--timeout", "--absolute-timeout"])
@pytest.mark.parametrize("text", ["0", "-1", "15x", "nan", "inf", "", "m"])
def test_badTimeouts(option, text):
    """
    A time-out that is none says how one is written.
    """
    assert refused(option, text) == (
        f"txsessions: {option}: {text!r} is no duration; write 900 (seconds), 15m, 12h or 30d"
    )


def test_absolutePaths(tmp_path, monkeypatch):
    """
    Paths are made absolute when the options are parsed, because a daemon
    changes its directory.
    """
    monkeypatch.chdir(tmp_path)
    for name in ("path", "resource-script", "logfile"):
        assert parsed(f"--{name}", "x")[name] == str(tmp_path / "x")


def test_oneRoot():
    """
    Two root resources are one too many.
    """
    said = "txsessions: only one of --class, --path, --wsgi and --resource-script goes"
    assert refused("--path", ".", "--wsgi", "a.b") == said


def test_wrongOptions():
    """
    An option that does not exist, a value that does not fit and a stray
    argument are told in one line.
    """
    assert refused("--nonsense") == "txsessions: option --nonsense not recognized"
    assert "'sometimes' is none of 'auto', 'always', 'never'" in refused("--secure", "sometimes")
    assert refused("stray") == "txsessions: Wrong number of arguments."


def test_helpOnStores(capsys):
    """
    C{--help-stores} lists the stores that are installed, and exits with 0.
    """
    with pytest.raises(SystemExit) as caught:
        parsed("--help-stores")
    assert caught.value.code == 0
    shown = capsys.readouterr().out
    assert shown == helpOnStores() + "\n"
    assert re.search(r"^  memory\n      \w", shown, re.MULTILINE)
    assert "package.module.MyStore" in shown


@both
def test_help(runner, tmp_path):
    """
    C{--help} and C{--help-stores} work from the command line.
    """
    for option, expected in (("--help", "--absolute-timeout"), ("--help-stores", "sqlite:PATH")):
        with start(runner, tmp_path, option) as process:
            assert process.wait() == 0
            assert expected in process.output
            assert process.errors == ""


@both
def test_served(runner, tmp_path):
    """
    Without any option but where to listen, a page is served that counts
    visits in a store beside it; a restart keeps the count, and so does
    C{kill -9}.
    """
    port = freePort()
    visitor = Visitor(port)
    for count, end in (("once", "terminate"), ("2", "kill"), ("3", "terminate")):
        with start(runner, tmp_path, *listen(port)) as process:
            process.waitForPort(port)
            assert COUNT.search(visitor.get())[1] == count
            getattr(process, end)()
            assert process.errors == ""
    assert (tmp_path / "sessions.db").exists()


def test_keys(tmp_path):
    """
    With a key file cookies are sealed and the data encrypted; a server with another key answers
    503 and changes nothing, and with the right one the session goes on.
    """
    port = freePort()
    visitor = Visitor(port)
    for name in ("right", "wrong"):
        writeKeyFile(str(tmp_path / name))
    for name, expected in (("right", "once"), ("wrong", None), ("right", "2")):
        with start("twistd", tmp_path, "--key-file", name, *listen(port)) as process:
            process.waitForPort(port)
            if expected is None:
                assert COUNT.search(visitor.get()) is None
                assert '" 503 ' in process.output
            else:
                assert COUNT.search(visitor.get())[1] == expected
    kept = b"".join(path.read_bytes() for path in tmp_path.glob("sessions.db*"))
    assert b'"data:visits":"txs1.' in kept
    assert b'"data:visits":1' not in kept and b'"data:visits":2' not in kept


def test_forgotten(tmp_path):
    """
    A store in memory does not keep the count (the control: the tests would
    notice), and the page does not say so either.
    """
    port = freePort()
    visitor = Visitor(port)
    for _ in range(2):
        with start("twistd", tmp_path, "--store", "memory", *listen(port)) as process:
            process.waitForPort(port)
            page = visitor.get()
            assert COUNT.search(page)[1] == "once"
            assert "A restart forgets this" in page


@pytest.fixture
def mistakes(tmp_path, monkeypatch) -> Path:
    """
    A directory with an application, and with things that are not what they
    should be.
    """
    (tmp_path / "foreign").write_text(FOREIGN)
    (tmp_path / "garbled.py").write_text("def\n")
    (tmp_path / "mine.py").write_text(MINE)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "mine", raising=False)
    return tmp_path


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--timeout", "soon"], "--timeout: 'soon' is no duration"),
        (["--store", "nonsense"], "--store: there is no store of the kind 'nonsense'"),
        (["--store", "sqlite:"], "--store: sqlite: it is written sqlite:PATH"),
        (["--store", "sqlite:secret=hunter2"], "--store: sqlite: it is written sqlite:PATH"),
        (["--store", "nowhere.MyStore"], "--store: nowhere.MyStore: there is no such thing"),
        (["--listen", "nonsense:1"], "--listen nonsense:1: Unknown endpoint type: 'nonsense'"),
        (["--listen", "tcp:x"], "--listen tcp:x: invalid literal"),
        (["--listen", "tcp"], "--listen tcp: "),
        (["--listen", "ssl:1:privateKey=nowhere"], "--listen ssl:1:privateKey=nowhere: "),
        (["--class", "nowhere.Root"], "--class nowhere.Root: there is no such thing"),
        (["--class", "mine.Nothing"], "--class mine.Nothing: module 'mine' has no attribute"),
        (["--class", "mine.Raising"], "--class mine.Raising: making one raised ZeroDivisionError"),
        (["--class", "mine.noResource"], "--class mine.noResource: it makes no resource"),
        (["--class", "garbled.Root"], "--class garbled.Root: importing it raised SyntaxError"),
        (["--wsgi", "mine.Nothing"], "--wsgi mine.Nothing: module 'mine' has no attribute"),
        (["--wsgi", "mine.text"], "--wsgi mine.text: it is no WSGI application"),
        (["--path", "nowhere"], "nowhere: there is no such file or directory"),
        (["--resource-script", "nowhere.rpy"], "nowhere.rpy: there is no such file"),
        (["--path", ".", "--class", "mine.Root"], "only one of --class, --path"),
        (["--logfile", "nowhere/access.log"], "nowhere/access.log: its directory"),
        (["--key-file", "nowhere"], "nowhere: No such file"),
        (["--key-file", "foreign"], "--key-file: others can read "),
        (["--plain-until", "2026-12-31"], "--plain-until is for --key-file"),
        (
            ["--key-file", "foreign", "--plain-until", "soon"],
            "--plain-until: 'soon' is no day such as 2026-12-31",
        ),
        (["--shared", "--store", "memory"], "--shared: processes cannot share the store memory;"),
        (
            ["--shared", "--store", "mine.Own"],
            "--shared: processes cannot share the store mine.Own",
        ),
    ],
)
def test_refused(mistakes, options, said):
    """
    What is wrong with the options is told in one line, and exits.
    """
    with pytest.raises(SystemExit) as caught:
        makeService(parsed(*options))
    line = str(caught.value)
    assert line.startswith("txsessions: ") and "\n" not in line
    assert said in line
    assert "hunter2" not in line


@pytest.mark.parametrize("store", ["sqlite:sessions.db", "json:sessions"])
def test_shared(tmp_path, monkeypatch, store):
    """
    A store that processes can share is not refused where several are to share it;
    nor is any other where one process serves.
    """
    monkeypatch.chdir(tmp_path)
    assert makeService(parsed("--shared", "--store", store))
    assert makeService(parsed("--store", "memory"))


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--nonsense"], "option --nonsense not recognized"),
        (["--store", "nonsense"], "--store: there is no store of the kind 'nonsense'"),
        (["--class", "garbled.Root"], "--class garbled.Root: importing it raised SyntaxError"),
        (["--store", "sqlite:/nowhere/x.db"], "/nowhere/x.db"),
        (["--store", "sqlite:/proc/x.db"], "/proc/x.db"),
        (["--store", "sqlite:foreign"], "foreign"),
        (["--store", "json:/proc/x"], "/proc/x"),
        (["--store", "json:foreign"], "foreign"),
        (["--key-file", "nowhere"], "nowhere: No such file"),
        (["--key-file", "foreign"], "--key-file: others can read "),
        (["--plain-until", "2026-12-31"], "--plain-until is for --key-file"),
        (
            ["--key-file", "foreign", "--plain-until", "soon"],
            "--plain-until: 'soon' is no day such as 2026-12-31",
        ),
        (["--shared", "--store", "memory"], "--shared: processes cannot share the store memory;"),
    ],
)
def test_refusedByProcesses(mistakes, options, said):
    """
    What an operator can get wrong is told in one line on standard error, with
    exit status 1 and no traceback, by C{twistd} and by C{twist}, be it in the
    options or with the store; and what is no store is left alone.
    """
    line = refusal(mistakes, *options, *listen(freePort()), PYTHONPATH=str(mistakes))
    assert said in line
    assert (mistakes / "foreign").read_text() == FOREIGN


def test_notForThisUser(tmp_path):
    """
    A directory that the user of the process may not write is told in one
    line; the store is opened by that user, and not by who started the process.
    """
    (tmp_path / "locked").mkdir(mode=0o555)
    user = ["--uid", "65534", "--gid", "65534"] if os.geteuid() == 0 else []
    command = [script("twistd"), "-n", "--pidfile=", *user, "txsessions"]
    with Process([*command, "--store", "sqlite:locked/x.db"], tmp_path) as process:
        assert process.wait() == 1
        assert process.errors.count("\n") == 1
        assert "locked/x.db cannot be used" in process.errors
    assert list((tmp_path / "locked").iterdir()) == []


def test_portInUse(tmp_path):
    """
    A port in use is told in one line, with exit status 1; the pid file is
    removed, as at every end in good order.
    """
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        _, description = listen(listener.getsockname()[1])
        said = refusal(tmp_path, "--listen", description)
        assert said == f"cannot listen on {description}: Address already in use"
        with Process(
            [script("twistd"), "-n", "txsessions", "--listen", description], tmp_path
        ) as p:
            assert p.wait() == 1
        assert not (tmp_path / "twistd.pid").exists()


def test_opensFirst(tmp_path):
    """
    The service listens only when its store is open.
    """
    (tmp_path / "mine.py").write_text(MINE)
    port = freePort()
    options = ("--store", "mine.Hanging", *listen(port))
    with start("twistd", tmp_path, *options, PYTHONPATH=str(tmp_path)) as process:
        process.waitForOutput("setup was called")
        assert not isListening(port)
        assert process.terminate() == -signal.SIGTERM
        assert "Traceback" not in process.output
        assert "closed" in process.output


@both
def test_drained(runner, tmp_path):
    """
    A request that is under way when the process is asked to end gets its
    whole response, however slowly its client reads, and the connection ends
    with it.
    """
    response = slowResponse(runner, tmp_path, "mine.Slow")
    head, _, body = response.partition(b"\r\n\r\n")
    assert b"\r\nConnection: close" in head
    assert b"\r\nSet-Cookie: " in head
    assert len(body) == SLOW_BODY


def test_notDrained(tmp_path):
    """
    Without the time to drain, the response is cut off (the control).
    """
    assert len(slowResponse("twistd", tmp_path, "mine.Hasty")) < SLOW_BODY


def slowResponse(runner: str, directory: Path, name: str) -> bytes:
    """
    The response of a resource that is asked to end while it is at work.
    """
    (directory / "mine.py").write_text(MINE)
    port = freePort()
    options = ("--class", name, *listen(port))
    with start(runner, directory, *options, PYTHONPATH=str(directory)) as process:
        process.waitForPort(port)
        with socket.create_connection(("127.0.0.1", port), timeout=PATIENCE) as client:
            client.sendall(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
            process.waitForOutput("request begun")
            process.signal(signal.SIGTERM)
            process.waitForOutput("Received SIGTERM")
            received = []
            while data := client.recv(65536):
                received.append(data)
        assert process.wait() == -signal.SIGTERM
        return b"".join(received)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_acknowledgedIsStored(tmp_path, number):
    """
    What a browser has been told is stored, whenever the process is asked to
    end or killed.
    """
    acknowledged, stored = countUnderFire(tmp_path, number, "sqlite:sessions.db")
    assert stored >= acknowledged >= 20


def test_notStored(tmp_path):
    """
    A store that acknowledges what it has not stored loses counts (the
    control).
    """
    acknowledged, stored = countUnderFire(tmp_path, signal.SIGKILL, "mine.Lying:lying.db")
    assert stored < acknowledged


def countUnderFire(directory: Path, number: int, store: str) -> tuple[int, int]:
    """
    Visit the page again and again, end the process by a signal in the midst
    of that, and start it anew.

    @return: The last count that was shown before, and how many were stored.
    """
    (directory / "mine.py").write_text(MINE)
    port = freePort()
    visitor = Visitor(port)
    options = ("--store", store, *listen(port))
    shown = [0]

    def visit() -> None:
        while True:
            try:
                page = visitor.get()
            except OSError:
                return
            shown.append(max(shown[-1] + 1, int(COUNT.search(page)[1].replace("once", "1"))))
            if len(shown) > 20:
                enough.set()

    enough = Event()
    with start("twistd", directory, *options, PYTHONPATH=str(directory)) as process:
        process.waitForPort(port)
        thread = Thread(target=visit)
        thread.start()
        assert enough.wait(PATIENCE)
        process.signal(number)
        assert process.wait() == -number
        thread.join(PATIENCE)
        assert not thread.is_alive()
    with start("twistd", directory, *options, PYTHONPATH=str(directory)) as process:
        process.waitForPort(port)
        count = COUNT.search(visitor.get())[1]
    return shown[-1], (1 if count == "once" else int(count)) - 1


@pytest.mark.parametrize(
    ("options", "path", "expected"),
    [
        (["--class", "mine.Root"], "", "a resource"),
        (["--path", "files"], "hello.txt", "hello"),
        (["--path", "files"], "script.rpy", "a script"),
        (["--wsgi", "mine.application"], "some/path", "WSGI /some/path"),
        (["--resource-script", "files/script.rpy"], "", "a script"),
    ],
)
def test_roots(tmp_path, options, path, expected):
    """
    A resource class, files, a WSGI application and a script are served, and
    end in good order.
    """
    (tmp_path / "mine.py").write_text(MINE)
    (tmp_path / "files").mkdir()
    (tmp_path / "files" / "hello.txt").write_text("hello")
    (tmp_path / "files" / "script.rpy").write_text(SCRIPT)
    port = freePort()
    with start("twist", tmp_path, *options, *listen(port), PYTHONPATH=str(tmp_path)) as process:
        process.waitForPort(port)
        assert Visitor(port).get(path) == expected
        assert process.terminate() == -signal.SIGTERM
        assert process.errors == ""
        assert "Traceback" not in process.output


@pytest.mark.parametrize("before, after", [(700, 6_000), (0, 0), (90_000, 90_000)])
def test_collector(before, after):
    """
    The collector of garbage leaves alone what is there at the start, and is in no hurry;
    one that was turned off, or is in even less of a hurry, stays so.
    """
    steps = f"""
import gc
from txsessions.tap import _settle
gc.set_threshold({before})
_settle()
print(gc.get_threshold()[0], gc.get_freeze_count() > 10_000)
"""
    printed = subprocess.run(
        [sys.executable, "-c", steps], capture_output=True, text=True, check=True
    ).stdout
    assert printed.split() == [str(after), "True"]


def test_manyListeners(tmp_path):
    """
    C{--listen} can be given several times, with any endpoint; C{--secure
    always} marks the cookie, and the access log is written.
    """
    ports = [freePort(), freePort()]
    options = [option for port in ports for option in listen(port)]
    options += ["--secure", "always", "--logfile", "access.log", "--listen", "unix:web.sock"]
    with start("twistd", tmp_path, *options) as process:
        for port in ports:
            process.waitForPort(port)
            visitor = Visitor(port)
            visitor.get()
            (cookie,) = visitor.cookies
            assert (cookie.name, cookie.secure) == ("TWISTED_SECURE_SESSION", True)
        process.waitForOutput("web.sock")
        with socket.socket(socket.AF_UNIX) as client:
            client.connect(str(tmp_path / "web.sock"))
        process.terminate()
    assert (tmp_path / "access.log").read_text().count("GET / HTTP/1.1") == 2


def test_daemon(tmp_path):
    """
    In the background, and with another directory to run in, the store is
    still where the command line was.
    """
    (tmp_path / "elsewhere").mkdir()
    port = freePort()
    command = [script("twistd"), "--rundir", "elsewhere", "txsessions", *listen(port)]
    with Process(command, tmp_path) as process:
        assert process.wait() == 0
        assert process.errors == ""
    pid = int((tmp_path / "twistd.pid").read_text())
    try:
        waitForPort(port)
        assert COUNT.search(Visitor(port).get())[1] == "once"
    finally:
        os.kill(pid, signal.SIGTERM)
        waitForEnd(pid)
    assert (tmp_path / "sessions.db").exists()
    assert "Server Shut Down" in (tmp_path / "twistd.log").read_text()
