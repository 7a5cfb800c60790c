"""
Run Twisted's own tests with our names in the place of its own.

C{python tests/twisted_suite.py [--stock] MODULE...} runs trial on the modules of
L{twisted.web.test}, after C{Session}, C{Site} and C{Request} of
L{twisted.web.server} have been replaced by ours; with C{--stock} as they are.
"""

from __future__ import annotations

import sys

import twisted.web.distrib
from twisted.scripts import trial
from twisted.web import server

import txsessions


def main() -> None:
    """
    Replace the names, unless told not to, and run trial.
    """
    arguments = sys.argv[1:]
    if "--stock" in arguments:
        arguments.remove("--stock")
    else:
        # The far end of twisted.web.distrib knows requests by their stock name.
        assert issubclass(twisted.web.distrib.Request, server.Request)
        server.Session = txsessions.Session
        server.Site = txsessions.Site
        server.Request = txsessions.Request
    sys.argv = ["trial", "--temp-directory", arguments.pop(0), "--reporter=text", *arguments]
    trial.run()


if __name__ == "__main__":
    main()
