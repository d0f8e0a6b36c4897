"""Time that aws-runas adds to the start of a program: ``.venv/bin/python -m bench.startup``.

Each row of a table is one command, run to its end. The rows take turns, so that other work on the machine affects all
of them, and medians are compared. Everything runs in the sandbox, so STS answers over loopback.
"""

from __future__ import annotations

import argparse
import os
import platform
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from aws_runas.sandbox.world import Sandbox, start_sandbox
from bench.results import Results

ROOT = Path(__file__).parents[1]
BIN = Path(sys.executable).parent
AWS_RUNAS = str(BIN / "aws-runas")
PEERS = ROOT / ".bench-venv"  # contains the tools that ours is compared with
PROFILE = "my-profile"
SSO_PROFILE = "my-profile-sso"
LOGIN_PROFILE = "sandbox-login"
MFA_PROFILE = "my-profile-mfa"
BOTOCORE = f"""
import botocore.session
botocore.session.Session(profile={PROFILE!r}).get_credentials().get_frozen_credentials()
"""

DATABASE = "db.cxyz.eu-west-1.rds.amazonaws.com"
REGISTRY = "123456789012.dkr.ecr.us-east-1.amazonaws.com"
BOTOCORE_TOKEN = f"""
import botocore.session
keys = dict(aws_access_key_id="a", aws_secret_access_key="b", aws_session_token="c")
botocore.session.Session().create_client("rds", "eu-west-1", **keys).generate_db_auth_token({DATABASE!r}, 5432, "app")
"""

BY_BOTOCORE = "AWS_SDK_UA_APP_ID"  # a setting with which aws.direct leaves every call to botocore

Row = tuple[str, list[str], Callable[[], None]]
RESULTS = Results("startup")


def _nothing() -> None:
    pass


def _run(command: list[str], environ: dict[str, str], stdin: str = os.devnull) -> float:
    """Return the milliseconds from start to end; stdin names a file."""
    with open(os.devnull, "wb") as null, open(stdin, "rb") as source:
        files = [(os.POSIX_SPAWN_DUP2, null.fileno(), number) for number in (1, 2)]
        files.append((os.POSIX_SPAWN_DUP2, source.fileno(), 0))
        begun = time.perf_counter()
        pid = os.posix_spawn(command[0], command, environ, file_actions=files)
        _, status = os.waitpid(pid, 0)
        took = (time.perf_counter() - begun) * 1000
    if status:
        raise SystemExit(f"{' '.join(command)} ended with {os.waitstatus_to_exitcode(status)}")
    return took


def _run_unattended(command: list[str], environ: dict[str, str]) -> float:
    """Return the milliseconds until a command without a terminal has reported that a sign-in is needed.

    Raises:
        SystemExit: the command ended with neither 0 nor the status of `login-needed`.
    """
    begun = time.perf_counter()
    pipe = subprocess.PIPE
    ran = subprocess.run(command, env=environ, stdin=-3, stdout=-3, stderr=pipe, start_new_session=True, check=False)
    took = (time.perf_counter() - begun) * 1000
    if ran.returncode and (ran.returncode != 4 or b"needs a sign-in" not in ran.stderr):
        raise SystemExit(f"{' '.join(command)} ended with {ran.returncode}: {ran.stderr.decode()[-500:]}")
    return took


def _start_of_program(command: list[str], environ: dict[str, str]) -> float:
    """Return the milliseconds until the program, which prints the time, has started."""
    begun = time.time_ns()
    ran = subprocess.run([*command, "/bin/date", "+%s%N"], env=environ, capture_output=True, check=True)
    return (int(ran.stdout) - begun) / 1e6


def _table(
    title: str, rows: Sequence[Row], environ: dict[str, str], rounds: int, measure: Callable[..., float]
) -> None:
    """Measure and print; ratios are relative to the first row."""
    times: dict[str, list[float]] = {name: [] for name, _, _ in rows}
    for number in range(rounds + 1):
        for name, command, prepare in rows:
            prepare()
            took = measure(command, environ)
            if number:  # the first round warms the disk cache
                times[name].append(took)
    base = statistics.median(times[rows[0][0]])
    RESULTS.add(title, "ms", {name: statistics.median(found) for name, found in times.items()})
    medians = {name: statistics.median(found) for name, found in times.items()}
    cells = [[name, f"{m:.1f}", f"{m / base:.2f}", f"{min(times[name]):.1f}"] for name, m in medians.items()]
    RESULTS.table(title, (title, "median ms", "ratio", "fastest ms"), cells)


