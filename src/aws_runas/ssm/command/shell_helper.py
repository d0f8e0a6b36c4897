"""The shell helper: the same frames without Python, with ``sh``, ``stty``, ``dd`` and ``base64`` or ``openssl``.

It is also a constant; the command arrives as base64 in variables that lines of the bootstrap assign. Its restrictions:
it forwards no signals except the end of the session, a frame holds 3,000 bytes, and a program that does not read its
input blocks everything after it.

Carrier N without Python needs no frames: each of its two streams ends with a sentinel, which is removed here. The
sentinel is ASCII, so the agent does not hold back an incomplete character (spec sessions 0.3 b). The agent still
damages the character U+FFFD there (0.3 a).
"""

from __future__ import annotations

import base64
import hashlib
from typing import Final

from aws_runas.ssm.command.bootstrap import Bootstrap, assignments
from aws_runas.ssm.command.request import CommandRequest

SHELL_CREDIT: Final = 32 * 1024  # maximum bytes in flight; less than the capacity of a pipe (64 KiB)
RESTRICTIONS: Final = (
    "no Python on the instance: signals only end the session, and a command that does not read its input stalls"
)

# Variables: E encodes, D decodes, C is the script, K a check that must succeed first, both in base64; I is 1 for input.
# f NUMBER: writes the frames of an output, and an empty frame at its end. p: printf with a single write. The printf of
# bash and busybox uses several writes for a long line, so a credit or a frame of the other output could come between.
# g: reads input from frames. m: runs the command. N: reads a header into k, s and z.
# w: waits until the client confirms that it has received everything, as the Python helper does.
# Descriptors: 3 standard error on its way to its f, 4 the terminal, 5 output on its way to its f, 6 the status.
# The read of bash, ksh and zsh reads ahead on a terminal, and dd cannot get what was read. The mapfile of bash (4.0)
# reads byte by byte. The bootstrap's lines were read with read, so no input may follow them before the first credit.
# Only the command and its f hold 3: g may wait for input long after the command has ended.
SHELL_HELPER: Final = r"""
p(){ printf "$@"|dd bs=8192 count=1 iflag=fullblock 2>/dev/null;}
f(){ while d=$(dd bs=3000 count=1 2>/dev/null|$E)&&[ "$d" ];do p '\036%s0%s\n' "$1" "$d";done
printf '\036%s0\n' "$1";}
N(){ read -r k s z _;}
[ "$BASH_VERSION" ]&&N(){ mapfile -n 1 a&&[ "$a" ]&&set -f&&set -- $a&&k=$1&&s=$2&&z=$3;}
g(){ n=0;t=0;printf '\036c0%s\n' "$(printf @CREDIT@|$E)">&4;while N;do case $k in
d0)[ "$z" -eq 0 ]&&return
if [ "$s" -le "$n" ];then dd bs="$z" count=1 iflag=fullblock >/dev/null 2>&1;continue;fi
n=$s;dd bs="$z" count=1 iflag=fullblock 2>/dev/null;t=$((t+z))
if [ "$t" -ge 8192 ];then printf '\036c0%s\n' "$(printf %s "$t"|$E)">&4;t=0;fi;;
q0)return;;esac;done;}
m(){ exec 5>&1
r=$({ { (eval "$C" 2>&3 3>&- 4>&- 5>&- 6>&-);echo $?>&6;} 3>&1 >&5|f 2 >&4;} 6>&1)
printf '\036x0%s\n' "$(printf %s "$r"|$E)">&4;}
w(){ while N;do case $k in
d0)dd bs="$z" count=1 iflag=fullblock >/dev/null 2>&1;;
q0)return;;esac;done;}
exec 4>&1
v=$KSH_VERSION$ZSH_VERSION;[ "$BASH_VERSION" ]&&! type mapfile >/dev/null 2>&1&&v="bash $BASH_VERSION"
if [ "$I" = 1 ]&&[ "$v" ];then
printf '\036e0%s\n' "$(printf 'shell %s reads ahead, and would damage the input' "$v"|$E)";exit;fi
C=$(printf %s "$C"|$D)
if [ "$K" ]&&! e=$(eval "$(printf %s "$K"|$D)" 2>&1 </dev/null);then
printf '\036e0%s\n' "$(printf 'check %s' "$e"|$E)";w;exit;fi
if [ "$I" = 1 ];then g|m|f 1 >&4
else m </dev/null|f 1 >&4;fi
w
exit
""".replace("@CREDIT@", str(SHELL_CREDIT))


