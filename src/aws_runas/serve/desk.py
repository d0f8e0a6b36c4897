"""Messages and questions for the user at the server's page during a sign-in."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Iterator, Sequence

from aws_runas.dataclass import dataclass
from aws_runas.errors import CredentialsError

PATIENCE = 600.0  # seconds that a question waits for its answer
MAX_LINES = 20  # messages of a sign-in; older ones are dropped


@dataclass(frozen=True, slots=True)
class Question:
    """Question on the page.

    Args:
        number: distinguishes an answer to this question from a late answer to the previous one.
        text: the question.
        secret: hide the answer while it is typed.
        choices: the answer is the index of one of these; empty for free text.
    """

    number: int
    text: str
    secret: bool = False
    choices: tuple[str, ...] = ()

    def document(self) -> dict[str, object]:
        """Return the question in the form that the page reads."""
        return {"number": self.number, "text": self.text, "secret": self.secret, "choices": list(self.choices)}


class Desk:
    """Connection between the sign-in of one profile and the page. Thread-safe.

    Unless the user has started a sign-in on the page, a question fails at once.

    Args:
        patience: seconds that a question waits for its answer.
    """

    def __init__(self, patience: float = PATIENCE) -> None:
        self._patience = patience
        self._changed = threading.Condition()
        self._open = False
        self._lines: list[str] = []
        self._question: Question | None = None
        self._answer: str | None = None
        self._number = 0

    @contextlib.contextmanager
    def attended(self) -> Iterator[None]:
        """Let the provider ask the user at the page; for the thread that calls the provider."""
        with self._changed:
            self._open, self._lines, self._question = True, [], None
        try:
            yield
        finally:
            with self._changed:
                self._open, self._lines, self._question = False, [], None

    def is_attended(self) -> bool:
        """Return True while a sign-in that was started on the page is running."""
        return self._open

    def document(self) -> dict[str, object] | None:
        """Return the state of the sign-in for the page; None if there is no sign-in."""
        with self._changed:
            if not self._open:
                return None
            question = self._question.document() if self._question else None
            return {"lines": list(self._lines), "question": question}

    def say(self, line: str) -> None:
        """Show a line on the page while a sign-in is running."""
        with self._changed:
            self._lines = [*self._lines, line][-MAX_LINES:]

    def ask(self, question: str) -> str:
        """Ask for a value that may be displayed; see `_ask`."""
        return self._ask(question)

    def ask_secret(self, question: str) -> str:
        """Ask for a password; see `_ask`."""
        return self._ask(question, secret=True)

    def ask_passphrase(self, question: str) -> str:
        """Ask for the passphrase of the keyring file.

        Raises:
            CredentialsError: no user is at the page, or there was no answer.
        """
        if not self._open:
            raise CredentialsError(
                "the keyring file needs its passphrase",
                code="keyring-locked",
                hint="type it on the server's page, or set RUNAS_KEYRING_PASSPHRASE where the server starts",
            )
        return self._ask(question, secret=True)

    def choose(self, title: str, rows: Sequence[str]) -> int | None:
        """Let the user choose; return None if no user is at the page."""
        if not self._open:
            return None
        chosen = self._ask(title, choices=tuple(rows))
        return int(chosen) if chosen.isascii() and chosen.isdigit() and int(chosen) < len(rows) else None

    def answer(self, text: str, number: int | None = None) -> bool:
        """Answer the open question; an empty text ends the sign-in.

        Args:
            number: the number of the question; None for the open one.

        Returns:
            False if no such question is open.
        """
        with self._changed:
            question = self._question
            if question is None or self._answer is not None or number not in (None, question.number):
                return False
            self._answer = text
            self._changed.notify_all()
            return True

    def _ask(self, text: str, *, secret: bool = False, choices: tuple[str, ...] = ()) -> str:
        """Show a question and wait for its answer.

        Raises:
            CredentialsError: no user is at the page, there was no answer in time, or the user cancelled.
        """
        with self._changed:
            if not self._open:
                raise CredentialsError(
                    f"the sign-in asks for {text.strip().rstrip(':')!r}, and it was not started on the page",
                    code="login-needed",
                    hint="sign in on the server's page",
                )
            self._number += 1
            self._question, self._answer = Question(self._number, text.strip().rstrip(":"), secret, choices), None
            deadline = time.monotonic() + self._patience
            answered = self._changed.wait_for(lambda: self._answer is not None, deadline - time.monotonic())
            answer, self._answer, self._question = self._answer, None, None
        if not answered or not answer:
            raise CredentialsError(
                "the sign-in was cancelled on the page" if answered else "no answer was given on the server's page",
                code="sign-in-given-up",
                hint="start it again on the server's page",
            )
        return answer
