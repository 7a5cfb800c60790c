"""
A page that shows your session: what C{twistd txsessions} serves when it is
given nothing else.
"""

from __future__ import annotations

from binascii import hexlify
from collections.abc import Callable
from hmac import compare_digest
from os import urandom
from typing import Any, Final

from twisted.internet.defer import Deferred, maybeDeferred
from twisted.python.failure import Failure
from twisted.web.http import FORBIDDEN, SEE_OTHER, SERVICE_UNAVAILABLE
from twisted.web.resource import Resource
from twisted.web.server import NOT_DONE_YET

from .demopage import HEADERS, NAME_LENGTH, NOTE_LENGTH, View, refusal, render
from .errors import StoreUnavailable

NOTES: Final = 20
"""
How many notes are kept; older ones make room.
"""


class Demo(Resource):
    """
    Shows the session of whoever asks, and lets them do what can be done to
    it.

    @ivar _isLasting: Whether to promise that a restart keeps the session.
    @ivar _entropy: Gives that many random bytes.
    """

    def __init__(self, isLasting: bool = True, entropy: Callable[[int], bytes] = urandom) -> None:
        super().__init__()
        self._isLasting = isLasting
        self._entropy = entropy
        self._actions = {
            "note": self._note,
            "log-in": self._logIn,
            "log-out": self._logOut,
            "rework": self._rework,
        }
        self.putChild(b"", self)

    def render_GET(self, request: Any) -> bytes:
        """
        Count the visit, and show the session.
        """
        session = request.getSession()
        data = session.data
        data["visits"] = data.get("visits", 0) + 1
        if "token" not in data:
            data["token"] = self._newToken()
        return _answer(request, render(self._view(session)))

    def render_POST(self, request: Any) -> bytes | int:
        """
        Do what a form asks for, and send the browser back to the page.
        """
        session = request.peekSession()
        action = self._actions.get(_field(request, b"action", NAME_LENGTH))
        if session is None or action is None or not _isOurs(request, session):
            request.setResponseCode(FORBIDDEN)
            return _answer(
                request, refusal("The form was not from this page, or its session has ended.")
            )
        done = maybeDeferred(action, session, request)
        done.addCallbacks(_goBack, _notDone, callbackArgs=(request,), errbackArgs=(request,))
        done.addErrback(request.processingFailed)
        return NOT_DONE_YET

    def _view(self, session: Any) -> View:
        """
        What there is to show; the notice is shown once.
        """
        data = session.data
        age = session.lastModified - session.created
        longest = session.absoluteTimeout
        return View(
            sid=session.sid,
            visits=data["visits"],
            age=age,
            idle=session.sessionTimeout,
            left=None if longest is None else longest - age,
            owner=session.sessionKey,
            notes=list(data.get("notes", ())),
            notice=data.pop("notice", None),
            token=data["token"],
            isLasting=self._isLasting,
        )

    def _note(self, session: Any, request: Any) -> None:
        """
        Append to a list inside of the session's data.
        """
        note = _field(request, b"note", NOTE_LENGTH)
        if note:
            notes = session.data.setdefault("notes", [])
            notes.append(note)
            del notes[:-NOTES]

    def _logIn(self, session: Any, request: Any) -> Deferred[None] | None:
        """
        Give the session an owner.  What a form sends is new from then on, as
        the cookie is.
        """
        name = _field(request, b"name", NAME_LENGTH)
        if not name:
            return None
        session.data["token"] = self._newToken()
        said = "You are logged in. The cookie is a new one, the session is not."
        return session.logIn(name).addCallback(_notice, session, said)

    def _logOut(self, session: Any, request: Any) -> Deferred[None]:
        """
        End the session.
        """
        return session.logOut()

    def _rework(self, session: Any, request: Any) -> Deferred[None]:
        """
        Give the session a new cookie.
        """
        said = "The cookie is a new one. The old one is dead."
        return session.rework().addCallback(_notice, session, said)

    def _newToken(self) -> str:
        """
        What the forms of a session must send back.
        """
        return hexlify(self._entropy(16)).decode("ascii")


def _isOurs(request: Any, session: Any) -> bool:
    """
    Whether a form comes from our own page: by what the browser says of its
    origin, where it says anything, and by the token.
    """
    site = request.getHeader(b"sec-fetch-site")
    origin = request.getHeader(b"origin")
    if site is not None:
        isForeign = site != b"same-origin"
    else:
        # Older browsers say this much.  The scheme is not compared: behind a
        # proxy that ends TLS, it differs.
        isForeign = origin is not None and origin.partition(b"://")[2] != request.getHeader(b"host")
    if isForeign:
        return False
    sent = _field(request, b"token", NAME_LENGTH)
    return compare_digest(sent.encode("utf-8"), session.data.get("token", "").encode("utf-8"))


def _field(request: Any, name: bytes, length: int) -> str:
    """
    What a form sent under a name, at most so many characters of it.
    """
    sent = request.args.get(name, [b""])[0]
    return sent.decode("utf-8", "replace").strip()[:length]


def _answer(request: Any, page: bytes) -> bytes:
    """
    A page, with its headers set.
    """
    for name, value in HEADERS.items():
        request.setHeader(name, value)
    return page


def _notice(result: object, session: Any, text: str) -> None:
    """
    Say on the next page what was done.
    """
    session.data["notice"] = text


def _goBack(result: object, request: Any) -> None:
    """
    Send the browser to the page by a GET (RFC 9110, 15.4.4), so that a reload
    sends no form again.
    """
    request.setResponseCode(SEE_OTHER)
    request.setHeader(b"location", b"./")
    request.finish()


def _notDone(failure: Failure, request: Any) -> None:
    """
    The store cannot answer now (RFC 9110, 15.6.4).
    """
    failure.trap(StoreUnavailable)
    request.setResponseCode(SERVICE_UNAVAILABLE)
    request.setHeader(b"retry-after", b"5")
    request.write(_answer(request, refusal("The server is busy; please try again.")))
    request.finish()
