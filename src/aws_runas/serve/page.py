"""The page for people: one template, everything in it, nothing fetched from elsewhere."""

from __future__ import annotations

from pathlib import Path

from aws_runas.serve.http import Response

PATHS = ("/", "/index.html")


def render(token: str, nonce: str, kind: str) -> Response:
    """The page.

    Args:
        token: sent back with every change of state; only a reader of this page knows it.
        kind: "ec2" or "ecs".
        nonce: random, new for each response: marks the one script and the one style sheet that may run.
    """
    template = (Path(__file__).parent / "page.html").read_text(encoding="utf-8")
    body = template.replace("{{nonce}}", nonce).replace("{{token}}", token).replace("{{kind}}", kind)
    policy = (
        f"default-src 'none'; script-src 'nonce-{nonce}'; style-src 'nonce-{nonce}'; connect-src 'self'; "
        "img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    )
    headers = (
        ("Content-Security-Policy", policy),
        ("X-Frame-Options", "DENY"),
        ("Cross-Origin-Opener-Policy", "same-origin"),
        ("Permissions-Policy", "clipboard-read=(), camera=(), geolocation=(), microphone=()"),
    )
    return Response(200, body.encode(), "text/html; charset=utf-8", headers)
