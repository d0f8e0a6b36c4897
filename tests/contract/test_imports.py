"""Who may import whom: the rules of ARCHITECTURE.md, and the few modules of the fast start."""

from __future__ import annotations

import ast
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from aws_runas.fast import shortcut as fast
from aws_runas.fast import start

SOURCE = Path(__file__).parents[2] / "src" / "aws_runas"
MODULES = {".".join(path.relative_to(SOURCE).with_suffix("").parts): path for path in sorted(SOURCE.rglob("*.py"))}

# What each room may import of ours, besides itself. Errors, files, redact and the two models, plain values, are
# everybody's.
COMMON = ("errors", "files", "redact", "aws.credentials", "aws.session", "fast.names")
CREDENTIALS = ("credentials", "aws", "config")
ALLOWED = {
    "config": (),
    "aws": ("config",),
    "credentials": ("aws", "config"),
    "identity": CREDENTIALS,
    "targets": CREDENTIALS,
    "run": CREDENTIALS,
    "serve": (*CREDENTIALS, "identity"),
    "ssm": (*CREDENTIALS, "targets"),
    "ssm.core": (),
    "ssm.transport": ("ssm.core",),
}
BOTOCORE = ("aws.", "ssm.api", "ssm.kms", "sandbox.")
PRINTING = ("cli.", "sandbox.", "__main__")


def _imports(path: Path) -> Iterator[str]:
    """Every module that is imported when the program runs, wherever the statement stands; not for types alone."""
    waiting: list[ast.AST] = [ast.parse(path.read_text())]
    while waiting:
        node = waiting.pop()
        if isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING":
            waiting += node.orelse
            continue
        waiting += ast.iter_child_nodes(node)
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield alias.name
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module
            for alias in node.names:
                yield f"{node.module}.{alias.name}"


def _room_of(module: str) -> str | None:
    return max((room for room in ALLOWED if module == room or module.startswith(room + ".")), key=len, default=None)


def _is_in(module: str, rooms: tuple[str, ...]) -> bool:
    return any(module == room or module.startswith(room + ".") for room in rooms)


def test_a_room_imports_only_what_lies_below_it() -> None:
    wrong = []
    for module, path in MODULES.items():
        room = _room_of(module)
        if room is None:
            continue
        allowed = (room, *ALLOWED[room], *COMMON)
        for name in _imports(path):
            ours = name.removeprefix("aws_runas.")
            known = ours != name and any(ours == each or each.startswith(ours + ".") for each in MODULES)
            if known and ours and not _is_in(ours, allowed):
                wrong.append(f"{module} imports {ours}")
    assert wrong == []


def test_only_its_own_command_imports_the_sandbox() -> None:
    importers = {
        module
        for module, path in MODULES.items()
        for name in _imports(path)
        if name.startswith("aws_runas.sandbox") and not module.startswith("sandbox")
    }
    assert importers <= {"cli.commands.sandbox"}


def test_only_the_door_to_aws_knows_botocore() -> None:
    importers = {
        module for module, path in MODULES.items() for name in _imports(path) if name.split(".")[0] == "botocore"
    }
    assert [module for module in importers if not module.startswith(BOTOCORE)] == []


def test_the_protocol_core_imports_the_standard_library_and_does_no_input_or_output() -> None:
    forbidden = {
        "asyncio",
        "socket",
        "ssl",
        "select",
        "selectors",
        "subprocess",
        "threading",
        "time",
        "random",
        "secrets",
        "os",
    }
    wrong = []
    for module, path in MODULES.items():
        if not module.startswith("ssm.core"):
            continue
        for name in _imports(path):
            top = name.split(".")[0]
            third = top not in sys.stdlib_module_names and top != "aws_runas"
            if (third and not (module == "ssm.core.encryption" and top == "cryptography")) or top in forbidden:
                wrong.append(f"{module} imports {name}")
    assert wrong == []


def test_nothing_below_the_command_line_prints() -> None:
    wrong = []
    for module, path in MODULES.items():
        if module.startswith(PRINTING):
            continue
        for node in ast.walk(ast.parse(path.read_text())):
            if not isinstance(node, ast.expr):
                continue
            is_print = isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "print"
            is_stream = (
                isinstance(node, ast.Attribute)
                and node.attr in ("stdout", "stderr", "stdin", "argv")
                and isinstance(node.value, ast.Name)
                and node.value.id == "sys"
            )
            if is_print or is_stream:
                wrong.append(f"{module}:{node.lineno}")
    assert wrong == []


FAST = {
    "aws_runas",
    "aws_runas.__main__",
    "aws_runas.fast",
    "aws_runas.fast.start",
    "aws_runas.fast.names",
    "aws_runas.fast.shortcut",
    "aws_runas.errors",
    "aws_runas.run",
    "aws_runas.run.environment",
    "aws_runas.run.program",
    "_signal",
    "time",
}
FAST_BESIDE = FAST | {
    "aws_runas.run.endpoint_mode",
    "aws_runas.run.config_copy",
    "aws_runas.run.waiting",
    "_socket",
    "_thread",
}


@pytest.fixture
def environ(tmp_path: Path) -> dict[str, str]:
    """The variables of somebody whose credentials are cached."""
    (tmp_path / "config").write_text("[profile p]\nrole_arn = arn:aws:iam::123456789012:role/r\n")
    (tmp_path / "cache").mkdir(mode=0o700)
    found = {
        "HOME": str(tmp_path),
        "PATH": os.environ["PATH"],
        "AWS_CONFIG_FILE": str(tmp_path / "config"),
        "RUNAS_CACHE_DIR": str(tmp_path / "cache"),
    }
    now = int(time.time())
    fields = {"since": str(now), "until": str(now + 3000), "profile": "p", "region": "", "key": "ASIA", "secret": "s"}
    fields |= {"token": "t", "expiration": "2099-01-01T00:00:00Z", start.CONFIG: "", start.ROLE: ""}
    deadline = time.monotonic() + 30
    while fast.read("p", found) is None:  # not while the config file is younger than the clock's tick
        assert time.monotonic() < deadline
        fast.write("p", found, fast.header(found), fields)
    return found


def _modules(environ: dict[str, str], *words: str) -> set[str]:
    """What is imported beyond a bare interpreter, until the program starts."""
    bare = subprocess.run(
        [sys.executable, "-c", "import sys; print(*sys.modules)"], env=environ, capture_output=True, check=True
    )
    script = (
        "import sys; from aws_runas import __main__ as m; import os\n"
        "def report(*_, **__):\n    sys.stdout.write(' '.join(sys.modules)); sys.stdout.flush(); os._exit(0)\n"
        "os.execve = os.posix_spawn = os.write = report\n"
        f"m.main({list(words)!r})"
    )
    ran = subprocess.run([sys.executable, "-c", script], env=environ, capture_output=True, check=True)
    assert ran.stderr == b""
    return set(ran.stdout.decode().split()) - set(bare.stdout.decode().split())


def test_the_fast_start_imports_these_modules_and_no_other(environ: dict[str, str]) -> None:
    assert _modules(environ, "-E", "p", "true") <= FAST


def test_printing_fast_imports_one_module_more(environ: dict[str, str]) -> None:
    assert _modules(environ, "-O", "json", "p") <= FAST | {"aws_runas.fast.print"}


def test_the_default_mode_starts_the_program_before_the_server_is_loaded(environ: dict[str, str]) -> None:
    assert _modules(environ, "p", "true") <= FAST_BESIDE
