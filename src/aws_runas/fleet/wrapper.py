"""The script around the user's script: appends exact counts to the output, and compresses long output.

Run Command returns 24,000 characters of stdout and 8,000 of stderr, and 2,500 of both together in lists. The wrapper
ends stdout with a line that holds a nonce, the byte counts of both streams and the status. If that line is intact and
both counts match, the text is complete and no further call is needed. Long output is sent as gzip in base64, so that
24,000 characters hold 100 to 300 KB of text.

The streams are written to files, because the way they are sent depends on their lengths. A command that is cancelled or
times out is killed together with its wrapper, so the beginning of each stream is sent after one second. Later output
repeats or continues it.
"""

from __future__ import annotations

import base64
import binascii
import re
import shlex
import zlib
from typing import Final

from aws_runas.dataclass import dataclass

PACK_ABOVE: Final = 20_000  # bytes of stdout; below 24,000 characters, the limit of GetCommandInvocation
PACK_ERRORS_ABOVE: Final = 7_000  # bytes of stderr; below 8,000 characters
SENT_EARLY, ERRORS_SENT_EARLY = 2_000, 1_000  # maximum bytes of each stream that are sent while the command runs
EARLY_INTERVAL: Final = 1  # seconds between two checks for output to send
LIST_SEPARATOR: Final = "\n----------ERROR-------\n"  # between the streams in ListCommandInvocations
TRUNCATION_MARKS: Final = ("---Output truncated---", "--output truncated--")  # written by the service and by the agent
MAX_UNPACKED: Final = 16 * 1024 * 1024  # bytes; output from an instance is untrusted and may expand to more

_SCRIPT: Final = """\
n={nonce}; d=$(mktemp -d) || exit 125
trap 'rm -rf "$d"' EXIT
trap 'exit 143' TERM
chmod 711 "$d"
printf %s {script} | base64 -d >"$d/script" || exit 125
chmod 644 "$d/script"
a=0; b=0; : >"$d/out"; : >"$d/err"
pass() {{
  t=$(wc -c <"$1"); t=$((t)); [ "$t" -le "$3" ] || t=$3
  [ "$t" -le "$2" ] || dd if="$1" bs=1 skip="$2" count=$((t - $2)) 2>/dev/null
}}
follow() {{
  while read -r word <&4 && [ "$word" = tick ]; do
    pass "$d/out" "$a" {early}; [ "$t" -le "$a" ] || a=$t
    pass "$d/err" "$b" {early_errors} >&2; [ "$t" -le "$b" ] || b=$t
  done
  echo "$a $b" >"$d/at"
}}
tick() {{ while sleep {interval} && [ -e "$d/err" ]; do echo tick; done; }}
if mkfifo "$d/ticks" 2>/dev/null; then
  exec 4<>"$d/ticks"
  tick >&4 2>/dev/null &
  follow & f=$!
fi
{{ ({change}{start} "$d/script") >"$d/out" 2>"$d/err" </dev/null 4<&-; s=$?; }} 2>>"$d/err"
if [ -e "$d/ticks" ]; then echo end >&4; wait "$f"; read -r a b <"$d/at"; fi
o=$(wc -c <"$d/out"); e=$(wc -c <"$d/err")
o=$((o)); e=$((e))
odd() {{
  [ "$(LC_ALL=C tr -d '\\11\\12\\40-\\176\\200-\\377' <"$1" | wc -c)" -gt 0 ] && return
  [ "$(LC_ALL=C tr -d '\\11\\12\\40-\\176' <"$1" | wc -c)" -eq 0 ] && return 1
  ! iconv -f UTF-8 -t UTF-8 <"$1" >/dev/null 2>&1
}}
show() {{
  if {pack} && command -v gzip >/dev/null && {{ [ "$2" -gt "$3" ] || odd "$1"; }}; then
    [ "$4" -eq 0 ] || echo
    echo "gzip:$n $o $e $s"
    gzip -c "$1" | base64
  elif [ "$2" -gt "$3" ] || [ "$4" -gt "$2" ]; then
    [ "$4" -eq 0 ] || echo
    echo "text:$n $o $e $s"
    cat "$1"
  elif [ "$4" -eq 0 ]; then
    cat "$1"
  else
    tail -c "+$(($4 + 1))" "$1"
  fi
}}
show "$d/out" $o {limit} "$a"
show "$d/err" $e {error_limit} "$b" >&2
printf '\\n%s %d %d %d\\n' "$n" "$o" "$e" "$s"
exit $s
"""


@dataclass(frozen=True, slots=True)
class Unwrapped:
    """Output of the user's script.

    Args:
        exit_status: None if the last line is missing, so the text may be truncated.
        whole: both streams are complete.
        missing: number of missing bytes of both streams, 0 if unknown.
    """

    stdout: str
    stderr: str
    exit_status: int | None
    whole: bool
    missing: int = 0


