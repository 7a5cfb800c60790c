"""
Gunicorn, with one worker process, for those that speak WSGI.
"""

from __future__ import annotations

from typing import Any

from gunicorn.app.base import BaseApplication


class Server(BaseApplication):
    """
    Serves an application that is made in the worker.
    """

    def __init__(self, make: Any, port: str) -> None:
        self._make = make
        self._port = port
        super().__init__()

    def load_config(self) -> None:
        """
        Say how it serves.
        """
        settings = {
            "bind": f"127.0.0.1:{self._port}",
            "workers": 1,
            "worker_class": "sync",
            "threads": 1,
            "keepalive": 60,
            "worker_connections": 100,
            "control_socket_disable": True,
        }
        for name, value in settings.items():
            if name in self.cfg.settings:
                self.cfg.set(name, value)

    def load(self) -> Any:
        """
        The application.
        """
        return self._make()


def serve(make: Any, port: str) -> None:
    """
    Serve.
    """
    Server(make, port).run()
