"""Acts as a transparent parent process: forwards signals, stops with the program, and returns its exit status.

This module is on the fast path. The program runs in our process group, so signals from the terminal (Ctrl-C, Ctrl-\\,
Ctrl-Z, a new size) reach it directly; only signals that are sent to our process id are forwarded. The origin of the
signal (si_code) distinguishes the two, on platforms that have sigwaitinfo.
"""

import _signal  # type: ignore[import-not-found]  # see run/program.py
import os

FROM_TERMINAL = (_signal.SIGINT, _signal.SIGQUIT, _signal.SIGTSTP, _signal.SIGWINCH)
SI_KERNEL = 0x80  # si_code, Linux: sent by the kernel, not by kill()

# Not forwarded: signals that cannot be caught, that report a fault of this process, or with which the terminal stops
# both processes.
_NOT_PASSED_ON = {"SIGKILL", "SIGSTOP", "SIGSEGV", "SIGBUS", "SIGFPE", "SIGILL", "SIGABRT", "SIGTRAP", "SIGSYS"}
_NOT_PASSED_ON |= {"SIGTTIN", "SIGTTOU", "SIGIOT", "SIGPIPE", "SIGXFSZ", "SIGXCPU", "SIGURG", "SIGRTMIN", "SIGRTMAX"}
HANDLED = {
    getattr(_signal, name)
    for name in dir(_signal)
    if name.startswith("SIG") and "_" not in name and name not in _NOT_PASSED_ON
}


def block() -> set[int]:
    """Block the signals that wait_for handles. Call it before the program is started.

    Returns:
        The signals that were blocked before, for the program.
    """
    _signal.signal(_signal.SIGCHLD, _signal.SIG_DFL)  # if SIGCHLD is ignored, waiting for a child is not possible
    before: set[int] = _signal.pthread_sigmask(_signal.SIG_BLOCK, HANDLED)
    return before


def unblock(before: set[int]) -> None:
    """Undo `block` if the program could not be started.

    Args:
        before: the signal mask that `block` returned.
    """
    _signal.pthread_sigmask(_signal.SIG_SETMASK, before)


def wait_for(pid: int) -> int:
    """Forward signals until the program has ended.

    Args:
        pid: process id of a child in our process group, started after `block`.

    Returns:
        Exit status of the program, or 128 plus the number of the signal that killed it.
    """
    while True:
        number, from_kernel = _next_signal()
        if number == _signal.SIGCHLD:
            status = _look(pid)
            if status is not None:
                return status
        elif number == _signal.SIGCONT:
            _continue(pid)
        elif not (from_kernel and number in FROM_TERMINAL and _shares_our_group(pid)):
            _send(pid, number)


def _next_signal() -> tuple[int, bool]:
    if hasattr(_signal, "sigwaitinfo"):
        info = _signal.sigwaitinfo(HANDLED)
        return info.si_signo, info.si_code == SI_KERNEL
    # macOS: the origin is unknown; in the foreground process group, the terminal is assumed.
    number: int = _signal.sigwait(HANDLED)
    return number, _is_in_front()


def _look(pid: int) -> int | None:
    """Reap the program, or stop together with it, so that the shell that started us sees a stopped job."""
    while True:
        found, status = os.waitpid(pid, os.WNOHANG | os.WUNTRACED)
        if not found:
            return None
        if os.WIFSTOPPED(status):
            os.kill(os.getpid(), _signal.SIGSTOP)
            continue  # runs after this process was continued
        return os.WEXITSTATUS(status) if os.WIFEXITED(status) else 128 + os.WTERMSIG(status)


def _continue(pid: int) -> None:
    """Continue the program, unless the shell has already continued the whole process group."""
    if not hasattr(os, "waitid"):  # macOS, up to Python 3.12
        _send(pid, _signal.SIGCONT)
        return
    result = os.waitid(os.P_PID, pid, os.WCONTINUED | os.WNOHANG | os.WNOWAIT)
    if result is None:
        _send(pid, _signal.SIGCONT)
    else:
        os.waitid(os.P_PID, pid, os.WCONTINUED | os.WNOHANG)


def _send(pid: int, number: int) -> None:
    try:
        os.kill(pid, number)
    except PermissionError:  # programs such as sudo run as another user
        return


def _shares_our_group(pid: int) -> bool:
    try:
        return os.getpgid(pid) == os.getpgrp()
    except ProcessLookupError:
        return True


def _is_in_front() -> bool:
    try:
        terminal = os.open("/dev/tty", os.O_RDONLY)
    except OSError:
        return False
    try:
        return os.tcgetpgrp(terminal) == os.getpgrp()
    except OSError:
        return False
    finally:
        os.close(terminal)
