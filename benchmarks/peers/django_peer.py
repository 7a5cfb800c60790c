"""
Django: C{python django_peer.py bare|redis|sqlite PORT REDIS}; the file is where it runs.
"""

from __future__ import annotations

import sys
from typing import Any

import django
from django.conf import settings
from django.core.management import call_command
from django.core.wsgi import get_wsgi_application
from django.http import HttpRequest, HttpResponse
from django.urls import path
from gunicorned import serve

KIND, PORT, REDIS = sys.argv[1:4]

MIDDLEWARE = ["django.contrib.sessions.middleware.SessionMiddleware"]

DATABASE = {
    "ENGINE": "django.db.backends.sqlite3",
    "NAME": "django.db",
    "CONN_MAX_AGE": None,
    "OPTIONS": {
        "transaction_mode": "IMMEDIATE",
        "timeout": 20,
        "init_command": "PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL",
    },
}

CACHE = {
    "BACKEND": "django_redis.cache.RedisCache",
    "LOCATION": f"redis://127.0.0.1:{REDIS}/0",
}


def visit(request: HttpRequest) -> HttpResponse:
    """
    Count.
    """
    if KIND == "bare":
        return HttpResponse("Visit #1 for you!")
    count = request.session.get("visits", 0) + 1
    request.session["visits"] = count
    return HttpResponse(f"Visit #{count} for you!")


urlpatterns = [path("", visit)]


def configure() -> None:
    """
    Set everything.
    """
    settings.configure(
        ALLOWED_HOSTS=["*"],
        ROOT_URLCONF=__name__,
        SECRET_KEY="benchmark",
        INSTALLED_APPS=["django.contrib.sessions"],
        MIDDLEWARE=[] if KIND == "bare" else MIDDLEWARE,
        DATABASES={"default": DATABASE},
        CACHES={"default": CACHE},
        SESSION_ENGINE=f"django.contrib.sessions.backends.{'cache' if KIND == 'redis' else 'db'}",
    )
    django.setup()


def make() -> Any:
    """
    The application.
    """
    return get_wsgi_application()


if __name__ == "__main__":
    configure()
    if KIND == "sqlite":
        call_command("migrate", verbosity=0)
    serve(make, PORT)
