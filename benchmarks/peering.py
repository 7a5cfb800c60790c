"""
The peers: installed by C{pip} and C{npm} into a directory outside of this one, each beside
its own server without a session.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from variants import PEER, Variant

HERE: Final = Path(__file__).with_name("peers")

SERVERS: Final = {
    "txredisapi": ("txredisapi, GET and SET", ["redis"]),
    "klein": ("Klein sessions", ["memory"]),
    "express": ("express-session", ["memory", "redis"]),
    "starlette": ("starsessions, uvicorn", ["memory", "redis"]),
    "aiohttp": ("aiohttp-session", ["redis"]),
    "flask": ("Flask-Session, gunicorn", ["redis"]),
    "django": ("Django, gunicorn", ["redis", "sqlite"]),
}
"""
By the program that serves them: what to call them, and where they keep sessions.
"""

STORES: Final = {"memory": "memory", "redis": "Redis", "sqlite": "SQLite"}

PACKAGES: Final = {
    "txredisapi": ["txredisapi"],
    "klein": ["klein"],
    "starlette": ["starsessions", "starlette", "uvicorn"],
    "aiohttp": ["aiohttp_session", "aiohttp"],
    "flask": ["flask_session", "flask", "gunicorn"],
    "django": ["django", "django_redis", "gunicorn"],
}
"""
What has to be importable for each.
"""


class Peers:
    """
    Those that could be installed.

    @ivar missing: Why the others are not here, by their names.
    """

    def __init__(self) -> None:
        cache = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
        self._place = Path(cache, "txsessions-benchmarks")
        self.missing: dict[str, str] = {}

    @property
    def _python(self) -> Path:
        """
        The interpreter of their environment.
        """
        return self._place / "venv" / "bin" / "python"

    def install(self) -> None:
        """
        Install what is not there yet.
        """
        if not any(self._problem(name) for name in SERVERS):
            return
        self._place.mkdir(parents=True, exist_ok=True)
        if not self._python.exists():
            _run([sys.executable, "-m", "venv", str(self._python.parent.parent)])
        for line in (HERE / "requirements.txt").read_text().split():
            # One by one, so that one that cannot be had is the only one that is missing.
            _run([str(self._python), "-m", "pip", "install", "--quiet", line])
        if shutil.which("npm") is not None:
            # Where node looks for modules from the program's own directory.
            for name in ("package.json", "express_peer.js"):
                shutil.copy(HERE / name, self._place / name)
            _run(["npm", "install", "--silent", "--no-audit", "--no-fund"], self._place)

    def variants(self) -> list[Variant]:
        """
        All that can be measured.
        """
        return [variant for name in SERVERS for variant in self._of(name)]

    def versions(self) -> dict[str, str]:
        """
        What is installed.
        """
        if not self._python.exists():
            return {}
        command = [str(self._python), "-m", "pip", "list", "--format=freeze"]
        lines = subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()
        wanted = {name.lower() for name in (HERE / "requirements.txt").read_text().split()}
        pairs = dict(line.split("==", 1) for line in lines if "==" in line)
        found = {name: version for name, version in pairs.items() if name.lower() in wanted}
        for name in ("express", "express-session", "connect-redis", "redis"):
            path = self._place / "node_modules" / name / "package.json"
            if path.exists():
                found[f"{name} (npm)"] = path.read_text().split('"version": "')[1].split('"')[0]
        return found

    def _of(self, name: str) -> Iterator[Variant]:
        """
        The variants of one program; none if what it needs is not installed.
        """
        title, kinds = SERVERS[name]
        problem = self._problem(name)
        if problem:
            self.missing[title] = problem
            return
        command = [str(self._python), str(HERE / f"{name}_peer.py")]
        if name == "express":
            command = ["node", str(self._place / "express_peer.js")]
        for kind in ("bare", *kinds):
            full = f"{title}, no session" if kind == "bare" else f"{title}, {STORES[kind]}"
            words = [*command, kind, "PORT", "REDIS"]
            # All of them are told where it is.
            facts = {"bare": f"{name}-bare", "server": "redis", "isSlow": kind == "sqlite"}
            yield Variant(f"{name}-{kind}", full, PEER, words, **facts)

    def _problem(self, name: str) -> str:
        """
        Why it cannot be measured; nothing if it can.
        """
        if name == "express":
            modules = self._place / "node_modules"
            there = shutil.which("node") is not None and (modules / "connect-redis").exists()
            return "" if there else "node or its packages are not installed"
        if not self._python.exists():
            return "its environment is not there"
        for package in PACKAGES[name]:
            done = subprocess.run(
                [str(self._python), "-c", f"import {package}"], capture_output=True, check=False
            )
            if done.returncode:
                return f"{package} cannot be imported"
        return ""


def _run(command: list[str], place: Path | None = None) -> None:
    """
    Do something that may fail: what is missing then is left out, and the report says so.
    """
    done = subprocess.run(command, cwd=place, capture_output=True, text=True, check=False)
    if done.returncode:
        last = (done.stderr or done.stdout).strip().splitlines()[-1:]
        print(f"{' '.join(command[-2:])}: {''.join(last)}", file=sys.stderr)