def _peers(environ: dict[str, str], sandbox: Sandbox) -> list[Row]:
    """Measure awsume with a cached session, in a separate virtual environment, and AWS CLI 2, if installed."""
    awsume = str(PEERS / "bin" / "awsumepy")
    if not os.path.exists(awsume):
        subprocess.run([sys.executable, "-m", "venv", str(PEERS)], check=True)
        pip = [str(PEERS / "bin" / "python"), "-m", "pip", "install", "-qq", "--disable-pip-version-check"]
        subprocess.run([*pip, "awsume"], check=True)
    first = [awsume, MFA_PROFILE, "--mfa-token", sandbox.mfa_code()]
    ran = subprocess.run(first, env=environ, capture_output=True, check=False)
    if not ran.stdout.startswith(b"Awsume"):
        raise SystemExit(f"awsume does not work here: {ran.stderr.decode()[-500:]}")
    rows: list[Row] = [("`awsumepy`, session cached", [awsume, MFA_PROFILE], _nothing)]
    aws = shutil.which("aws", path="/usr/local/bin:/usr/bin")
    export = [aws or "", "configure", "export-credentials", "--format", "env"]
    keys = ["env", "AWS_ACCESS_KEY_ID=AKIAEXAMPLE", "AWS_SECRET_ACCESS_KEY=example", *export]
    if aws is None or subprocess.run(keys, env=environ, capture_output=True, check=False).returncode:
        print("\nversion 2 of the AWS CLI is not here: on Debian, apt-get install awscli")
        return rows
    # with keys in the environment it does not even need to read a cache
    return [*rows, ("`aws configure export-credentials`", ["/usr/bin/" + keys[0], *keys[1:]], _nothing)]


def _tokens(environ: dict[str, str], rounds: int, home: str) -> None:
    """Measure tokens for other services with everything cached, compared with AWS's libraries."""
    address = os.path.join(home, "address")
    Path(address).write_text(f"{REGISTRY}\n")
    environ = environ | {"AWS_PROFILE": PROFILE}
    eks, rds = [AWS_RUNAS, "token", "eks", "my-cluster"], [AWS_RUNAS, "token", "rds", DATABASE, "app"]
    helper = [str(BIN / "docker-credential-aws-runas"), "get"]
    for command in (eks, helper):
        _run(command, environ, address)
    full = ["/usr/bin/env", "AWSRUNAS_NO_FAST=1"]
    rows: list[Row] = [
        ("`python -c pass`", [sys.executable, "-c", "pass"], _nothing),
        ("`aws-runas token eks`", eks, _nothing),
        ("`aws-runas token rds`", rds, _nothing),
        ("`docker-credential-aws-runas get`", helper, _nothing),
        ("`aws-runas token eks`, full path", [*full, *eks], _nothing),
        ("`docker-credential-aws-runas get`, full path", [*full, *helper], _nothing),
        ("botocore: the token of a database, keys given", [sys.executable, "-c", BOTOCORE_TOKEN], _nothing),
    ]
    _table(
        "Tokens, everything cached", rows, environ, rounds, lambda command, variables: _run(command, variables, address)
    )


