"""Tells of each AWS call on ``-v -v``: service, operation, address, status, time; never a parameter or an answer."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any
from urllib.parse import urlsplit


def attach(session: Any, trace: Callable[[str], None]) -> None:
    """Have a botocore session report its calls.

    Args:
        session: whose clients are watched.
        trace: takes one line.
    """

    def before(request: Any, **_: Any) -> None:
        parts = urlsplit(request.url)
        trace(f"{request.method} {parts.scheme}://{parts.netloc}{parts.path}")

    def called(model: Any, context: Any, **_: Any) -> None:
        context["aws_runas_started"] = time.monotonic()
        trace(f"calling {model.service_model.service_name} {model.name}")

    def answered(model: Any, http_response: Any, parsed: Any, context: Any, **_: Any) -> None:
        took = (time.monotonic() - context.get("aws_runas_started", time.monotonic())) * 1000
        error = parsed.get("Error", {}).get("Code", "")
        request_id = parsed.get("ResponseMetadata", {}).get("RequestId", "")
        words = [model.service_model.service_name, model.name, str(http_response.status_code), error]
        trace(f"answer {' '.join(word for word in words if word)} in {took:.0f} ms, request {request_id or 'unknown'}")

    session.register("before-send", before)
    session.register("before-call", called)
    session.register("after-call", answered)
