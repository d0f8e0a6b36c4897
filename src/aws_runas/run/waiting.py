"""Being a program's parent without being noticed: its signals, its stops, its exit status. On the fast path.

The program runs in our process group, so what the terminal sends (Ctrl-C, Ctrl-\\, Ctrl-Z, a new size) reaches it
without us; what somebody sends to our process id alone is passed on. The kernel tells the two apart in the signal's
origin (si_code), where the platform has sigwaitinfo.
"""

import _signal  # type: ignore[import-not-found]  # see run/program.py
import os

FROM_TERMINAL = (_signal.SIGINT, _signal.SIGQUIT, _signal.SIGTSTP, _signal.SIGWINCH)
SI_KERNEL = 0x80  # si_code, Linux: sent by the kernel, not by kill()

# Left alone: what cannot be caught, what reports a fault of our own, and stops by the terminal, which hit both.
_NOT_PASSED_ON = {"SIGKILL", "SIGSTOP", "SIGSEGV", "SIGBUS", "SIGFPE", "SIGILL", "SIGABRT", "SIGTRAP", "SIGSYS"}
_NOT_PASSED_ON |= {"SIGTTIN", "SIGTTOU", "SIGIOT", "SIGPIPE", "SIGXFSZ", "SIGXCPU", "SIGURG", "SIGRTMIN", "SIGRTMAX"}
HANDLED = {
    getattr(_signal, name)
    for name in dir(_signal)
    if name.startswith("SIG") and "_" not in name and name not in _NOT_PASSED_ON
}


def block() -> set[int]:
    """Hold back the signals that wait_for takes; to be called before the program is started.

    Returns:
        The signals that were blocked before, for the program.
    """
    _signal.signal(_signal.SIGCHLD, _signal.SIG_DFL)  # where it is ignored, no child could be waited for
    before: set[int] = _signal.pthread_sigmask(_signal.SIG_BLOCK, HANDLED)
    return before


def unblock(before: set[int]) -> None:
    """Undo block, where no program could be started.

    Args:
        before: the signal mask that `block` returned.
    """
    _signal.pthread_sigmask(_signal.SIG_SETMASK, before)


def wait_for(pid: int) -> int:
    """Pass signals on until the program has ended.

    Args:
        pid: a child in our process group, started after block.

    Returns:
        Its exit status, or 128 and the number of the signal that killed it.
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
    number: int = _signal.sigwait(HANDLED)  # macOS: no origin, so a terminal in front of us is taken for it
    return number, _is_in_front()


def _look(pid: int) -> int | None:
    """Reap the program, or stop with it: the shell that started us is to see the job stopped."""
    while True:
        found, status = os.waitpid(pid, os.WNOHANG | os.WUNTRACED)
        if not found:
            return None
        if os.WIFSTOPPED(status):
            os.kill(os.getpid(), _signal.SIGSTOP)
            continue  # here again when somebody has continued us
        return os.WEXITSTATUS(status) if os.WIFEXITED(status) else 128 + os.WTERMSIG(status)


def _continue(pid: int) -> None:
    """Wake the program, unless the shell woke the whole process group already."""
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
    except PermissionError:  # sudo and its like run as somebody else
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
