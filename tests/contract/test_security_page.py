"""docs/explanation/security.md names a test for each guard; the tests are there."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "explanation" / "security.md"


def test_every_test_that_the_security_page_names_is_there() -> None:
    text = PAGE.read_text(encoding="utf-8")
    named = set(re.findall(r"\btest_[a-z0-9_]+", text))
    sources = [*ROOT.glob("tests/**/test_*.py")]
    defined = {name for source in sources for name in re.findall(r"def (test_\w+)", source.read_text(encoding="utf-8"))}
    assert named - defined - {source.stem for source in sources} == set()


def test_every_guard_has_an_attack_in_the_tests() -> None:
    guards = re.findall(r"^def ([a-z_]+)\(", (ROOT / "src/aws_runas/serve/guards.py").read_text("utf-8"), re.MULTILINE)
    assert {"host", "forwarded", "browser", "same_origin", "framed", "page_token", "bearer"} <= set(guards)
    rows = [line for line in PAGE.read_text(encoding="utf-8").splitlines() if line.startswith("| **")]
    assert [row for row in rows if "`test" not in row] == []


# A listener, a file that is written, a process that is started: the row of the threat model that it belongs to.
LISTENERS = {
    "cli/commands/forward/run.py": "place of a forward's listener",
    "run/endpoint_mode.py": "address that a program was given",
    "sandbox/services/http.py": "uses the sandbox",
    "serve/listeners.py": "Another machine or container",
    "serve/loopback.py": "A stale address",
    "serve/server.py": "A thousand idle connections",
    "signin/callback_server.py": "answers the sign-in",
    "signin/handover.py": "takes the console's address",
    "socket_owner.py": "Another user of this machine",  # asks for a connection of its own whether the kernel answers
    "ssm/copy/file_server.py": "reaches the file server of `cp`",
    "ssm/forward/forwarding.py": "place of a forward's listener",
    "ssm/forward/listener.py": "place of a forward's listener",
    "tunnels/control.py": "opens or closes tunnels",
    "unix_socket.py": "opens or closes tunnels",
    "sandbox/demo.py": "uses the sandbox",
    "sandbox/host.py": "uses the sandbox",
}
WRITTEN = {
    "cli/commands/fleet/report.py": "Records of sessions, runs and copies",
    "cli/profile_picker.py": "The picker's file",
    "cli/commands/tunnels/install.py": "A unit of systemd",
    "console/page.py": "reads the console's address",
    "credentials/cache.py": "A cache file of another user",
    "credentials/console_login.py": "plants a renewed login",
    "credentials/federation.py": "kept SAML response",
    "credentials/kept_answers.py": "kept SAML response",
    "credentials/rotation.py": "A rotation loses the keys",
    "credentials/shared_file.py": "The shared credentials file gets new readers",
    "credentials/sso_profiles.py": "Two of our processes write one file",
    "fast/shortcut.py": "One profile gets the keys of another",
    "fleet/records.py": "Records of sessions, runs and copies",
    "run/config_copy.py": "The copy of the config file",
    "signin/login_lock.py": "The account is locked",
    "signin/sso_token.py": "Tokens of Identity Center",
    "ssm/command/carrier.py": "Records of sessions, runs and copies",
    "ssm/records.py": "Records of sessions, runs and copies",
    "store/file.py": "keyring file",
    "targets/facts.py": "Records of sessions, runs and copies",
}
PROCESSES = {
    "cli/commands/tunnels/client.py": "opens or closes tunnels",
    "cli/commands/tunnels/serve.py": "A name, a tag or a message steers the terminal",  # notify-send
    "console/page.py": "reads the console's address",
    "credentials/processes.py": "A credential_process runs itself",
    "run/program.py": "Secrets reach the user's program",
    "serve/loopback.py": "A stale address",
    "signin/browser.py": "A browser program gets secrets",
    "signin/browser_window.py": "pages of the sign-in window",
    "ssm/copy/file_server.py": "Another program runs on the instance",
    "ssm/command/guardian.py": "A killed process leaves",
    "ssm/command/helper.py": "Another program runs on the instance",
    "store/password_store.py": "while it is stored",
}


def _modules(pattern: str) -> set[str]:
    source = ROOT / "src" / "aws_runas"
    paths = (path for path in source.rglob("*.py") if re.search(pattern, path.read_text("utf-8"), re.MULTILINE))
    return {path.relative_to(source).as_posix() for path in paths}


def test_every_listener_file_and_process_has_a_row() -> None:
    text = PAGE.read_text(encoding="utf-8")
    rows = "\n".join(line for line in text.splitlines() if line.startswith("| **"))
    missing = [phrase for table in (LISTENERS, WRITTEN, PROCESSES) for phrase in table.values() if phrase not in rows]
    assert missing == []
    assert _modules(r"start_server|start_unix_server|\.listen\(|create_server\(|\.bind\(") - set(LISTENERS) == set()
    written = _modules(r"files\.write_atomic|directory\.write\(|open_private_directory\(") - {"files.py"}
    assert {name for name in written if not name.startswith("sandbox/")} - set(WRITTEN) == set()
    started = _modules(r"subprocess\.Popen\(|create_subprocess_|os\.fork\(|posix_spawn|os\.execv")
    assert {name for name in started if not name.startswith("sandbox/")} - set(PROCESSES) == set()
