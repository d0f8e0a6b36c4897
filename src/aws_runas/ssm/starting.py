"""StartSession under way while the rest of the program is loaded.

asyncio and websockets take a tenth of a second to import, the service about as long to answer: both go on at once.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING, Final

from aws_runas.errors import AwsRunasError

if TYPE_CHECKING:
    from aws_runas.aws.session import StartedSession

ABANDON_TIMEOUT: Final = 3.0  # seconds to wait, when leaving, for a session that may have been opened


class Starting:
    """A call of StartSession in a thread.

    Args:
        start: makes the call.
        terminate: ends a session at the service, by its id.
    """

    def __init__(self, start: Callable[[], StartedSession], terminate: Callable[[str], None]) -> None:
        self._start = start
        self._terminate = terminate
        self._started: StartedSession | None = None
        self._error: BaseException | None = None
        self._done = threading.Event()
        threading.Thread(target=self._run, name="start-session", daemon=True).start()

    def result(self) -> StartedSession:
        """Wait for the answer.

        Raises:
            AwsRunasError: as the call says.
        """
        self._done.wait()
        if self._error is not None:
            raise self._error
        if self._started is None:
            raise AssertionError("StartSession neither answered nor failed")
        return self._started

    def abandon(self) -> None:
        """We leave before the session was used: end it, should it have been opened."""
        if self._done.wait(ABANDON_TIMEOUT) and self._started is not None:
            with suppress(AwsRunasError):
                self._terminate(self._started.session_id)

    def _run(self) -> None:
        try:
            self._started = self._start()
        except BaseException as error:
            self._error = error
        finally:
            self._done.set()
