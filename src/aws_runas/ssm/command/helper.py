"""The helper: the program that runs on the instance, starts the user's command and speaks frames.

It is a constant. No text from the user is ever inserted into it: the command arrives as data, in frames or in an
environment variable. It must run on Python 3.6 to 3.14 with only the standard library, and it writes nothing to disk.

Frames to the helper (spec sessions 0.5) begin with one line: letter and channel, sequence number, length or signal. A
frame with a repeated number is dropped. Lines that are not frames are ignored.

| line | meaning |
|---|---|
| ``a0 SEQ N`` and N bytes | a part of the request (names and values, each ended by a zero byte) |
| ``r0 SEQ`` | the request is complete: start the command |
| ``d0 SEQ N`` and N bytes | standard input; 0 bytes mark its end |
| ``s0 SEQ SIGNAL`` | a signal for the process group |
| ``q0 SEQ`` | end: HUP, then KILL after a grace period; after the status: the client has everything |

Frames from the helper are one line each: RS, letter, channel, base64. ``h`` hello (as the request), ``c`` credit in
bytes, ``p`` the program has closed its input, ``e`` error, ``t`` tick, ``x`` status or negative signal number. ``3``
and ``4`` are standard output and standard error: bytes with six escapes instead of base64, and ``=.`` at the end where
the agent would hold back the last bytes (ADR 0905).

After the status, it waits for ``q0``. An agent waits only two seconds for acknowledgements after the session's program
has ended, so a client whose network is down for longer would lose the end of the output (ADR 0906).

If RUNAS_REQUEST is in its environment (carrier N, which has no input), the helper reads the request from there.

It imports built-in modules where it can: json, base64, hashlib and signal together take longer than Python's startup.
It exits with _exit: there is nothing to flush, and a normal interpreter shutdown takes a third as long as the startup.
"""

from __future__ import annotations

import base64
import hashlib
import zlib
from functools import cache
from typing import Final

CREDIT: Final = 256 * 1024  # maximum bytes of input that the helper holds, spec sessions 0.5
TICK_INTERVAL: Final = 15.0  # seconds between two ticks of the helper, spec sessions 0.5

