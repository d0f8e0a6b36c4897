"""A Debian package of the program with all of its imports, built with dpkg-deb.

Debian 12 has botocore 1.29 and websockets 10, which are too old for aws-runas. So the package includes its own versions
in /usr/lib/aws-runas, which no other program uses. Compiled modules tie it to an architecture and a Python version.
"""

from __future__ import annotations

import email.utils
import gzip
import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path

from aws_runas import __version__
from aws_runas.release import MAINTAINERS
from release.verbs import write_manuals

ROOT = Path(__file__).parents[1]
NAME = "aws-runas"
PROGRAMS = {"aws-runas": "aws_runas.__main__", "docker-credential-aws-runas": "aws_runas.credential_helper"}
COMPLETIONS = {
    "bash": "usr/share/bash-completion/completions/aws-runas",
    "zsh": "usr/share/zsh/vendor-completions/_aws-runas",
    "fish": "usr/share/fish/vendor_completions.d/aws-runas.fish",
}
GZIP_TIME = slice(4, 8)  # in the header; RFC 1952, 2.3
# The library is private and for one version of Python: no other package compiles it, and a user has no permission to.
LINTIAN_OVERRIDES = "aws-runas: package-installs-python-pycache-dir *\n"
DESCRIPTION = """\
run programs and open SSM sessions with AWS profiles
 aws-runas turns an AWS profile or role ARN into short-lived credentials, runs
 a program with them or serves them, and opens shells and forwards to instances
 through AWS Systems Manager.
"""
# The library is next to the program, wherever the package is unpacked. aws-runas starts its other processes with
# sys.executable, so it must name an interpreter that has the library. -I and -S exclude other packages; a Ctrl-C
# during the search for those would print a traceback, as would one before main runs (ADR 0606).
LAUNCHER = """\
#!/usr/bin/python3 -IS
import _signal

_signal.pthread_sigmask(_signal.SIG_BLOCK, (_signal.SIGINT,))  # main unblocks it
import os
import sys

home = os.path.join(os.path.dirname(os.path.dirname(os.path.realpath(__file__))), "lib", "aws-runas")
sys.path.insert(0, os.path.join(home, "lib", "{python}", "site-packages"))
sys.executable = os.path.join(home, "bin", "python3")
from {module} import main

sys.exit(main())
"""
SETTINGS = "home = /usr/bin\ninclude-system-site-packages = false\n"  # of pyvenv.cfg


def build_package(environment: Path, directory: Path) -> Path:
    """Build the package of an environment.

    Args:
        environment: virtual environment with only the program and its imports.
        directory: where the package is written.

    Returns:
        Its path.
    """
    tree = ROOT / "build" / "debian"
    shutil.rmtree(tree, ignore_errors=True)
    (library,) = environment.glob("lib/python3*/site-packages")
    python = library.parent.name
    home = tree / "usr/lib/aws-runas"
    packages = home / "lib" / python / "site-packages"
    shutil.copytree(library, packages, ignore=shutil.ignore_patterns("direct_url.json", "__pycache__"))
    for record in packages.glob("*.dist-info/RECORD"):
        record.write_text(strip_record(record.read_text(encoding="utf-8")), encoding="utf-8")
    tidy_files(packages)
    compile_modules(environment, tree, packages)
    _write(home / "pyvenv.cfg", SETTINGS.encode())
    (home / "bin").mkdir()
    (home / "bin/python3").symlink_to("../../../bin/python3")
    for name, module in PROGRAMS.items():
        _write(tree / "usr/bin" / name, LAUNCHER.format(module=module, python=python).encode())
    program = str(environment / "bin" / "aws-runas")
    pages = tree / "usr/share/man/man1"
    for page in write_manuals(pages):
        _write(page.with_name(f"{page.name}.gz"), _compressed(page.read_bytes()))
        page.unlink()
    for name in PROGRAMS:
        if name != NAME:
            (pages / f"{name}.1.gz").symlink_to("aws-runas.1.gz")
    for shell, path in COMPLETIONS.items():
        _write(tree / path, _output(program, "completion", shell))
    documents = tree / "usr/share/doc/aws-runas"
    _write(documents / "copyright", (ROOT / "LICENSE").read_bytes())
    _write(documents / "CHANGELOG.md.gz", _compressed((ROOT / "CHANGELOG.md").read_bytes()))
    _write(documents / "changelog.gz", _compressed(changelog().encode()))
    _write(tree / "usr/share/lintian/overrides" / NAME, LINTIAN_OVERRIDES.encode())
    package = directory / f"{NAME}_{version()}_{architecture()}.deb"
    _write(tree / "DEBIAN/control", control(tree).encode())
    for entry in (tree, *tree.rglob("*")):
        if not entry.is_symlink():
            entry.chmod(0o755 if entry.is_dir() or entry.parent == tree / "usr/bin" else 0o644)
    # gzip: most of the package is already compressed (botocore's models)
    words = ["dpkg-deb", "--root-owner-group", "-Zgzip", "--build", str(tree), str(package)]
    subprocess.run(words, check=True, stdout=subprocess.DEVNULL)
    return package


