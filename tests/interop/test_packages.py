"""The files of a release, installed as their own tools install them: pip in a clean environment, and dpkg."""

from __future__ import annotations

import gzip
import hashlib
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from release import provenance
from release.debian import COMPLETIONS
from release.dist import build

from aws_runas import __version__
from aws_runas.fast.names import COMMANDS
from aws_runas.sandbox.world import Sandbox
from tests.support import requires
from tests.support.pythons import installed_pythons

ROOT = Path(__file__).parents[2]
TOOLS = ROOT / ".venv-release"
SUPPORTED = ("3.11", "3.12", "3.13", "3.14")
PYTHONS = {version: python for version, python in installed_pythons().items() if version in SUPPORTED}
TIMEOUT = 120.0  # seconds
VERSION = "import sys; print('%d.%d' % sys.version_info[:2])"
HOST = "123456789012.dkr.ecr.eu-west-1.amazonaws.com"
pytestmark = pytest.mark.timeout(600)  # pip downloads what a package bundles


@pytest.fixture(scope="module")
def dist(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Build everything; return the directory with the files, and the clean environment."""
    requires.program("dpkg-deb", package="dpkg")
    if not (TOOLS / "bin" / "cyclonedx-py").exists():
        requires.missing("needs the tools of a release; `make interop` installs them")
    directory = tmp_path_factory.mktemp("dist")
    return directory, build(directory, TOOLS)


def run(*words: str, home: Path, data: bytes = b"") -> subprocess.CompletedProcess[bytes]:
    environ = {"HOME": str(home), "PATH": "/usr/bin:/bin", "AWS_ENDPOINT_URL": "http://127.0.0.1:1"}
    return subprocess.run(words, input=data, env=environ, capture_output=True, timeout=TIMEOUT, check=False)


def smoke(programs: Path, home: Path) -> None:
    """Use both programs as a newcomer would."""
    (home / ".aws").mkdir(parents=True, exist_ok=True)
    (home / ".aws" / "config").write_text("[profile p]\nregion = eu-west-1\n[runas-ecr]\n123456789012 = p\n")
    (home / ".aws" / "credentials").write_text("[p]\naws_access_key_id = AKIAX\naws_secret_access_key = s\n")
    command, helper = str(programs / "aws-runas"), str(programs / "docker-credential-aws-runas")
    assert run(command, "-V", home=home).stdout == f"aws-runas {__version__}\n".encode()
    assert run(command, "list", "profiles", home=home).stdout == b"p\n"
    assert b"profile nobody" in run(command, "whoami", "nobody", home=home).stderr
    assert json.loads(run(helper, "list", home=home).stdout) == {f"https://{HOST}": "AWS"}
    asked = run(command, "whoami", "p", home=home)  # loads botocore, and finds nobody
    assert asked.returncode == 4
    assert b"cannot reach http://127.0.0.1:1" in asked.stderr


def test_wheel_works_in_a_clean_environment(dist: tuple[Path, Path], tmp_path: Path) -> None:
    smoke(dist[1] / "bin", tmp_path)


def test_sums_are_what_sha256sum_computes(dist: tuple[Path, Path], tmp_path: Path) -> None:
    directory = dist[0]
    done = subprocess.run(
        ["sha256sum", "--check", "--strict", "SHA256SUMS"], cwd=directory, capture_output=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    names = {line.partition(":")[0] for line in done.stdout.decode().splitlines()}
    assert names == {path.name for path in directory.iterdir()} - {"SHA256SUMS"}
    assert {name.rpartition(".")[2] for name in names} == {"whl", "gz", "deb", "json"}


def test_provenance_names_every_file_and_what_it_was_made_from(dist: tuple[Path, Path]) -> None:
    directory = dist[0]
    (path,) = directory.glob("*.provenance.json")
    claim = json.loads(path.read_text())
    assert (claim["_type"], claim["predicateType"]) == (provenance.STATEMENT, provenance.PREDICATE)
    sums = {line.split()[1]: line.split()[0] for line in (directory / "SHA256SUMS").read_text().splitlines()}
    sums.pop(path.name)  # it is the only file that it cannot name
    assert {subject["name"]: subject["digest"]["sha256"] for subject in claim["subject"]} == sums
    materials = claim["predicate"]["buildDefinition"]["resolvedDependencies"]
    commit = subprocess.run(["git", "rev-parse", "HEAD"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    assert materials[0]["digest"] == {"gitCommit": commit.strip()}
    for name in provenance.LOCK_FILES:
        digest = hashlib.sha256((ROOT / name).read_bytes()).hexdigest()
        assert [material["digest"]["sha256"] for material in materials if material.get("name") == name] == [digest]
    lock = (ROOT / "requirements" / "runtime.txt").read_text()
    packages = {material["uri"]: material["digest"]["sha256"] for material in materials if "@" in material["uri"]}
    assert {uri.removeprefix("pkg:pypi/").replace("@", "==") for uri in packages} == set(
        re.findall(r"^\S+==\S+", lock, re.MULTILINE)
    )
    for uri, digest in packages.items():
        entry = lock[lock.index(f"{uri.removeprefix('pkg:pypi/').replace('@', '==')} ") :]
        assert f"sha256:{digest}" in entry.partition("\n\n")[0].split("==")[1], uri
    assert str(ROOT) not in path.read_text()


def test_another_place_time_and_umask_give_the_same_bytes(dist: tuple[Path, Path], tmp_path: Path) -> None:
    copy = tmp_path / "elsewhere"
    subprocess.run(["git", "clone", "-q", "--shared", str(ROOT), str(copy)], check=True)
    words = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    listed = subprocess.run(words, cwd=ROOT, capture_output=True, check=True).stdout.decode().split("\0")
    for name in filter(None, listed):  # with what is not committed yet
        (copy / name).parent.mkdir(parents=True, exist_ok=True)
        if (ROOT / name).is_file():
            (copy / name).write_bytes((ROOT / name).read_bytes())
    environ = os.environ | {"PYTHONPATH": f"{copy}:{copy / 'src'}", "TZ": "Asia/Tokyo", "LC_ALL": "C"}
    command = [sys.executable, "-m", "release.dist", str(copy / "dist"), str(TOOLS)]
    subprocess.run(command, cwd=copy, env=environ, umask=0o077, capture_output=True, check=True)
    assert (copy / "dist" / "SHA256SUMS").read_text() == (dist[0] / "SHA256SUMS").read_text()


def test_bill_lists_what_is_installed(dist: tuple[Path, Path]) -> None:
    (path,) = dist[0].glob("*.cdx.json")
    bill = json.loads(path.read_text())
    script = "import importlib.metadata as m; print(*(d.name.lower() + '==' + d.version for d in m.distributions()))"
    python = str(dist[1] / "bin" / "python")
    installed = set(subprocess.run([python, "-c", script], capture_output=True, check=True).stdout.decode().split())
    listed = {f"{part['name'].lower()}=={part['version']}" for part in bill["components"]}
    own = bill["metadata"]["component"]
    assert listed | {f"{own['name']}=={own['version']}"} == installed
    assert bill["bomFormat"] == "CycloneDX"


def test_source_distribution_has_what_builds_the_package(dist: tuple[Path, Path]) -> None:
    (path,) = dist[0].glob("*.tar.gz")
    listed = subprocess.run(["tar", "-tzf", str(path)], capture_output=True, check=True).stdout.decode().splitlines()
    names = {name.partition("/")[2] for name in listed}
    assert {"pyproject.toml", "LICENSE", "src/aws_runas/__init__.py", "PKG-INFO"} <= names


def test_lintian_has_no_error_and_no_warning(dist: tuple[Path, Path]) -> None:
    lintian = requires.program("lintian")
    (package,) = dist[0].glob("*.deb")
    words = [lintian, "--allow-root", "--no-cfg", "--fail-on", "error,warning", str(package)]
    done = subprocess.run(words, capture_output=True, check=False, timeout=540)  # minutes on a busy machine
    assert (done.returncode, done.stdout.decode()) == (0, ""), done.stderr


def test_debian_package_installs_into_a_root_of_its_own(dist: tuple[Path, Path], tmp_path: Path) -> None:
    (package,) = dist[0].glob("*.deb")
    own = subprocess.run(["/usr/bin/python3", "-c", VERSION], capture_output=True, check=False).stdout.decode().strip()
    if own != f"{sys.version_info.major}.{sys.version_info.minor}":
        requires.missing(f"needs these tests to run on the Python of the system, which is {own or 'not there'}")
    root = tmp_path / "root"
    for folder in ("var/lib/dpkg/info", "var/lib/dpkg/updates", "tmp"):
        (root / folder).mkdir(parents=True)
    for file in ("status", "available"):
        (root / "var/lib/dpkg" / file).touch()
    dpkg = ["dpkg", f"--root={root}", "--force-not-root", "--force-depends", "--log=/dev/null"]
    environ = os.environ | {"PATH": f"{os.environ['PATH']}:/usr/sbin:/sbin"}
    done = subprocess.run([*dpkg, "--install", str(package)], env=environ, capture_output=True, check=False)
    assert done.returncode == 0, done.stderr.decode()
    status = subprocess.run(["dpkg", f"--root={root}", "--status", "aws-runas"], capture_output=True, check=True).stdout
    assert f"Version: {__version__}".encode() in status
    (root / "usr/bin/python3").symlink_to("/usr/bin/python3")  # of the package that ours depends on
    smoke(root / "usr/bin", tmp_path / "home")
    python = root / "usr/lib/aws-runas/bin/python3"
    missing = run(str(root / "usr/bin/aws-runas"), "sandbox", "true", home=tmp_path / "home")
    assert b"pipx install 'aws-runas-py[sandbox]', beside the Debian package" in missing.stderr
    started = run(str(python), "-P", "-m", "aws_runas", "-V", home=tmp_path / "home")
    assert started.stdout == f"aws-runas {__version__}\n".encode()
    _check_manuals(root / "usr/share/man/man1")
    for shell, path in COMPLETIONS.items():
        program = requires.program(shell)
        checked = subprocess.run([program, "-n", str(root / path)], capture_output=True, check=False)
        assert checked.returncode == 0, checked.stderr.decode()
        assert b"client" in (root / path).read_bytes()
    assert not [
        path for path in root.rglob("*") if path.is_file() and not path.is_symlink() and path.stat().st_mode & 0o022
    ]


def _check_manuals(directory: Path) -> None:
    """There is a page for each verb, each without a finding, and man shows it."""
    mandoc, man = requires.program("mandoc"), requires.program("man", package="man-db")
    verbs = {f"aws-runas-{name}.1.gz" for name in set(COMMANDS.values()) - {"exec"}}
    assert verbs | {"aws-runas.1.gz", "docker-credential-aws-runas.1.gz"} == {path.name for path in directory.iterdir()}
    pages = {path.name: gzip.decompress(path.read_bytes()) for path in directory.iterdir()}
    joined = b"".join(pages.values())
    linted = subprocess.run([mandoc, "-T", "lint", "-W", "style"], input=joined, capture_output=True, check=False)
    assert linted.stdout == b"", linted.stdout.decode()
    shown = subprocess.run([man, "-l", str(directory / "aws-runas-forward.1.gz")], capture_output=True, check=True)
    assert b"aws-runas-forward" in shown.stdout
    assert b"--through" in shown.stdout


@pytest.mark.parametrize(("version", "python"), PYTHONS.items(), ids=PYTHONS)
def test_wheel_works_on_each_python_that_is_here(
    dist: tuple[Path, Path], tmp_path: Path, version: str, python: str, sandbox: Sandbox
) -> None:
    (wheel,) = dist[0].glob("*.whl")
    environment = tmp_path / "environment"
    subprocess.run([python, "-m", "venv", "--without-pip", str(environment)], check=True, timeout=TIMEOUT)
    pip = [sys.executable, "-m", "pip", "--python", str(environment / "bin" / "python"), "install", "--quiet"]
    subprocess.run([*pip, "--disable-pip-version-check", str(wheel)], check=True, timeout=500)
    smoke(environment / "bin", tmp_path)
    asked = subprocess.run([environment / "bin" / "python", "-c", VERSION], capture_output=True, check=True)
    assert asked.stdout.decode().strip() == version
    program = str(environment / "bin" / "aws-runas")

    def use(*words: str, data: bytes = b"") -> bytes:
        environ = sandbox.environ | {"PYTHONWARNINGS": "error::DeprecationWarning:aws_runas"}
        done = subprocess.run(
            [program, *words], env=environ, input=data, capture_output=True, timeout=TIMEOUT, check=False
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    assert b"123456789012" in use("whoami", "my-profile")
    assert b"in a shell: 42" in use("shell", "my-profile", "i-deadbeef", data=b"echo in a shell: $((40+2))\nexit\n")
    assert use("run", "my-profile", "i-deadbeef", "echo $((40+2))") == b"42\n"
    assert use("-E", "my-profile", "printenv", "AWSRUNAS_PROFILE") == b"my-profile\n"


def test_workflow_is_one_that_a_forge_takes() -> None:
    program = TOOLS / "bin" / "check-jsonschema"
    if not program.exists():
        requires.missing("needs the tools of a release; `make interop` installs them")
    words = [str(program), "--builtin-schema", "vendor.github-workflows", ".github/workflows/test.yml"]
    done = subprocess.run(words, cwd=ROOT, capture_output=True, check=False, timeout=TIMEOUT)
    assert done.returncode == 0, done.stdout + done.stderr