HELPER: Final = r"""
import binascii, os, select, sys, time
try:
    import _signal as signal
except ImportError:
    import signal
def send(kind, data=b""):
    out.append(b"\x1e" + kind + b"0" + binascii.b2a_base64(data))
def send_output(kind, data):
    for byte, escape in ESCAPES:
        data = data.replace(byte, escape)
    if max(data[-2:]) > 127:
        data += b"=."
    out.append(b"\x1e" + kind + b"0" + data + b"\n")
def fields(data):
    words = data.split(b"\0")
    return dict(zip(words[::2], words[1::2]))
def members(grouped=False):
    found = []
    for name in os.listdir("/proc") if os.path.isdir("/proc") else []:
        try:
            if name.isdigit() and os.getsid(int(name)) == pid and (grouped or os.getpgid(int(name)) != pid):
                found.append(int(name))
        except OSError:
            pass
    return found
def hit(*numbers):
    for number in numbers:
        for kill, target in [(os.killpg, pid)] + [(os.kill, member) for member in members()]:
            try:
                kill(target, number)
            except OSError:
                pass
def forward(number, frame):
    try:
        if pid and not done:
            os.killpg(pid, number)
    except OSError:
        pass
def hang_up(*ignored):
    global ending
    ending = ending or time.monotonic() + 5
def guard():
    global pid
    r, w = os.pipe()
    if os.fork():
        os.close(r)
        return w
    os.setsid()
    null = os.open(os.devnull, os.O_RDWR)
    for fd in 0, 1, 2:
        os.dup2(null, fd)
    for number in signal.SIGHUP, signal.SIGINT, signal.SIGQUIT, signal.SIGTERM:
        signal.signal(number, signal.SIG_IGN)
    os.close(w)
    told = b""
    while not told.endswith(b"."):
        more = os.read(r, 100)
        if not more:
            pid = int(told or 0)
            if pid:
                hit(signal.SIGHUP, signal.SIGCONT)
                until = time.monotonic() + 5
                while members(True) and time.monotonic() < until:
                    time.sleep(0.1)
                hit(signal.SIGKILL)
            break
        told += more
    os._exit(0)
def start(request):
    global pid, outputs, limit, killing, pace, feeding, done
    pace = float(request.get(b"pace", 0))
    environ = dict(os.environb)
    environ.update((name[4:], value) for name, value in request.items() if name.startswith(b"env "))
    if b"check" in request:
        import subprocess
        checked = subprocess.run(["sh", "-c", request[b"check"]], stdin=subprocess.DEVNULL,
                                 stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        if checked.returncode:
            send(b"e", b"check " + checked.stdout[-2000:])
            done = True
            return
    os.chdir(home if os.path.isdir(home) else "/")
    theirs, feeding = os.pipe() if b"input" in request else (os.open(os.devnull, os.O_RDWR), -1)
    (first, output), (second, errors) = os.pipe(), os.pipe()
    words = ["sh", "-c", request[b"script"]]
    pid = os.fork()
    if not pid:
        try:
            os.setsid()
            for fd, number in (theirs, 0), (output, 1), (errors, 2):
                os.dup2(fd, number)
            for number in signal.SIGPIPE, signal.SIGXFSZ:
                signal.signal(number, signal.SIG_DFL)
            os.execvpe("sh", words, environ)
        finally:
            os._exit(127)
    os.write(guardian, str(pid).encode())
    outputs = {first: b"3", second: b"4"}
    for fd in theirs, output, errors:
        os.close(fd)
    for fd in list(outputs) + [feeding] * (feeding >= 0):
        os.set_blocking(fd, False)
    if b"timeout" in request:
        limit, killing = time.monotonic() + float(request[b"timeout"]), float(request[b"kill_after"])
def ended_now():
    global status
    if status is None:
        reaped, raw = os.waitpid(pid, os.WNOHANG)
        if reaped:
            status = -os.WTERMSIG(raw) if os.WIFSIGNALED(raw) else os.WEXITSTATUS(raw)
    return status is not None
def frame(line, data):
    global seen, request, ended, length
    kind, number = line[0], int(line[1])
    if number <= seen:
        return
    if number != seen + 1:
        send(b"e", b"lost frame %d" % seen)
        return hang_up()
    seen = number
    if kind == b"a0":
        request += data
    elif kind == b"r0":
        start(fields(request))
    elif kind == b"d0" and not ended:
        ended = not data
        if feeding >= 0:
            waiting.append(data)
            length += len(data)
        elif data:
            send(b"c", b"%d" % len(data))
    elif kind == b"s0":
        forward(int(line[2]), None)
    elif kind == b"q0":
        hang_up()
def parse(data):
    global buffer
    buffer += data
    while b"\n" in buffer:
        line, rest = buffer.split(b"\n", 1)
        words = line.split()
        size = 0
        if len(words) >= 2 and words[0] in KINDS and words[1].isdigit():
            size = int(words[2]) if words[0] in (b"a0", b"d0") else 0
            if len(rest) < size:
                return
            frame(words, rest[:size])
        buffer = rest[size:]
def feed():
    global feeding, returned, length
    while feeding >= 0 and waiting:
        try:
            n = os.write(feeding, waiting[0]) if waiting[0] else 0
        except BlockingIOError:
            break
        except OSError:
            return closed()
        if n == 0 and not waiting[0]:
            os.close(feeding)
            feeding = -1
            break
        returned += n
        length -= n
        waiting[0] = waiting[0][n:]
        if not waiting[0]:
            waiting.pop(0)
    if returned >= 65536:
        send(b"c", b"%d" % returned)
        returned = 0
def closed():
    global feeding, returned, length
    os.close(feeding)
    feeding = -1
    send(b"p")
    send(b"c", b"%d" % (returned + length))
    returned = length = 0
    waiting.clear()
def read_output():
    for fd, kind in list(outputs.items()):
        try:
            data = os.read(fd, 6144)
        except BlockingIOError:
            continue
        if data:
            send_output(kind, data)
        else:
            os.close(fd)
            del outputs[fd]
def flush():
    global free_at, out, broken
    while out:
        now = time.monotonic()
        if pace and now < free_at:
            return
        try:
            n = os.write(1, out[0][:8192])
        except BlockingIOError:
            return
        except OSError:
            broken = True
            out.clear()
            return hang_up()
        if pace:
            free_at = max(now, free_at) + n / pace
        out[0] = out[0][n:]
        if not out[0]:
            out.pop(0)
def timers():
    global limit, killing, ending, tick, killed
    now = time.monotonic()
    if limit and now >= limit:
        if killing is not None:
            send(b"e", b"timeout")
            hit(signal.SIGTERM, signal.SIGCONT)
            limit, killing = now + killing, None
        else:
            hit(signal.SIGKILL)
            limit, killed = 0, killed or now + 1
    if ending and pid and not hung:
        hung.append(1)
        hit(signal.SIGHUP, signal.SIGCONT)
    if ending and now >= ending:
        if pid:
            hit(signal.SIGKILL)
        killed = killed or now + 1
    if now >= tick:
        tick = now + 15
        send(b"t")
def serve():
    global done, seen
    lull = 0.001
    while not done or (out and not broken):
        timers()
        if pid and not done and (not outputs or killed) and ended_now() and not out:
            send(b"x", b"%d" % status)
            done = True
        if (ending and not pid) or (killed and time.monotonic() > killed and (not pid or ended_now())):
            if pid and not done:
                send(b"x", b"%d" % status)
            done = True
        flush()
        poll = select.poll()
        if source >= 0 and not broken:
            poll.register(source, select.POLLIN)
        if len(out) < 4:
            for fd in outputs:
                poll.register(fd, select.POLLIN)
        if feeding >= 0:
            poll.register(feeding, select.POLLOUT if waiting else 0)
        if out and not (pace and time.monotonic() < free_at):
            poll.register(1, select.POLLOUT)
        wait, lull = (1.0, lull) if outputs or not pid else (lull, min(lull * 2, 0.05))
        for at in (free_at if out and pace else 0), limit, ending, tick, killed:
            wait = min(wait, max(at - time.monotonic(), 0.001)) if at else wait
        if done and not out:
            break
        for fd, what in poll.poll(wait * 1000):
            if fd == source:
                take()
            elif fd == feeding and not waiting:
                closed()
        feed()
        if len(out) < 4:
            read_output()
def take():
    global source
    try:
        data = os.read(source, 65536)
    except BlockingIOError:
        return
    except OSError:
        data = b""
    if data:
        parse(data)
    else:
        source = -1
        hang_up()
ESCAPES = (b"=", b"=}"), (b"\n", b"=n"), (b"\r", b"=r"), (b"\x1e", b"=s"), (b"\xef", b"=e"), (b"\x11", b"=q")
KINDS = b"a0", b"r0", b"d0", b"s0", b"q0"
out, waiting, outputs, hung = [], [], {}, []
request = buffer = b""
seen = pid = returned = length = pace = 0
limit = ending = killed = free_at = 0.0
tick = time.monotonic() + 15
killing = status = None
feeding = -1
ended = done = broken = False
home = os.path.expanduser("~")
given, script = os.environ.pop("RUNAS_REQUEST", None), os.environ.pop("RUNAS_SCRIPT", "")
source = 0 if given is None else -1
guardian = guard()
signal.signal(signal.SIGHUP, hang_up)
signal.signal(signal.SIGTERM, hang_up)
signal.signal(signal.SIGINT, forward)
signal.signal(signal.SIGQUIT, forward)
for fd in (0, 1) if given is None else (1,):
    os.set_blocking(fd, False)
hello = "helper", "2", "python", sys.version.split()[0], "uid", str(os.getuid()), "home", home, ""
send(b"h", os.fsencode("\0".join(hello)))
if given is not None:
    start(fields(binascii.a2b_base64(given) + b"script\0" + binascii.a2b_base64(script) + b"\0"))
serve()
os.write(guardian, b".")
leave = time.monotonic() + 1200
while source >= 0 and not ending and time.monotonic() < leave:
    poll = select.poll()
    poll.register(source, select.POLLIN)
    if poll.poll(1000):
        take()
os._exit(0)
"""


@cache
def packed_helper() -> str:
    """Return the helper as it is sent: compressed, then base64, without line breaks."""
    return base64.b64encode(zlib.compress(HELPER.encode("ascii"), 9)).decode("ascii")


def helper_digest() -> str:
    """Return the SHA-256 of the helper's source in hexadecimal. ``-v`` prints it."""
    return hashlib.sha256(HELPER.encode("ascii")).hexdigest()
