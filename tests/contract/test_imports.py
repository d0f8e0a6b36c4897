"""Import rules of the rooms (design: one row for each room), and the few modules that the cached path loads.

grimp reads the graph; it counts imports inside functions and under TYPE_CHECKING like all others.
"""

from __future__ import annotations

import ast
import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from functools import cache
from itertools import pairwise
from pathlib import Path

import grimp
import pytest

from aws_runas.fast import shortcut as fast

SOURCE = Path(__file__).parents[2] / "src" / "aws_runas"
MODULES = {".".join(path.relative_to(SOURCE).with_suffix("").parts): path for path in sorted(SOURCE.rglob("*.py"))}

COMMON = ("dataclass", "errors", "files", "notices", "redact", "unix_socket")
VALUES = ("aws.credentials", "aws.session", "fast.names")  # they import no room; everybody may import them
SESSIONS = (
    "ssm.shell",
    "ssm.forward",
    "ssm.command",
    "ssm.proxy_command",
    "ssm.shutdown",
    "ssm.versions",
    "ssm.session_start",
)  # fmt: skip - rooms that may import each other, without cycles
BELOW_SESSIONS = ("ssm.transport", "ssm.core", "ssm.terminal", *SESSIONS)
LIGHT_TOKENS = ("tokens.presign", "tokens.cluster", "tokens.database", "tokens.registry")  # for the cached path too
# Room -> rooms that it may import, besides itself, COMMON and VALUES. A module belongs to the longest name that fits.
ALLOWED: dict[str, tuple[str, ...]] = {
    "dataclass": (),
    "errors": (),
    "notices": (),
    "redact": (),
    "files": (),
    "unix_socket": (),
    "release": ("aws",),
    "socket_owner": (),
    "fast": ("run", *LIGHT_TOKENS),
    "config": (),
    "aws": ("config",),
    "store": ("config",),
    "signin": ("aws", "config", "socket_owner"),
    "credentials": ("aws", "config", "store", "signin"),
    "identity": ("aws", "config"),
    "targets": ("aws", "config"),
    "console": ("aws", "config"),
    "tokens": ("aws", "config"),
    **dict.fromkeys(LIGHT_TOKENS, LIGHT_TOKENS),
    "run": (),
    "serve": ("credentials", "signin", "identity", "aws", "config", "socket_owner"),
    "ssm": ("ssm.core", "ssm.transport"),
    "ssm.core": (),
    "ssm.terminal": (),
    "ssm.transport": ("ssm.core",),
    **dict.fromkeys(SESSIONS, BELOW_SESSIONS),
    "ssm.forward": (*BELOW_SESSIONS, "socket_owner"),
    "ssm.copy": BELOW_SESSIONS,
    "ssm.plugin": (),
    "ssm.api": ("aws", "config", "ssm.transport", "ssm.versions"),
    "diagnosis": ("aws", "config", "targets", "ssm"),
    "fleet": ("aws", "config", "targets", "ssm"),
    "tunnels": ("config", "credentials", "targets", "ssm"),
    "sandbox": ("ssm.core", "ssm.transport", "ssm.versions", "socket_owner"),
    "cli": (
        "config", "aws", "store", "signin", "credentials", "identity", "targets", "console", "tokens", *LIGHT_TOKENS,
        "run", "serve",
        "ssm", "diagnosis", "fleet", "tunnels", "sandbox", "release", "fast",
    ),
    "__main__": ("fast", "cli"),
    "credential_helper": ("fast", "cli"),
}  # fmt: skip
LEAVES = ("errors", "notices", "redact", "aws.credentials", "aws.session", "fast.names")
BOTOCORE = ("aws.", "ssm.api", "sandbox.")
PRINTING = ("cli.", "fast.print", "sandbox.", "__main__", "credential_helper")


@cache
def graph() -> grimp.ImportGraph:
    """The package's imports; names without the package."""
    return grimp.build_graph("aws_runas", cache_dir=None)


def _arrows() -> Iterator[tuple[str, str, int]]:
    """Every import of ours: importer, imported, line. Packages that hold only a docstring do not count."""
    for importer in sorted(graph().modules):
        for imported in sorted(graph().find_modules_directly_imported_by(importer)):
            line = graph().get_import_details(importer=importer, imported=imported)[0]["line_number"]
            yield _short(importer), _short(imported), line