def strip_record(text: str) -> str:
    """Return a list of installed files without the omitted ones, which contain the build path."""
    lines = text.splitlines(keepends=True)
    return "".join(line for line in lines if not line.startswith("../") and "/direct_url.json," not in line)


def compile_modules(environment: Path, tree: Path, packages: Path) -> None:
    """Compile the library with its installed paths: neither time nor place of the build is in the files."""
    words = ["-m", "compileall", "-q", "-s", str(tree), "-p", "/", "--invalidation-mode", "unchecked-hash"]
    subprocess.run(
        [str(environment / "bin" / "python"), "-P", *words, str(packages)],
        check=True,
        stdout=subprocess.DEVNULL,
        env=os.environ | {"PYTHONHASHSEED": "0"},  # the files contain the order of sets
    )


def tidy_files(packages: Path) -> None:
    """Remove debug symbols from compiled modules, and timestamps from compressed files."""
    for module in packages.rglob("*.so"):
        subprocess.run(["strip", "--strip-unneeded", str(module)], check=True)
    for path in packages.rglob("*.gz"):
        data = bytearray(path.read_bytes())
        data[GZIP_TIME] = bytes(4)
        path.write_bytes(data)


def changelog() -> str:
    """Return the changelog in Debian's format: one entry, since the releases are described elsewhere."""
    when = email.utils.format_datetime(datetime.fromtimestamp(int(os.environ.get("SOURCE_DATE_EPOCH", "0")), UTC))
    return (
        f"{NAME} ({version()}) unstable; urgency=medium\n\n"
        f"  * Release {__version__}; CHANGELOG.md.gz has its changes.\n\n -- {MAINTAINERS}  {when}\n"
    )


def version() -> str:
    """Return the version in Debian's notation, in which a pre-release sorts before the release."""
    text = __version__
    for mark in ("a", "b", "rc", ".dev"):
        text = text.replace(mark, "~" + mark.lstrip("."), 1) if mark in text else text
    return text


def architecture() -> str:
    """Return Debian's name for this machine's architecture."""
    return _output("dpkg", "--print-architecture").decode().strip()


def control(tree: Path) -> str:
    """Return the control file."""
    major, minor = sys.version_info[:2]
    size = sum(path.stat().st_size for path in tree.rglob("*") if path.is_file()) // 1024
    fields: Mapping[str, object] = {
        "Package": NAME,
        "Version": version(),
        "Architecture": architecture(),
        "Maintainer": MAINTAINERS,
        "Installed-Size": size,
        "Depends": f"python3 (>= {major}.{minor}), python3 (<< {major}.{minor + 1}), libc6",
        "Section": "utils",
        "Priority": "optional",
        "Description": DESCRIPTION.rstrip("\n"),
    }
    return "".join(f"{name}: {value}\n" for name, value in fields.items())


def _output(*words: str) -> bytes:
    home = {"PATH": os.environ.get("PATH", os.defpath), "HOME": "/nonexistent"}
    return subprocess.run(words, check=True, stdout=subprocess.PIPE, env=home).stdout


def _compressed(data: bytes) -> bytes:
    return gzip.compress(data, mtime=0)


def _write(path: Path, data: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
