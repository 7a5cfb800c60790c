"""
Sessions for Twisted Web that outlive the process, work across processes, never
lose a write, never come back from the dead, and tell you when they end.
"""

from ._version import __version__
from .components import persistentComponent
from .cookie import SessionCookie
from .event import SessionEvent
from .manager import SessionManager
from .session import Session
from .size import SizeLimits
from .subject import SessionSubject
from .web.request import Request, SessionRequestMixin
from .web.site import SessionSiteMixin, Site

__all__ = [
    "Request",
    "Session",
    "SessionCookie",
    "SessionEvent",
    "SessionManager",
    "SessionRequestMixin",
    "SessionSiteMixin",
    "SessionSubject",
    "Site",
    "SizeLimits",
    "__version__",
    "persistentComponent",
]
