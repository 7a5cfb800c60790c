"""
What authors of applications and of stores test with.

Stores that fail, hang, delay, wait and count, around any store; an in-memory
browser for any Site.  From modules of their own, because they need more than
that: the suite that a store's author inherits
(L{txsessions.testing.contract}), every order of what several processes do
(L{txsessions.testing.explorer}), and anything against a model
(L{txsessions.testing.machine}).
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
