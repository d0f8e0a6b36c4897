"""Session documents: what they make of parameters, and what they refuse."""

from __future__ import annotations

from typing import Any

import pytest

from aws_runas.sandbox.services.documents import plan
from aws_runas.sandbox.services.errors import ServiceError


@pytest.mark.parametrize(
    ("document", "parameters", "session_type", "properties"),
    [
        ("", {}, "Standard_Stream", None),
        ("SSM-SessionManagerRunShell", {}, "Standard_Stream", None),
        ("AWS-StartSSHSession", {}, "Port", {"portNumber": "22"}),
        ("AWS-StartSSHSession", {"portNumber": ["2222"]}, "Port", {"portNumber": "2222"}),
        (
            "AWS-StartPortForwardingSession",
            {"portNumber": ["5432"]},
            "Port",
            {"portNumber": "5432", "localPortNumber": "0", "type": "LocalPortForwarding"},
        ),
        (
            "AWS-StartPortForwardingSessionToRemoteHost",
            {"portNumber": ["5432"], "host": ["db.internal"]},
            "Port",
            {"portNumber": "5432", "localPortNumber": "0", "host": "db.internal", "type": "LocalPortForwarding"},
        ),
        ("AWS-StartInteractiveCommand", {"command": ["top"]}, "InteractiveCommands", None),
        ("AWS-StartNonInteractiveCommand", {"command": ["uptime"]}, "NonInteractiveCommands", None),
    ],
)
def test_documents_make_sessions(
    document: str, parameters: dict[str, list[str]], session_type: str, properties: dict[str, str] | None
) -> None:
    made = plan("i-1", document, parameters, "")
    assert (made.session_type, made.properties) == (session_type, properties)


@pytest.mark.parametrize(
    ("document", "parameters", "code"),
    [
        ("AWS-NoSuchDocument", {}, "InvalidDocument"),
        ("AWS-StartSSHSession", {"port": ["22"]}, "InvalidParameters"),
        ("AWS-StartSSHSession", {"portNumber": ["0"]}, "InvalidParameters"),
        ("AWS-StartSSHSession", {"portNumber": ["65536"]}, "InvalidParameters"),
        ("AWS-StartSSHSession", {"portNumber": "22"}, "SerializationException"),
        ("AWS-StartSSHSession", {"portNumber": []}, "SerializationException"),
        ("AWS-StartInteractiveCommand", {}, "InvalidParameters"),
        ("AWS-StartPortForwardingSessionToRemoteHost", {"host": ["a b"]}, "InvalidParameters"),
        ("AWS-StartNonInteractiveCommand", {"command": ["x"], "separateOutputStream": ["maybe"]}, "InvalidParameters"),
        ("SSM-SessionManagerRunShell", {"command": ["x"]}, "InvalidParameters"),
    ],
)
def test_documents_refuse_what_they_do_not_define(document: str, parameters: dict[str, Any], code: str) -> None:
    with pytest.raises(ServiceError) as caught:
        plan("i-1", document, parameters, "")
    assert caught.value.code == code
