"""For all tests: default signal handlers, and no skipped test in CI."""

import os
import signal
from collections.abc import Generator

import pytest

# Started by nohup, or in the background of a shell without job control, a run has some of these ignored, and so would
# every program that a test starts and then signals.
signal.signal(signal.SIGINT, signal.default_int_handler)
for _name in ("SIGQUIT", "SIGHUP"):
    if hasattr(signal, _name):
        signal.signal(getattr(signal, _name), signal.SIG_DFL)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Fail a test that skips where RUNAS_TESTS_NO_SKIP is set, as in .ci/run: there every program is installed."""
    report = yield
    if report.skipped and os.environ.get("RUNAS_TESTS_NO_SKIP"):
        reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr)
        report.outcome = "failed"
        report.longrepr = f"{item.nodeid} must not skip here (RUNAS_TESTS_NO_SKIP is set): {reason}"
    return report
