"""
Starlette with starsessions, on uvicorn: C{python starlette_peer.py bare|memory|redis PORT REDIS}.
"""

from __future__ import annotations

import sys
from typing import Any

import uvicorn
from redis.asyncio import Redis
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Route
from starsessions import InMemoryStore, SessionAutoloadMiddleware, SessionMiddleware
from starsessions.stores.redis import RedisStore

KIND, PORT, REDIS = sys.argv[1:4]


async def bare(request: Request) -> PlainTextResponse:
    """
    Say hello.
    """
    return PlainTextResponse("Visit #1 for you!")


async def visit(request: Request) -> PlainTextResponse:
    """
    Count.
    """
    count = request.session.get("visits", 0) + 1
    request.session["visits"] = count
    return PlainTextResponse(f"Visit #{count} for you!")


def make() -> Starlette:
    """
    The application.
    """
    if KIND == "bare":
        return Starlette(routes=[Route("/", bare)])
    redis = KIND == "redis"
    store: Any = RedisStore(connection=Redis(port=int(REDIS))) if redis else InMemoryStore()
    sessions = Middleware(SessionMiddleware, store=store, cookie_https_only=False, lifetime=900)
    middleware = [sessions, Middleware(SessionAutoloadMiddleware)]
    return Starlette(routes=[Route("/", visit)], middleware=middleware)


if __name__ == "__main__":
    uvicorn.run(make(), port=int(PORT), log_level="warning", loop="uvloop", http="httptools")
