"""
Twisted's own tests of its web server, run against ours.
"""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parent


def runSuite(directory: Path, *arguments: str) -> tuple[int, set[str], str]:
    """
    Run trial in a process of its own.

    @return: How many tests ran, the names of those that did not pass, and all
        that trial printed.
    """
    done = subprocess.run(
        [sys.executable, str(HERE / "twisted_suite.py"), *arguments],
        cwd=directory,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    printed = done.stdout + done.stderr
    ran = re.search(r"^Ran (\d+) tests", printed, re.MULTILINE)
    assert ran is not None, printed
    names = set(re.findall(r"^(twisted\.[\w.]+)$", printed, re.MULTILINE))
    return int(ran[1]), names, printed


@pytest.mark.parametrize("case", ["SessionTests", "SiteTest", "RequestTests"])
def test_sessionsOfTwisted(tmp_path: Path, case: str) -> None:
    """
    Twisted's tests of sessions, sites and requests pass unmodified with ours in
    their place.
    """
    ran, _, printed = runSuite(tmp_path, "trial", f"twisted.web.test.test_web.{case}")
    assert ran > 0
    assert "PASSED" in printed, printed


def test_webOfTwisted(tmp_path: Path) -> None:
    """
    Of all of Twisted's web tests none fails with ours in place that passes
    without.
    """
    stockRan, stockFailed, _ = runSuite(tmp_path, "--stock", "stock", "twisted.web.test")
    ran, failed, printed = runSuite(tmp_path, "ours", "twisted.web.test")
    assert ran == stockRan > 1000
    assert failed <= stockFailed, printed


def test_control(tmp_path: Path) -> None:
    """
    The suite goes red on a Session that keeps what has expired.
    """
    broken = tmp_path / "broken.py"
    broken.write_text(
        "import runpy, sys\n"
        "import txsessions\n"
        "txsessions.Session.ended = lambda self, reason: None\n"
        f"sys.argv = {[str(HERE / 'twisted_suite.py'), 'trial', 'twisted.web.test.test_web']!r}\n"
        f"runpy.run_path({str(HERE / 'twisted_suite.py')!r}, run_name='__main__')\n"
    )
    done = subprocess.run(
        [sys.executable, str(broken)],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert "FAILED" in done.stdout + done.stderr
