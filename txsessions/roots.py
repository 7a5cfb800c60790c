"""
The root resource of a site, as an operator names it: what C{--class},
C{--path}, C{--wsgi} and C{--resource-script} stand for, as in C{twistd web}.

Each function raises L{twisted.python.usage.UsageError} with one line when it
cannot make a resource.
"""

from __future__ import annotations

import os
from typing import Any

from twisted.application.service import MultiService, Service
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IServiceCollection
from twisted.internet.threads import deferToThreadPool
from twisted.python.threadpool import ThreadPool
from twisted.python.usage import UsageError
from twisted.web.resource import IResource
from twisted.web.script import PythonScript, ResourceScript, ResourceScriptWrapper
from twisted.web.static import File
from twisted.web.twcgi import CGIScript
from twisted.web.wsgi import WSGIResource

from .names import NotLoadable, describe, load


def fromClass(name: str) -> Any:
    """
    An instance of the resource class of that dotted name.
    """
    make = _load("--class", name)
    try:
        root = make()
    except Exception as e:
        raise UsageError(f"--class {name}: making one raised {describe(e)}") from e
    if not IResource.providedBy(root):
        raise UsageError(f"--class {name}: it makes no resource (twisted.web.resource.IResource)")
    return root


def fromPath(path: str, services: MultiService) -> File:
    """
    A directory or a file; C{.rpy} and C{.epy} scripts and C{.cgi} programs in
    it are run.

    @param services: Where its scripts may add services of their own.
    """
    if not os.access(path, os.R_OK):
        raise UsageError(f"--path {path}: there is no such file or directory that can be read")
    root = File(path)
    processors: Any = {".epy": PythonScript, ".rpy": ResourceScript, ".cgi": CGIScript}
    root.processors = processors
    root.registry.setComponent(IServiceCollection, services)
    return root


def fromScript(path: str) -> ResourceScriptWrapper:
    """
    What the C{.rpy} script makes.
    """
    if not os.path.isfile(path) or not os.access(path, os.R_OK):
        raise UsageError(f"--resource-script {path}: there is no such file that can be read")
    return ResourceScriptWrapper(path)


def fromWSGI(name: str, reactor: Any, services: MultiService) -> WSGIResource:
    """
    The WSGI application of that dotted name, in threads.

    @param services: What starts and stops the threads.
    """
    application = _load("--wsgi", name)
    if not callable(application):
        raise UsageError(f"--wsgi {name}: it is no WSGI application, for it cannot be called")
    pool = ThreadPool(name="WSGI")
    ThreadPoolService(reactor, pool).setServiceParent(services)
    return WSGIResource(reactor, pool, application)


def _load(option: str, name: str) -> Any:
    """
    What the dotted name given to an option stands for.
    """
    try:
        return load(name)
    except NotLoadable as e:
        raise UsageError(f"{option} {name}: {e}") from e


class ThreadPoolService(Service):
    """
    A thread pool that runs while the service does.
    """

    def __init__(self, reactor: Any, pool: ThreadPool) -> None:
        self._reactor = reactor
        self._pool = pool

    def startService(self) -> None:
        """
        Start the threads: not before a daemon has forked, which would lose
        them.
        """
        super().startService()
        self._pool.start()

    def stopService(self) -> Deferred[None]:
        """
        @return: A L{Deferred} that fires with L{None} when the threads have
            finished what they do, and have ended.
        """
        super().stopService()
        # Not in this thread: what they do may need the reactor to finish.
        return deferToThreadPool(self._reactor, self._reactor.getThreadPool(), self._pool.stop)
