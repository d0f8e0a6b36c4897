"""For all tests: default signal handlers, each error names its fix, and no skipped test in CI."""

import os
import signal
from collections.abc import Generator
from typing import Any

import pytest
from hypothesis import HealthCheck, settings

from tests.support import fixes

# A busy machine is no fault of the code: a property holds however long an example takes.
settings.register_profile("untimed", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("untimed")

# Started by nohup, or in the background of a shell without job control, a run has some of these ignored, and so would
# every program that a test starts and then signals.
signal.signal(signal.SIGINT, signal.default_int_handler)
for _name in ("SIGQUIT", "SIGHUP"):
    if hasattr(signal, _name):
        signal.signal(getattr(signal, _name), signal.SIG_DFL)

JUDGE = fixes.Judge()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Fail a test whose errors do not name their fix, and in CI one that skips: there every program is installed."""
    report = yield
    wrong = JUDGE.take(count=not hasattr(getattr(item, "obj", None), "hypothesis"))  # its examples change
    if report.skipped and os.environ.get("RUNAS_TESTS_NO_SKIP"):
        reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr)
        report.outcome = "failed"
        report.longrepr = f"{item.nodeid} must not skip here (RUNAS_TESTS_NO_SKIP is set): {reason}"
    elif wrong and not report.failed:
        report.outcome = "failed"
        report.longrepr = f"{item.nodeid}, {call.when}: see tests/support/fixes.py\n" + "\n".join(wrong)
    return report


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Hand on which errors were raised; where RUNAS_TESTS_EVERY_FIX is set, fail if one never was."""
    output = getattr(session.config, "workeroutput", None)
    if output is not None:
        output["raised"] = sorted(JUDGE.raised)
    elif os.environ.get("RUNAS_TESTS_EVERY_FIX") and JUDGE.never_raised() and not session.exitstatus:
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any) -> None:
    """Take over which errors were raised in a process of the tests."""
    JUDGE.raised.update(getattr(node, "workeroutput", {}).get("raised", ()))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, exitstatus: int) -> None:
    """After a failure, say how to get the same order of sets, and which errors no test raised."""
    if exitstatus:
        terminalreporter.write_line(f"the order of sets was that of PYTHONHASHSEED={os.environ.get('PYTHONHASHSEED')}")
    if os.environ.get("RUNAS_TESTS_EVERY_FIX") and (missing := JUDGE.never_raised()):
        terminalreporter.write_line(f"no test raises these errors of tests/support/fixes.py: {', '.join(missing)}")
