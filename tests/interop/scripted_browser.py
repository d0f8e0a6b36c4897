"""A browser for tests that start a program with an address: follows redirects, fills in forms, closes.

SCRIPT says what the person does: "sign-in", "deny" (cancels at the consent), "other-nonce" (what a page could do that
changes the request on its way), or "paste" (the browser is elsewhere: the last address is printed).
"""

from __future__ import annotations

import html
import http.cookiejar
import os
import re
import sys
import urllib.error
import urllib.parse
import urllib.request


class Stay(urllib.request.HTTPRedirectHandler):
    """Follows nothing by itself."""

    def redirect_request(self, *_: object) -> None:
        return None


OPENER = urllib.request.build_opener(
    urllib.request.ProxyHandler({}), Stay(), urllib.request.HTTPCookieProcessor(http.cookiejar.CookieJar())
)


def visit(url: str, form: dict[str, str] | None = None) -> tuple[str, str]:
    """Return the address that is reached at last, and its page."""
    for _ in range(20):
        data = urllib.parse.urlencode(form).encode() if form is not None else None
        try:
            with OPENER.open(url, data, timeout=20) as answer:
                return url, answer.read().decode()
        except urllib.error.HTTPError as error:
            with error:
                if error.code not in (302, 303):
                    return url, error.read().decode()
                target = urllib.parse.urljoin(url, error.headers["Location"])
                if os.environ.get("SCRIPT") == "paste" and "/callback?" in target:
                    print(target)
                    raise SystemExit(0) from None
                url, form = changed(urllib.parse.urljoin(url, error.headers["Location"])), None
    raise SystemExit("too many redirects")


def changed(url: str) -> str:
    if os.environ.get("SCRIPT") == "other-nonce" and "nonce=" in url:
        return re.sub(r"nonce=[^&]+", "nonce=of-somebody-else", url)
    return url


def fields(page: str) -> dict[str, str]:
    found = re.findall(r'<input type="hidden" name="([^"]+)" value="([^"]*)"', page)
    return {name: html.unescape(value) for name, value in found}


def main(address: str) -> None:
    url, page = visit(changed(address))
    for _ in range(6):
        action = re.search(r'<form[^>]* action="([^"]+)"', page)
        if action is None:
            return
        values = fields(page)
        if 'name="login"' in page:
            values |= {"login": "jane", "password": "any"}
        elif os.environ.get("SCRIPT") == "deny":
            cancel = re.search(r'href="([^"]*abort)"', page)
            assert cancel is not None, page
            url, page = visit(urllib.parse.urljoin(url, html.unescape(cancel[1])))
            continue
        url, page = visit(urllib.parse.urljoin(url, html.unescape(action[1])), values)


if __name__ == "__main__":
    main(sys.argv[1])
