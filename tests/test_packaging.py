"""
Tests for the distribution: what it ships, and what it leaves behind.

They need the package index, for Twisted in an environment of its own.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path
from zipfile import ZipFile

import attrs
import pytest
from processes import Process, Visitor

from txsessions.testing.ports import freePort

ROOT = Path(__file__).resolve().parent.parent

PLUGINS = {"txsessions_plugin.py", "txsessions_stores.py"}

PATIENCE = 300
"""
How long a program may take, in seconds.
"""


@attrs.frozen
class Environment:
    """
    A virtual environment without txsessions.

    @ivar path: Where it is.
    @ivar wheel: The distribution, not installed.
    """

    path: Path
    wheel: Path

    def run(self, program: str, *arguments: str) -> str:
        """
        Run one of its programs, which must succeed and say nothing of errors.

        @return: What it wrote.
        """
        done = subprocess.run(
            [self.path / "bin" / program, *arguments],
            capture_output=True,
            text=True,
            timeout=PATIENCE,
            cwd=self.path,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        assert "Traceback" not in done.stderr + done.stdout
        return done.stdout

    def hashes(self) -> dict[str, str]:
        """
        The digests of Twisted's own files.
        """
        (package,) = self.path.glob("lib/python*/site-packages/twisted")
        return {
            str(file.relative_to(package)): sha256(file.read_bytes()).hexdigest()
            for file in package.rglob("*")
            if file.suffix not in (".pyc", ".cache") and file.is_file() and file.name not in PLUGINS
        }


@pytest.fixture(scope="module")
def environment(tmp_path_factory) -> Iterator[Environment]:
    """
    An L{Environment}.
    """
    path = tmp_path_factory.mktemp("environment")
    subprocess.run([sys.executable, "-m", "venv", path], check=True, timeout=PATIENCE)
    needed = re.search(
        r"^install_requires =\n((?:    .*\n)+)", (ROOT / "setup.cfg").read_text(), re.M
    )
    assert needed is not None
    requirements = [line.strip() for line in needed[1].splitlines()]
    pip = [path / "bin" / "pip", "--quiet", "--disable-pip-version-check"]
    done = subprocess.run(
        [*pip, "install", *requirements],
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )
    if done.returncode != 0 and os.environ.get("CI") != "true":
        pytest.skip(f"the package index cannot be reached: {done.stderr[-200:]}")
    assert done.returncode == 0, done.stderr
    source = path / "source"
    leaveOut = shutil.ignore_patterns("__pycache__", "dropin.cache")
    for name in ("txsessions", "twisted"):
        shutil.copytree(ROOT / name, source / name, ignore=leaveOut)
    for name in ("setup.cfg", "pyproject.toml", "README.rst", "LICENSE"):
        if (ROOT / name).exists():
            shutil.copy(ROOT / name, source)
    subprocess.run(
        [*pip, "wheel", "--no-deps", "--wheel-dir", path, source], check=True, timeout=PATIENCE
    )
    (wheel,) = path.glob("txsessions-*.whl")
    yield Environment(path, wheel)
    shutil.rmtree(path)


def test_wheel(environment):
    """
    The wheel ships every module, the marker of types and the plugins, and
    nothing that would overwrite Twisted's own files.
    """
    shipped = {name for name in ZipFile(environment.wheel).namelist() if ".dist-info/" not in name}
    source = environment.path / "source"
    expected = {
        str(file.relative_to(source))
        for folder in ("txsessions", "twisted")
        for file in (source / folder).rglob("*")
        if file.suffix == ".py" or file.name == "py.typed"
    }
    assert shipped == expected
    inTwisted = {name for name in shipped if name.startswith("twisted/")}
    assert inTwisted == {f"twisted/plugins/{name}" for name in PLUGINS}


def test_installed(environment):
    """
    Once installed, the plugin is there and serves its page; once uninstalled
    again, it is gone, and Twisted is whole as before.
    """
    before = environment.hashes()
    assert {"__init__.py", "plugins/__init__.py"} <= before.keys()
    environment.run("pip", "install", "--quiet", "--no-deps", "--no-index", str(environment.wheel))
    assert environment.hashes() == before
    assert "txsessions" in environment.run("twistd", "--help")
    assert "txsessions" in environment.run("twist", "--help")
    assert "sqlite:" in environment.run("twistd", "txsessions", "--help-stores")
    served(environment)
    environment.run("pip", "uninstall", "--quiet", "--yes", "txsessions")
    assert environment.hashes() == before
    for runner in ("twistd", "twist"):
        shown = environment.run(runner, "--help")
        assert "txsessions" not in shown
        assert re.search(r"^ +web ", shown, re.M)


def served(environment: Environment) -> None:
    """
    Look at the page.
    """
    port = freePort()
    command = [str(environment.path / "bin" / "twistd"), "-n", "txsessions"]
    with Process([*command, "--listen", f"tcp:{port}:interface=127.0.0.1"], environment.path) as p:
        p.waitForPort(port)
        assert "You have been here" in Visitor(port).get()
        p.terminate()
        assert p.errors == ""