def _short(module: str) -> str:
    return module.removeprefix("aws_runas").removeprefix(".")


def _room_of(module: str) -> str:
    room = max((room for room in ALLOWED if _is_in(module, (room,))), key=len, default="")
    assert room, f"{module} is in no room: give it a row in ALLOWED"
    return room


def _is_in(module: str, rooms: tuple[str, ...]) -> bool:
    return any(module == room or module.startswith(room + ".") for room in rooms)


def _is_allowed(importer: str, imported: str) -> bool:
    room = _room_of(importer)
    if importer in LEAVES:
        return imported in ("redact", "dataclass")  # a credential's repr hides its secrets
    if room == "ssm.core":
        return _room_of(imported) in ("ssm.core", "dataclass")  # the decorator needs the standard library only
    if _is_in(imported, COMMON) or imported in VALUES:
        return room != "fast" or imported not in VALUES or imported == "fast.names"
    target = _room_of(imported)
    named = (room, *ALLOWED[room])
    return target in named or any(target.startswith(f"{name}.") for name in ALLOWED[room] if name == "ssm")


# Violations that are known and on their way out: importer -> imported. Each entry must still be needed.
KNOWN: set[tuple[str, str]] = set()
KNOWN_CYCLES: set[frozenset[str]] = set()


def test_every_module_is_in_a_room() -> None:
    for module in sorted(graph().modules):
        if _short(module):
            assert _room_of(_short(module))


def test_a_room_imports_only_what_its_row_allows() -> None:
    wrong = {
        (importer, imported): f"{importer} line {line} imports {imported}"
        for importer, imported, line in _arrows()
        if importer and imported and not _is_allowed(importer, imported)
    }
    assert [text for arrow, text in wrong.items() if arrow not in KNOWN] == []
    assert sorted(KNOWN - set(wrong)) == [], "these are fixed: remove them from KNOWN"


SLIVER = 60  # lines; a shorter module that one other module uses belongs in that module
# Short modules that stay on their own, and the reason.
KEPT_APART = {
    "cli.deferred_endpoint": "loads the parsers, which the endpoint of the full path must not do",
    "credential_helper": "an entry point",
    "credentials.web_identity": "one provider a file",
    "run.shell": "loaded only for a word that names no program, on the cached path",
    "sandbox.services.instance_connect": "one service a file",
    "ssm.core.smux.schedule": "one concept, with a test of its own name",
}


def test_a_short_module_has_several_importers_or_a_reason() -> None:
    slivers = set()
    for module, path in MODULES.items():
        is_entry = path.name in ("__init__.py", "__main__.py") or module.startswith("cli.commands.")
        if is_entry or len(path.read_text().splitlines()) >= SLIVER:
            continue
        if len(graph().find_modules_that_directly_import(f"aws_runas.{module}")) < 2:
            slivers.add(module)
    assert slivers - set(KEPT_APART) == set()
    assert set(KEPT_APART) <= set(MODULES), "these are gone: remove them"


def _cycles(arrows: Mapping[str, set[str]]) -> list[list[str]]:
    """The shortest way round from each node that can reach itself, each cycle once."""
    found: dict[frozenset[str], list[str]] = {}
    for start_node in sorted(arrows):
        ways = [[start_node]]
        seen: set[str] = set()
        while ways:
            way = ways.pop(0)
            for following in sorted(arrows.get(way[-1], ())):
                if following == start_node:
                    found.setdefault(frozenset(way), [*way, start_node])
                elif following not in seen:
                    seen.add(following)
                    ways.append([*way, following])
    return list(found.values())


def test_no_modules_import_each_other_in_a_cycle() -> None:
    arrows: dict[str, set[str]] = {}
    for importer, imported, _ in _arrows():
        arrows.setdefault(importer, set()).add(imported)
    cycles = _cycles(arrows)
    assert [" -> ".join(cycle) for cycle in cycles if frozenset(cycle) not in KNOWN_CYCLES] == []
    assert sorted(map(sorted, KNOWN_CYCLES - set(map(frozenset, cycles)))) == [], "fixed: remove from KNOWN_CYCLES"


