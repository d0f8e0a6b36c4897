"""An interrupt of `cp -` before the far side has said the name of its unfinished file."""

from __future__ import annotations

import asyncio
from contextlib import suppress

from aws_runas.ssm.copy.plan import CopyOptions
from aws_runas.ssm.copy.protocol import Reply
from aws_runas.ssm.copy.streams import StreamCopy


class Far:
    """A far side that has made the file, and whose answer comes after the interrupt."""

    def __init__(self) -> None:
        self.opened, self.answer = asyncio.Event(), asyncio.Event()
        self.dropped: list[object] = []

    async def add_worker(self, *, small: bool = False) -> Far:
        return self

    async def call(self, operation: str, values: dict[str, object] | None = None, payload: bytes = b"") -> Reply:
        if operation == "part_open":
            self.opened.set()
            await self.answer.wait()
            return {"part": "/srv/.f.part"}, b""
        if operation == "part_drop":
            self.dropped.append((values or {}).get("part"))
        return {}, b""


def test_a_file_whose_name_comes_after_the_interrupt_is_removed() -> None:
    async def scene() -> list[object]:
        far = Far()
        copy = StreamCopy(far, "/srv/f", CopyOptions(), 0, lambda _: None, lambda _: None)
        task = asyncio.ensure_future(copy.from_stdin(into=False))
        await far.opened.wait()
        task.cancel()
        await asyncio.sleep(0)
        far.answer.set()
        with suppress(asyncio.CancelledError):
            await task
        return far.dropped

    assert asyncio.run(scene()) == ["/srv/.f.part"]