def _keyring(environ: dict[str, str], rounds: int, home: str) -> None:
    """Measure keys in a keyring, the encrypted file: it is opened only without a cached session."""
    folder = Path(home) / "keyring"
    folder.mkdir()
    variables = environ | {"RUNAS_CACHE_DIR": str(folder / "cache"), "RUNAS_KEYRING": "file"}
    for variable, name in (("AWS_CONFIG_FILE", "config"), ("AWS_SHARED_CREDENTIALS_FILE", "credentials")):
        shutil.copy(environ[variable], folder / name)
        variables[variable] = str(folder / name)
    ours = [AWS_RUNAS, "-E", PROFILE, "true"]
    opened = ["/usr/bin/env", "RUNAS_KEYRING_PASSPHRASE=passphrase"]
    subprocess.run([*opened, AWS_RUNAS, "keys", "import", "my-profile-user"], env=variables, check=True, stderr=-3)
    for _ in range(2):
        _run([*opened, *ours], variables)
        _run(ours, variables)

    def forget() -> None:
        shutil.rmtree(folder / "cache", ignore_errors=True)

    rows: list[Row] = [
        ("`python -c pass`", [sys.executable, "-c", "pass"], _nothing),
        ("`aws-runas -E profile true`, session cached", ours, _nothing),
        ("the same, full path", ["/usr/bin/env", "AWSRUNAS_NO_FAST=1", *ours], _nothing),
    ]
    _table("Keys in a keyring", rows, variables, rounds, _run)
    plain = [f"{name}={environ[name]}" for name in ("AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE")]
    cold: list[Row] = [
        ("keys in the credentials file", [*opened, *plain, AWS_RUNAS, "-E", PROFILE, "true"], forget),
        ("keys in the keyring file", [*opened, AWS_RUNAS, "-E", PROFILE, "true"], forget),
    ]
    _table("Nothing cached, by the place of the keys", cold, variables, max(5, rounds // 4), _run)


def _single_sign_on(sandbox: Sandbox, rounds: int) -> None:
    """Measure an Identity Center profile with everything cached; the token is in the sandbox's home."""
    environ = {name: value for name, value in sandbox.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    ours = [AWS_RUNAS, "-E", SSO_PROFILE, "true"]
    for _ in range(2):
        _run(ours, environ)
    rows: list[Row] = [
        ("`python -c pass`", [sys.executable, "-c", "pass"], _nothing),
        ("`aws-runas -E sso-profile true`", ours, _nothing),
        ("the same, full path", ["/usr/bin/env", "AWSRUNAS_NO_FAST=1", *ours], _nothing),
    ]
    _table("Identity Center, role cached", rows, environ, rounds, _run)


def _unattended(environ: dict[str, str], rounds: int, home: str) -> None:
    """Measure the error if a sign-in is needed and there is no terminal: no window, no network; goal 200 ms."""
    config = Path(home) / "unattended"
    config.write_text(
        Path(environ["AWS_CONFIG_FILE"]).read_text()
        + "\n[profile saml]\nsaml_auth_url = http://127.0.0.1:9/idp\n"
        + "role_arn = arn:aws:iam::123456789012:role/r\n"
        + "\n[profile oidc]\nweb_identity_auth_url = http://127.0.0.1:9/idp\nweb_identity_client_id = c\n"
        + "web_identity_redirect_uri = http://127.0.0.1/cb\nrole_arn = arn:aws:iam::123456789012:role/r\n"
    )
    variables = environ | {"AWS_CONFIG_FILE": str(config), "RUNAS_CACHE_DIR": os.path.join(home, "unattended-cache")}
    ours = [AWS_RUNAS, "-O", "json"]
    rows: list[Row] = [
        ("`python -c pass`", [sys.executable, "-c", "pass"], _nothing),
        ("`aws-runas -O json`, Identity Center, not signed in", [*ours, SSO_PROFILE], _nothing),
        ("the same, SAML", [*ours, "saml"], _nothing),
        ("the same, OIDC", [*ours, "oidc"], _nothing),
        ("`aws-runas -E`, Identity Center, no terminal", [AWS_RUNAS, "-E", SSO_PROFILE, "true"], _nothing),
    ]
    _table("A sign-in is needed, nobody is at the terminal", rows, variables, rounds, _run_unattended)


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=31)
    parser.add_argument("--no-peers", action="store_true", help="leave awsume and the AWS CLI out")
    options = parser.parse_args()
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)  # otherwise every start compiles its modules again
    print(f"Python {platform.python_version()}, {os.cpu_count()} cores, medians of {options.rounds} interleaved runs")
    with tempfile.TemporaryDirectory() as home, start_sandbox() as sandbox:
        cache = Path(home) / "cache"
        logins = os.path.join(sandbox.environ["HOME"], ".aws", "login", "cache")
        environ = sandbox.environ | {"HOME": home, "RUNAS_CACHE_DIR": str(cache), "AWS_LOGIN_CACHE_DIRECTORY": logins}
        environ.pop("PYTHONDONTWRITEBYTECODE", None)
        for mode in ("-E", "-s"):
            _run([AWS_RUNAS, mode, PROFILE, "true"], environ)
        _run([AWS_RUNAS, "-E", LOGIN_PROFILE, "true"], environ)
        python = [sys.executable, "-c", "pass"]
        ours = [AWS_RUNAS, "-E", PROFILE, "true"]
        rows: list[Row] = [
            ("`python -c pass`", python, _nothing),
            ("`aws-runas -E profile true`", ours, _nothing),
            ("`aws-runas profile true`", [AWS_RUNAS, PROFILE, "true"], _nothing),
            ("`aws-runas -E` with `login_session`", [AWS_RUNAS, "-E", LOGIN_PROFILE, "true"], _nothing),
            ("`aws-runas -O json profile`", [AWS_RUNAS, "-O", "json", PROFILE], _nothing),
        ]
        _table("Cached credentials", rows, environ, options.rounds, _run)
        _tokens(environ, options.rounds, home)
        _keyring(environ, options.rounds, home)
        _single_sign_on(sandbox, options.rounds)
        _unattended(environ, options.rounds, home)
        if not options.no_peers:
            peers = _peers(environ, sandbox)
            rounds = max(5, options.rounds // 3)
            _table("Cached credentials, beside others", [rows[1], *peers], environ, rounds, _run)

        def forget() -> None:
            shutil.rmtree(cache, ignore_errors=True)

        cold: list[Row] = [
            ("botocore: assume the role", [sys.executable, "-c", BOTOCORE], _nothing),
            ("`aws-runas -E profile true`", ours, forget),
            ("the same, calls by botocore", ["/usr/bin/env", f"{BY_BOTOCORE}=bench", *ours], forget),
        ]
        _table("Nothing cached, STS on loopback", cold, environ, max(5, options.rounds // 2), _run)
        starts: list[Row] = [
            ("with `-E`", [AWS_RUNAS, "-E", PROFILE], _nothing),
            ("with the endpoint", [AWS_RUNAS, PROFILE], _nothing),
        ]
        _run(ours, environ)
        _table("Until the program starts", starts, environ, options.rounds, _start_of_program)
    RESULTS.write()


if __name__ == "__main__":
    main()