def shell_helper_digest() -> str:
    """Return the SHA-256 of the shell helper's source in hexadecimal."""
    return hashlib.sha256(SHELL_HELPER.encode("ascii")).hexdigest()


def missing_tools(tools: frozenset[str]) -> list[str]:
    """Return the tools that the shell helper needs and the instance does not have."""
    missing = [name for name in ("stty", "dd") if name not in tools]
    return missing if tools & {"base64", "openssl"} else [*missing, "base64 or openssl"]


def shell_helper_lines(bootstrap: Bootstrap, request: CommandRequest, tools: frozenset[str]) -> list[bytes]:
    """Return the messages that start the shell helper; the shell of the bootstrap executes them.

    Args:
        bootstrap: the bootstrap whose session reported PythonMissing.
        request: the command.
        tools: from PythonMissing; missing_tools must return an empty list for them.
    """
    has_base64 = "base64" in tools
    encoder, decoder = ("base64 -w0", "base64 -d") if has_base64 else ("openssl base64 -A", "openssl base64 -d -A")
    lines = [f"E='{encoder}' D='{decoder}' I={int(request.wants_input)}"]
    script = request.script(with_env=True)
    for name, text in (("C", script), ("K", request.check()), ("H", SHELL_HELPER)):
        encoded = base64.b64encode(text.encode("utf-8", "surrogateescape")).decode("ascii")
        parts, value = assignments(name.lower(), encoded, bootstrap.chunk_size())
        lines += [*parts, f"{name}={value}"]
    lines.append('eval "$(printf %s "$H"|$D)"')
    return [bootstrap.line(line) for line in lines]


MAX_STATUS_DIGITS: Final = 3


def plain_script(nonce: str) -> str:
    """Return the shell text that runs the script in RUNAS_SCRIPT and prints the sentinels."""
    return (
        "unset RUNAS_REQUEST RUNAS_HELPER;"
        'C=$(printf %s "$RUNAS_SCRIPT"|base64 -d 2>/dev/null||printf %s "$RUNAS_SCRIPT"|openssl base64 -d -A);'
        'unset RUNAS_SCRIPT;{ (eval "$C" 2>&3 3>&-);S=$?;} 3>&2 2>/dev/null;'
        f'printf "\\036{nonce} $S\\036";printf "\\036{nonce}\\036" >&2'
    )


class SentinelFilter:
    """Filter of one stream: passes data on and holds back bytes that may be part of the sentinel.

    Args:
        nonce: the nonce that was passed to plain_script.
        with_status: the sentinel holds the command's status, as on standard output.
    """

    def __init__(self, nonce: str, *, with_status: bool) -> None:
        self._start = f"\x1e{nonce}{' ' if with_status else ''}".encode("ascii")
        self._longest = len(self._start) + MAX_STATUS_DIGITS + 1
        self._kept = b""
        self.status: int | None = None
        self.ended = False

    def receive_data(self, data: bytes) -> bytes:
        """Process output, and return the part that the command wrote."""
        if self.ended:
            return b""
        data = self._kept + data
        at = data.rfind(self._start)
        if at >= 0:
            digits, found, _ = data[at + len(self._start) :].partition(b"\x1e")
            if found and len(digits) <= MAX_STATUS_DIGITS and (digits.isdigit() or not digits):
                self.status = int(digits or b"0")
                self.ended = True
                self._kept = b""
                return data[:at]
        last = data.rfind(b"\x1e")
        kept = max(len(data) - self._longest, 0) if last < 0 else max(last, len(data) - self._longest)
        if last < 0 or last < len(data) - self._longest:
            kept = len(data)
        self._kept = data[kept:]
        return data[:kept]

    def rest(self) -> bytes:
        """Return the bytes that were held back, at the end of a session without a sentinel."""
        kept, self._kept = self._kept, b""
        return kept
