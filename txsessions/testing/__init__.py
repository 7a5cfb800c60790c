"""
What authors of applications and of stores test with.

Stores that fail, hang, delay, wait and count, around any store; an in-memory
browser for any Site.  The suite that a store's author inherits is
L{txsessions.testing.contract}; it is imported from there, because it needs
pytest.
"""

from ..stores.wrapping import Call, WrappingStore
from .browser import Browser, BrowserConnection, TooManyRedirects
from .cookiejar import Cookie, CookieJar
from .outcome import resultOf
from .response import MalformedResponse, Response
from .setcookie import SetCookie
from .stores import DelayingStore, FailingStore, Gate, GatedStore, HangingStore, RecordingStore

__all__ = [
    "Browser",
    "BrowserConnection",
    "Call",
    "Cookie",
    "CookieJar",
    "DelayingStore",
    "FailingStore",
    "Gate",
    "GatedStore",
    "HangingStore",
    "MalformedResponse",
    "RecordingStore",
    "Response",
    "SetCookie",
    "TooManyRedirects",
    "WrappingStore",
    "resultOf",
]
