"""
aiohttp with aiohttp-session: C{python aiohttp_peer.py bare|redis PORT REDIS}.
"""

from __future__ import annotations

import sys

import uvloop
from aiohttp import web
from aiohttp_session import get_session, setup
from aiohttp_session.redis_storage import RedisStorage
from redis.asyncio import Redis

KIND, PORT, REDIS = sys.argv[1:4]


async def bare(request: web.Request) -> web.Response:
    """
    Say hello.
    """
    return web.Response(text="Visit #1 for you!")


async def visit(request: web.Request) -> web.Response:
    """
    Count.
    """
    session = await get_session(request)
    session["visits"] = session.get("visits", 0) + 1
    return web.Response(text=f"Visit #{session['visits']} for you!")


async def make() -> web.Application:
    """
    The application.
    """
    app = web.Application()
    if KIND == "redis":
        setup(app, RedisStorage(Redis(port=int(REDIS)), max_age=900))
    app.router.add_get("/", bare if KIND == "bare" else visit)
    return app


if __name__ == "__main__":
    loop = uvloop.new_event_loop()
    web.run_app(make(), host="127.0.0.1", port=int(PORT), access_log=None, loop=loop)