def test_no_rooms_import_each_other_in_a_cycle() -> None:
    arrows: dict[str, set[str]] = {}
    lines: dict[tuple[str, str], str] = {}
    for importer, imported, line in _arrows():
        if not importer or not imported or imported in VALUES or (importer, imported) in KNOWN:
            continue
        pair = (_room_of(importer), _room_of(imported))
        if pair[0] != pair[1]:
            arrows.setdefault(pair[0], set()).add(pair[1])
            lines.setdefault(pair, f"{importer}:{line} imports {imported}")
    chains = [[lines[pair] for pair in pairwise(cycle)] for cycle in _cycles(arrows)]
    assert chains == []


def _imports(path: Path) -> Iterator[str]:
    """Every module that a file names in an import, ours or not."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield alias.name
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module
            for alias in node.names:
                yield f"{node.module}.{alias.name}"


def test_no_test_imports_a_benchmark() -> None:
    tests = Path(__file__).parents[1]
    importing = re.compile(r"^\s*(?:from|import) bench\b", re.MULTILINE)
    found = [str(path.relative_to(tests)) for path in tests.rglob("*.py") if importing.search(path.read_text("utf-8"))]
    assert found == ["contract/test_performance_page.py"], "only in the text of the sample that this one runs"


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
    fields |= {"token": "t", "expiration": "2099-01-01T00:00:00Z", fast.CONFIG_FILE: "", fast.ROLE_ARN: ""}
    fields |= {
        fast.STS_ENDPOINT: "https://sts.eu-west-1.amazonaws.com",
        fast.STS_REGION: "eu-west-1",
        fast.END: "9" * 10,
    }
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


def test_the_help_of_all_commands_needs_no_library() -> None:
    code = (
        "import sys; from aws_runas.cli.parsing.parser import commands; print(len(list(commands())));"
        "print(*{name.partition('.')[0] for name in sys.modules})"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    count, modules = ran.stdout.splitlines()
    assert int(count) > 20
    assert set(modules.split()) & {"boto3", "botocore", "keyring", "urllib3", "websockets"} == set()


# Slow to import, and no session needs them at its start (docs/adr/0212).
NOT_AT_THE_START = {
    "botocore", "difflib", "getpass", "importlib.metadata", "shutil", "tempfile", "zipfile",
    "aws_runas.aws.ec2", "aws_runas.credentials.console_login", "aws_runas.store.items",
}  # fmt: skip


def test_a_session_starts_without_asyncio_and_runs_without_what_it_does_not_use() -> None:
    """First what is loaded before StartSession is sent, then what is loaded until the session is open."""
    code = (
        "import sys, aws_runas.cli.app, aws_runas.aws.direct, aws_runas.targets.resolve\n"
        "import aws_runas.cli.commands.forward.run, aws_runas.cli.commands.shell, aws_runas.cli.session.open\n"
        "print(*sys.modules)\n"
        "import aws_runas.cli.commands.forward.serving, aws_runas.ssm.shell.session\n"
        "print(*sys.modules)"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    before, after = (set(line.split()) for line in ran.stdout.splitlines())
    assert before & (NOT_AT_THE_START | {"asyncio", "websockets"}) == set()
    assert {"asyncio", "websockets"} <= after
    assert after & NOT_AT_THE_START == set()


def test_the_fast_start_imports_these_modules_and_no_other(environ: dict[str, str]) -> None:
    assert _modules(environ, "-E", "p", "true") <= FAST


def test_printing_fast_imports_one_module_more(environ: dict[str, str]) -> None:
    assert _modules(environ, "-O", "json", "p") <= FAST | {"aws_runas.fast.print"}


def test_the_default_mode_starts_the_program_before_the_server_is_loaded(environ: dict[str, str]) -> None:
    assert _modules(environ, "p", "true") <= FAST_BESIDE


TOKENS = FAST - {"aws_runas.run.program"} | {"aws_runas.fast.token", "aws_runas.fast.print", "aws_runas.tokens"}
TOKENS |= {"aws_runas.tokens.presign", "_sha256", "_sha2", "binascii"}


def test_a_token_of_a_cluster_is_made_by_few_modules(environ: dict[str, str]) -> None:
    assert _modules(environ, "token", "eks", "p", "my-cluster") <= TOKENS | {"aws_runas.tokens.cluster"}


def test_a_token_of_a_database_is_made_by_few_modules(environ: dict[str, str]) -> None:
    host = "db.cxyz.eu-west-1.rds.amazonaws.com"
    assert _modules(environ, "token", "rds", "p", host, "app") <= TOKENS | {"aws_runas.tokens.database"}