def wrap(script: str, nonce: str, *, cwd: str | None = None, user: str | None = None, pack: bool = True) -> str:
    """Return one line for AWS-RunShellScript.

    Everything is base64, because the service replaces ``{{...}}`` in commands.

    Args:
        script: the user's shell text.
        nonce: letters and digits that the script cannot know.
        cwd: directory to change to first.
        user: run the script as this user; the agent itself runs as root.
        pack: send long output as gzip.
    """
    change = f"cd -- {shlex.quote(cwd)} && " if cwd else ""
    text = _SCRIPT.format(
        nonce=nonce,
        script=shlex.quote(base64.b64encode(script.encode("utf-8", "surrogateescape")).decode()),
        change=change,
        start=f"sudo -n -u {shlex.quote(user)} -H -- sh" if user else "sh",
        pack="true" if pack else "false",
        limit=PACK_ABOVE,
        error_limit=PACK_ERRORS_ABOVE,
        early=SENT_EARLY,
        interval=EARLY_INTERVAL,
        early_errors=ERRORS_SENT_EARLY,
    )
    encoded = base64.b64encode(text.encode()).decode()
    return f'eval "$(printf %s {encoded} | base64 -d)"'


def wrap_powershell(script: str, *, cwd: str | None = None) -> str:
    """Return one line for AWS-RunPowerShellScript. It has no counts, so the output is always fetched."""
    prefix = "Set-Location -LiteralPath '{}'; ".format(cwd.replace("'", "''")) if cwd else ""
    encoded = base64.b64encode((prefix + script).encode()).decode()
    return (
        "& ([scriptblock]::Create([Text.Encoding]::UTF8.GetString([Convert]::FromBase64String("
        f"'{encoded}')))); exit $LASTEXITCODE"
    )


def unwrap(output: str, error: str | None, nonce: str) -> Unwrapped:
    """Extract the output of the user's script from the text that the service returned.

    Args:
        output: stdout, or both streams of ListCommandInvocations if error is None.
        error: stderr.
        nonce: the nonce that was passed to `wrap`.
    """
    stdout, stderr = _streams(output, error)
    match = re.search(rf"\n?{re.escape(nonce)} (\d+) (\d+) (\d+)\s*\Z", stdout)
    body = stdout[: match.start()] if match else stdout
    out, err = _unpack(body, nonce), _unpack(stderr, nonce)
    counts = tuple(map(int, match.groups())) if match else out.counts or err.counts
    if counts is None:
        return Unwrapped(_without_marks(out.text), _without_marks(err.text), None, whole=False)
    expected, expected_error, status = counts
    got = _length(out.text)
    whole = match is not None and out.intact and got == expected and err.intact and _is_whole(err.text, expected_error)
    missing = max(expected - got, 0) + max(expected_error - _length(err.text), 0)
    return Unwrapped(out.text, err.text, status, whole, missing)


def is_cut(text: str) -> bool:
    """Return True if the end of a stream shows that the service or the agent truncated it."""
    return any(text.rstrip("\n").endswith(mark) for mark in TRUNCATION_MARKS)


def _streams(output: str, error: str | None) -> tuple[str, str]:
    if error is not None:
        return output, error
    head, separator, tail = output.rpartition(LIST_SEPARATOR)
    return (head, tail) if separator else (output, "")


def _is_whole(stderr: str, expected: int) -> bool:
    """Compare a stream with its count; the service may add or drop the last line end of a stream."""
    if any(mark in stderr[-60:] for mark in TRUNCATION_MARKS):
        return False
    return _length(stderr) == expected or _length(stderr.rstrip("\n")) in (expected, expected - 1)


@dataclass(frozen=True, slots=True)
class _Stream:
    """A stream without its header.

    Args:
        counts: bytes of stdout and stderr, and the status; the header repeats them in case the end is truncated.
    """

    text: str
    intact: bool = True
    counts: tuple[int, ...] | None = None


def _unpack(body: str, nonce: str) -> _Stream:
    header = re.search(rf"(gzip|text):{re.escape(nonce)} (\d+) (\d+) (\d+)\n", body)
    if header is None:
        return _Stream(body)
    counts = tuple(map(int, header.groups()[1:]))
    rest = body[header.end() :]
    if header[1] == "text":
        return _Stream(_without_marks(rest), counts=counts)
    letters = re.sub(r"[^A-Za-z0-9+/]", "", _without_marks(rest))
    decoder = zlib.decompressobj(wbits=31)
    try:
        data = decoder.decompress(base64.b64decode(letters[: len(letters) // 4 * 4] + _padding(letters)), MAX_UNPACKED)
    except (zlib.error, binascii.Error):
        return _Stream("", intact=False, counts=counts)
    return _Stream(data.decode("utf-8", "surrogateescape"), decoder.eof, counts)


def _without_marks(text: str) -> str:
    """Remove the mark that the service or the agent appended to a stream that it truncated."""
    for mark in TRUNCATION_MARKS:
        if text.rstrip("\n").endswith(mark):
            text = text.rstrip("\n").removesuffix(mark)
    return text


def _padding(letters: str) -> str:
    rest = letters[len(letters) // 4 * 4 :]
    return rest + "=" * (4 - len(rest)) if len(rest) > 1 else ""


def _length(text: str) -> int:
    try:
        return len(text.encode("utf-8", "surrogateescape"))
    except UnicodeEncodeError:
        return len(text.encode("utf-8", "surrogatepass"))
