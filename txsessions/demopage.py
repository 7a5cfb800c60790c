"""
The HTML of the demonstration page: text from facts, all of it escaped.

It needs no script and nothing from elsewhere, and its policy (CSP) allows
neither.
"""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Sequence
from hashlib import sha256
from html import escape
from typing import Final

import attrs

from .duration import spell

NAME_LENGTH: Final = 64
"""
How many characters a user name may have: a page that anybody may write to has
bounds.
"""

NOTE_LENGTH: Final = 200
"""
How many characters a note may have.
"""

STYLE: Final = """
:root { color-scheme: light dark; --ink: #1d2a33; --soft: #5a6b76; --paper: #f6f4ef;
  --card: #fff; --line: #ddd8cc; --accent: #0b6e5f; --on-accent: #fff; }
@media (prefers-color-scheme: dark) {
  :root { --ink: #e6e9ea; --soft: #9fb0b8; --paper: #14191c; --card: #1d2428;
    --line: #344047; --accent: #4fc3ae; --on-accent: #0c1a17; }
}
* { box-sizing: border-box; }
body { margin: 0; background: var(--paper); color: var(--ink);
  font: 1.0625rem/1.55 system-ui, sans-serif; }
main { max-width: 42rem; margin: 0 auto; padding: 2.5rem 1.25rem 3rem; }
h1 { margin: 0; font-size: 1.75rem; line-height: 1.25; letter-spacing: -0.01em; }
h1 strong { color: var(--accent); font-variant-numeric: tabular-nums; }
h2 { margin: 0 0 0.75rem; font-size: 1.0625rem; }
p { margin: 0.5rem 0; }
.soft { color: var(--soft); }
.notice { border-left: 0.25rem solid var(--accent); padding-left: 0.75rem; }
section { margin-top: 1.25rem; padding: 1.25rem; background: var(--card);
  border: 1px solid var(--line); border-radius: 0.75rem; }
dl { display: grid; grid-template-columns: minmax(7rem, auto) 1fr; gap: 0.4rem 1.25rem;
  margin: 0; }
dt { color: var(--soft); }
dd { margin: 0; overflow-wrap: anywhere; }
code { font: 0.9em ui-monospace, monospace; }
p code { white-space: nowrap; }
ul { margin: 0 0 0.75rem; padding-left: 1.25rem; overflow-wrap: anywhere; }
form { display: flex; flex-wrap: wrap; gap: 0.5rem; margin-top: 0.5rem; }
label { flex: 1 1 12rem; }
label span { display: block; font-size: 0.875rem; color: var(--soft); }
input { width: 100%; padding: 0.5rem 0.625rem; font: inherit; color: inherit;
  background: var(--paper); border: 1px solid var(--line); border-radius: 0.5rem; }
button { align-self: end; min-height: 2.75rem; padding: 0 1rem; font: inherit; font-weight: 600;
  color: var(--on-accent); background: var(--accent); border: 0; border-radius: 0.5rem;
  cursor: pointer; }
:focus-visible { outline: 3px solid var(--accent); outline-offset: 2px; }
"""

PAGE: Final = """<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}</title>
<style>{style}</style>
</head>
<body>
<main>
{content}
</main>
</body>
</html>
"""

HEADERS: Final = {
    b"content-type": b"text/html; charset=utf-8",
    b"content-security-policy": (
        b"default-src 'none'; style-src 'sha256-%s'; form-action 'self'; "
        b"base-uri 'none'; frame-ancestors 'none'"
    )
    % b64encode(sha256(STYLE.encode()).digest()),
    b"cache-control": b"no-store",
    # With "no-referrer" browsers would send "Origin: null" with our own forms.
    b"referrer-policy": b"same-origin",
    b"x-content-type-options": b"nosniff",
}


@attrs.frozen
class View:
    """
    What the page shows of a session.

    @ivar sid: The public handle.
    @ivar visits: How often the page was shown.
    @ivar age: How old the session is, in seconds.
    @ivar idle: How long it lives without a visit, in seconds.
    @ivar left: How long it lives at the most from now on, in seconds, or
        C{None}.
    @ivar owner: The session key, or C{None}.
    @ivar notes: What the user noted, oldest first.
    @ivar notice: What the last form did, or C{None}.
    @ivar token: What the forms must send back.
    @ivar isLasting: Whether the store outlives the process.
    """

    sid: str
    visits: int
    age: float
    idle: float
    left: float | None
    owner: str | None = attrs.field(repr=False)
    notes: Sequence[str] = attrs.field(repr=False)
    notice: str | None
    token: str = attrs.field(repr=False)
    isLasting: bool


