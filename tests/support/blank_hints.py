"""Plugin of pytest that proves which hints are asserted: it blanks them all, and looks which tests fail.

    python -m pytest -n 0 -p tests.support.blank_hints tests/unit tests/integration

The run fails, as it should. At its end are the codes whose blanked hint is in no failure: no test that ran would notice
if that hint were wrong. Programs that tests start are not reached; for those, their tests must be read.
"""

from __future__ import annotations

import re

import pytest

from aws_runas.errors import AwsRunasError

MARK = re.compile(r"blanked-hint-of-([a-z0-9-]+)-end")
blanked: set[str] = set()
noticed: set[str] = set()
_init = AwsRunasError.__init__


def _blank(
    self: AwsRunasError, message: str, *, code: str, hint: str | None = None, details: tuple[str, ...] = ()
) -> None:
    if hint is not None:
        blanked.add(code)
        hint = f"blanked-hint-of-{code}-end"
    _init(self, message, code=code, hint=hint, details=details)


AwsRunasError.__init__ = _blank  # type: ignore[method-assign]


@pytest.hookimpl
def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    """Take the blanked hints out of the text of a failure."""
    if report.failed:
        noticed.update(MARK.findall(str(report.longrepr)))


@pytest.hookimpl
def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say which hints no test noticed."""
    unnoticed = sorted(blanked - noticed)
    terminalreporter.write_line(f"{len(noticed)} hints are asserted; raised, and not asserted: {len(unnoticed)}")
    for code in unnoticed:
        terminalreporter.write_line(f"  {code}")
