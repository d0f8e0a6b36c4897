"""Pages of single sign-on for the user's browser: consent to a sign-in, by code or on another device.

Any site may open a page, and opening it changes nothing. Consent is a POST that only the page itself can send: it
needs the origin of the page and the token in it.
"""

from __future__ import annotations

import hmac
import secrets
from html import escape
from urllib.parse import parse_qsl, urlencode

from aws_runas.sandbox.services.errors import Reply
from aws_runas.sandbox.services.http import BROWSER_PATHS
from aws_runas.sandbox.services.requests import Request
from aws_runas.sandbox.services.sso_oidc import OidcError, SsoOidc

HEADERS = {
    "Content-Type": "text/html; charset=utf-8",
    "Cache-Control": "no-store",
    "Referrer-Policy": "same-origin",  # with no-referrer, browsers send "Origin: null" with the form of the page
    "X-Frame-Options": "DENY",
    # without form-action, which browsers also apply to the redirect to the client
    "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'; base-uri 'none'",
}
STYLE = "body{font:1.1rem sans-serif;max-width:32rem;margin:4rem auto}button{font:inherit;margin-right:1rem}"


class SsoPages:
    """Pages ``/authorize`` and ``/device``."""

    def __init__(self, oidc: SsoOidc) -> None:
        self._oidc = oidc
        self._page_token = secrets.token_urlsafe(24)

    def serves(self, request: Request) -> bool:
        """Return True if a request is for a page."""
        return request.path in BROWSER_PATHS

    def handle(self, request: Request) -> Reply:
        """Show a page, or record the user's decision."""
        query = dict(parse_qsl(request.query))
        if request.method not in ("GET", "POST"):
            return _page(405, "Not allowed", "")
        form = dict(parse_qsl(request.body.decode("utf-8", "replace"))) if request.method == "POST" else None
        if form is not None and not hmac.compare_digest(form.get("page", "").encode(), self._page_token.encode()):
            return _page(403, "Not allowed", "This decision does not come from the sign-in page.")
        if request.path == "/device":
            return self._device(query, form)
        return self._authorize(query, form)

    def _authorize(self, query: dict[str, str], form: dict[str, str] | None) -> Reply:
        try:
            request = self._oidc.authorization(query)
        except OidcError as problem:
            return _page(400, "This sign-in is not possible", problem.description)
        if form is None:
            return self._question("A program on this machine wants to sign in", "Allow aws-runas to use your access?")
        if form.get("decision") == "allow":
            answer = {"code": self._oidc.approve(request), "state": request.state}
        else:
            answer = {
                "error": "access_denied",
                "error_description": "The user denied the request",
                "state": request.state,
            }
        return Reply(302, b"", HEADERS | {"Location": f"{request.redirect_uri}?{urlencode(answer)}"})

    def _device(self, query: dict[str, str], form: dict[str, str] | None) -> Reply:
        code = (form or query).get("user_code", query.get("user_code", ""))
        if not code:
            field = "<form><p><label>Code <input name=user_code></label> <button>Next</button></form>"
            return _page(200, "Sign in on another device", field, raw=True)
        device = self._oidc.device(code)
        if device is None:
            return _page(404, "This code is unknown", "It may have expired.")
        if form is None:
            return self._question("Sign in on another device", f"Does the terminal show the code {device.user_code}?")
        device.approved = form.get("decision") == "allow"
        return _page(200, "Done", "You may close this window and return to the terminal.")

    def _question(self, title: str, text: str) -> Reply:
        body = (
            f"<p id=question>{escape(text)}<form method=post><input type=hidden name=page value={self._page_token}>"
            "<button id=allow name=decision value=allow>Allow</button>"
            "<button id=deny name=decision value=deny>Deny</button></form>"
        )
        return _page(200, title, body, raw=True)


def _page(status: int, title: str, body: str, *, raw: bool = False) -> Reply:
    text = body if raw else f"<p>{escape(body)}"
    html = (
        f"<!doctype html><html lang=en><meta charset=utf-8><title>{escape(title)}</title><style>{STYLE}</style>"
        f"<h1>{escape(title)}</h1>{text}</html>\n"
    )
    return Reply(status, html.encode(), dict(HEADERS))