def render(view: View) -> bytes:
    """
    The page.
    """
    times = "once" if view.visits == 1 else f"{view.visits} times"
    parts = [
        f"<h1>You have been here <strong>{times}</strong>.</h1>",
        f'<p class="soft">{_promise(view.isLasting)}</p>',
        f'<p class="notice" role="status">{escape(view.notice)}</p>' if view.notice else "",
        _facts(view),
        _notes(view),
        _owner(view),
        _cookie(view),
    ]
    return _page("Your session", "\n".join(part for part in parts if part))


def refusal(reason: str) -> bytes:
    """
    The page for a form that is not taken.
    """
    return _page(
        "Not taken",
        f"<h1>Not taken</h1>\n<p>{escape(reason)}</p>\n"
        '<p><a href="./">Back to your session</a></p>',
    )


def _page(title: str, content: str) -> bytes:
    """
    A whole document.
    """
    return PAGE.format(title=title, style=STYLE, content=content).encode("utf-8")


def _promise(isLasting: bool) -> str:
    """
    What happens when the server is restarted.
    """
    if isLasting:
        return (
            "A restart keeps this: stop the server, even with <code>kill -9</code>, "
            "start it again, and reload."
        )
    return (
        "A restart forgets this, because <code>--store memory</code> was asked for; "
        "leave it out, and even <code>kill -9</code> loses nothing."
    )


def _facts(view: View) -> str:
    """
    The session in a table.
    """
    latest = "no limit" if view.left is None else f"in {spell(view.left)}, even if you do"
    facts = [
        ("Public handle", f"<code>{escape(view.sid)}</code>"),
        ("Owner", "nobody yet" if view.owner is None else escape(view.owner)),
        ("Age", spell(view.age)),
        ("Ends", f"in {spell(view.idle)}, unless you come back"),
        ("At the latest", latest),
    ]
    rows = "\n".join(f"<dt>{name}</dt><dd>{value}</dd>" for name, value in facts)
    return (
        f"<section>\n<h2>This session</h2>\n<dl>\n{rows}\n</dl>\n"
        '<p class="soft">The handle is safe to show and to log: '
        "what opens the session is in the cookie alone.</p>\n</section>"
    )


def _notes(view: View) -> str:
    """
    The list, and the form that adds to it.
    """
    items = "".join(f"<li>{escape(note)}</li>" for note in view.notes)
    shown = f"<ul>{items}</ul>\n" if items else '<p class="soft">Nothing yet.</p>\n'
    form = _form(
        view, "note", "Add", f'<input name="note" maxlength="{NOTE_LENGTH}" required>', "A note"
    )
    return f"<section>\n<h2>A list in it</h2>\n{shown}{form}\n</section>"


def _owner(view: View) -> str:
    """
    The form to log in, or the one to log out.
    """
    if view.owner is not None:
        return f"<section>\n<h2>Logged in</h2>\n{_form(view, 'log-out', 'Log out')}\n</section>"
    field = (
        f'<input name="name" maxlength="{NAME_LENGTH}" autocomplete="username" '
        'autocapitalize="none" required>'
    )
    form = _form(view, "log-in", "Log in", field, "Any name; there is no password")
    return f"<section>\n<h2>Log in</h2>\n{form}\n</section>"


def _cookie(view: View) -> str:
    """
    The form to rework.
    """
    return (
        "<section>\n<h2>A new cookie</h2>\n"
        '<p class="soft">Same session, new cookie. A copy of the old one is worth nothing '
        "from then on.</p>\n"
        f"{_form(view, 'rework', 'Rework')}\n</section>"
    )


def _form(view: View, action: str, button: str, field: str = "", label: str = "") -> str:
    """
    A form with at most one field.
    """
    labelled = f"<label><span>{label}</span>{field}</label>\n" if field else ""
    return (
        '<form method="post">\n'
        f'<input type="hidden" name="token" value="{escape(view.token)}">\n'
        f"{labelled}"
        f'<button name="action" value="{action}">{button}</button>\n</form>'
    )
