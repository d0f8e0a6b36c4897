"""Session documents of the sandbox, and the sessions that they open.

Source: AWS, "Session document schema" and the documents AWS-StartSSHSession, AWS-StartPortForwardingSession,
AWS-StartPortForwardingSessionToRemoteHost, AWS-StartInteractiveCommand, AWS-StartNonInteractiveCommand.
"""

from __future__ import annotations

import re
from dataclasses import field

from aws_runas.dataclass import dataclass
from aws_runas.sandbox.services.errors import ServiceError
from aws_runas.sandbox.services.json_input import Input, read_texts
from aws_runas.sandbox.services.session import Plan

PORT = re.compile(r"([1-9][0-9]{0,3}|[1-5][0-9]{4}|6[0-4][0-9]{3}|65[0-4][0-9]{2}|655[0-2][0-9]|6553[0-5])")
LOCAL_PORT = re.compile(rf"(0|{PORT.pattern})")
HOST = re.compile(r"[^,$^&(!;'\"<>`{}\[\]|#=\s]{3,}")
ANYTHING = re.compile(r"(?s).+")
FLAG = re.compile(r"true|false", re.IGNORECASE)
PREFIX = re.compile(r"[0-9a-zA-Z\r\n_:-]{0,30}")
SHELL = "SSM-SessionManagerRunShell"


@dataclass(frozen=True, slots=True)
class Parameter:
    """Parameter of a document.

    Args:
        pattern: the pattern that a value must match.
        default: None if a value is required.
    """

    pattern: re.Pattern[str]
    default: str | None = None


@dataclass(frozen=True, slots=True)
class Document:
    """Session document.

    Args:
        session_type: the type of its sessions.
        parameters: by name.
        fixed: properties that the client always receives.
    """

    session_type: str
    parameters: dict[str, Parameter] = field(default_factory=dict)
    fixed: dict[str, str] = field(default_factory=dict)


_OUTPUT = {
    "separateOutputStream": Parameter(FLAG, "false"),
    "stdoutSeparatorPrefix": Parameter(PREFIX, ""),
    "stderrSeparatorPrefix": Parameter(PREFIX, ""),
}
_FORWARDING = {"type": "LocalPortForwarding"}
_LOCAL = Parameter(LOCAL_PORT, "0")
DOCUMENTS = {
    SHELL: Document("Standard_Stream"),
    "AWS-StartSSHSession": Document("Port", {"portNumber": Parameter(PORT, "22")}),
    "AWS-StartPortForwardingSession": Document(
        "Port", {"portNumber": Parameter(PORT, "80"), "localPortNumber": _LOCAL}, _FORWARDING
    ),
    "AWS-StartPortForwardingSessionToRemoteHost": Document(
        "Port",
        {"host": Parameter(HOST, "localhost"), "portNumber": Parameter(PORT, "80"), "localPortNumber": _LOCAL},
        _FORWARDING,
    ),
    "AWS-StartInteractiveCommand": Document("InteractiveCommands", {"command": Parameter(ANYTHING)}),
    "AWS-StartNonInteractiveCommand": Document("NonInteractiveCommands", {"command": Parameter(ANYTHING), **_OUTPUT}),
}


def plan(target: str, name: str, parameters: Input, reason: str) -> Plan:
    """Check the document and the parameters of a StartSession request.

    Args:
        target: the target in the request.
        name: the name of the document; "" for the default one.
        parameters: the parameters of the document, as the caller wrote them.
        reason: the reason for the session, "" for none.

    Raises:
        ServiceError: InvalidDocument or InvalidParameters, with the message of AWS.
    """
    document = DOCUMENTS.get(name or SHELL)
    if document is None:
        raise ServiceError("InvalidDocument", f"Document with name {name} does not exist.")
    complete: dict[str, list[str]] = {}
    for given in parameters:
        if given not in document.parameters:
            raise ServiceError("InvalidParameters", f"Parameter {given} is not defined in document {name}.")
        complete[given] = _checked(given, parameters, document.parameters[given])
    for missing, parameter in document.parameters.items():
        if missing not in complete:
            if parameter.default is None:
                raise ServiceError("InvalidParameters", f"Parameter {missing} is required by document {name}.")
            complete[missing] = [parameter.default]
    properties = None
    if document.session_type == "Port":
        properties = {given: values[0] for given, values in complete.items()} | document.fixed
    return Plan(target, name or SHELL, document.session_type, properties, complete, reason)


def _checked(name: str, parameters: Input, parameter: Parameter) -> list[str]:
    values = read_texts(parameters, name)
    if not values:
        raise ServiceError("SerializationException", f"{name} is not a list of strings")
    for value in values:
        if not parameter.pattern.fullmatch(value):
            text = f"Parameter {name} has value {value} not matching {parameter.pattern.pattern}."
            raise ServiceError("InvalidParameters", text)
    return values
