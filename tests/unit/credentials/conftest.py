"""A counting STS, a home, and an Access over both."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from aws_runas.aws.access import Access
from aws_runas.cli.terminal.prompt import no_terminal
from aws_runas.config.resolve import Overrides
from aws_runas.credentials.build import Prompts, open_access
from aws_runas.signin.context import RunContext
from tests.support.sts_server import Sts, running_sts, write_home


@pytest.fixture
def sts() -> Iterator[Sts]:
    with running_sts() as server:
        yield server


@dataclass
class World:
    """A home, an STS, a person who types codes, and a clock.

    Args:
        answers: what the person types, in order.
        questions: what the person was asked.
        offset: seconds that the clock is ahead.
        somebody: whether there is a terminal.
    """

    sts: Sts
    home: Path
    environ: dict[str, str]
    answers: list[str] = field(default_factory=list)
    questions: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    log: list[str] = field(default_factory=list)
    offset: float = 0.0
    somebody: bool = True

    def access(self, name: str | None = None, overrides: Overrides | None = None, **environ: str) -> Access:
        return open_access(
            name,
            overrides or Overrides(),
            RunContext(
                environ=self.environ | environ,
                home=self.home,
                now=self.now,
                warn=self.warnings.append,
                debug=self.log.append,
                trace=self.log.append,
            ),
            Prompts(self.prompt),
        )

    def now(self) -> float:
        return time.time() + self.offset

    def prompt(self, question: str) -> str:
        if not self.somebody:
            raise no_terminal()
        self.questions.append(question)
        return self.answers.pop(0)

    @property
    def cache(self) -> Path:
        return self.home / ".aws" / "aws-runas" / "cache"

    def entries(self, kind: str) -> list[Path]:
        return sorted(path for path in self.cache.glob(f"{kind}-*.json"))


@pytest.fixture
def world(sts: Sts, tmp_path: Path) -> World:
    return World(sts, tmp_path, write_home(tmp_path, sts.url))


@pytest.fixture
def world_with(sts: Sts, tmp_path: Path) -> Callable[[str], World]:
    """Makes a world whose config file has more in it."""
    return lambda more: World(sts, tmp_path, write_home(tmp_path, sts.url, more=more))
