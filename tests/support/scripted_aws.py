"""An AWS on loopback that answers JSON calls from a script, for what moto does not have."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from tests.support.loopback import Quiet, serving

Answer = tuple[int, dict[str, Any]]
LOST = 0  # a status: the call arrives, and its connection is closed without an answer


@dataclass
class ScriptedAws:
    """The script, and what was asked.

    Args:
        answers: by operation, or by path for services that speak REST; the first is taken off until one is
            left, which stays.
        asked: operation and parameters of each call, in order.
    """

    url: str = ""
    answers: dict[str, list[Answer]] = field(default_factory=dict)
    asked: list[tuple[str, dict[str, Any]]] = field(default_factory=list)

    def operations(self) -> list[str]:
        return [operation for operation, _ in self.asked]

    def answer(self, operation: str, parameters: dict[str, Any]) -> Answer:
        self.asked.append((operation, parameters))
        script = self.answers.get(operation) or [(400, {"__type": "UnknownOperationException", "message": operation})]
        return script.pop(0) if len(script) > 1 else script[0]


@contextlib.contextmanager
def scripted_aws(**answers: list[Answer]) -> Iterator[ScriptedAws]:
    """Start it with answers by operation."""
    world = ScriptedAws(answers=answers)

    class Handler(Quiet):
        def do_POST(self) -> None:  # noqa: N802 - http.server's name
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            operation = self.headers.get("X-Amz-Target", "").rpartition(".")[2] or self.path.strip("/")
            status, answer = world.answer(operation, json.loads(body or b"{}"))
            if status == LOST:
                self.close_connection = True
                return
            self.answer(status, json.dumps(answer).encode(), Content_Type="application/x-amz-json-1.1")

    with serving(Handler) as world.url:
        yield world
