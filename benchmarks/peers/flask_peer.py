"""
Flask with Flask-Session: C{python flask_peer.py bare|redis PORT REDIS}.
"""

from __future__ import annotations

import sys

from flask import Flask, session
from flask_session import Session
from gunicorned import serve
from redis import Redis

KIND, PORT, REDIS = sys.argv[1:4]


def visit() -> str:
    """
    Count.
    """
    session["visits"] = session.get("visits", 0) + 1
    return f"Visit #{session['visits']} for you!"


def make() -> Flask:
    """
    The application.
    """
    app = Flask(__name__)
    if KIND == "bare":
        app.add_url_rule("/", view_func=lambda: "Visit #1 for you!", endpoint="visit")
    else:
        app.config.update(SESSION_TYPE="redis", SESSION_REDIS=Redis(port=int(REDIS)))
        Session(app)
        app.add_url_rule("/", view_func=visit)
    return app


if __name__ == "__main__":
    serve(make, PORT)
