"""Answers of the sandbox's services: replies and errors, in the format of each AWS protocol."""

from __future__ import annotations

import json
import uuid
from dataclasses import field
from typing import Final
from xml.sax.saxutils import escape

from aws_runas.dataclass import dataclass


class ServiceError(Exception):
    """Error response of a service.

    Args:
        code: AWS name of the error.
        message: the message of AWS.
        status: HTTP status.
    """

    def __init__(self, code: str, message: str, status: int = 400) -> None:
        super().__init__(f"{code}: {message}")
        self.code = code
        self.message = message
        self.status = status


# Services that speak the query protocol -> the XML namespace of their answers.
QUERY_NAMESPACES: Final = {
    "elasticache": "http://elasticache.amazonaws.com/doc/2015-02-02/",
    "iam": "https://iam.amazonaws.com/doc/2010-05-08/",
    "rds": "http://rds.amazonaws.com/doc/2014-10-31/",
    "sts": "https://sts.amazonaws.com/doc/2011-06-15/",
}


@dataclass(frozen=True, slots=True)
class Reply:
    """HTTP response.

    Args:
        headers: without Content-Length and Date.
    """

    status: int = 200
    body: bytes = b""
    headers: dict[str, str] = field(default_factory=dict)


def json_reply(value: object, status: int = 200, content_type: str = "application/x-amz-json-1.1") -> Reply:
    """Return a reply with a JSON body.

    Args:
        value: the value to write as JSON.
        status: HTTP status.
        content_type: the content type in the AWS protocol.
    """
    headers = {"Content-Type": content_type, "x-amzn-RequestId": str(uuid.uuid4())}
    return Reply(status, json.dumps(value).encode(), headers)


def xml_reply(text: str, status: int = 200) -> Reply:
    """Return a reply of the query protocol.

    Args:
        text: the XML.
    """
    return Reply(status, text.encode(), {"Content-Type": "text/xml"})


def render(error: ServiceError, service: str) -> Reply:
    """Return an error in the protocol of a service.

    Args:
        service: signing name.
    """
    request_id = str(uuid.uuid4())
    if service in QUERY_NAMESPACES:
        kind = "Receiver" if error.status >= 500 else "Sender"
        return xml_reply(
            f'<ErrorResponse xmlns="{QUERY_NAMESPACES[service]}"><Error><Type>{kind}</Type><Code>{error.code}</Code>'
            f"<Message>{escape(error.message)}</Message></Error><RequestId>{request_id}</RequestId></ErrorResponse>",
            error.status,
        )
    if service == "ec2":
        return xml_reply(
            f"<Response><Errors><Error><Code>{error.code}</Code><Message>{escape(error.message)}</Message></Error></Errors>"
            f"<RequestID>{request_id}</RequestID></Response>",
            error.status,
        )
    reply = json_reply({"__type": error.code, "message": error.message, "Message": error.message}, error.status)
    reply.headers["x-amzn-ErrorType"] = error.code
    return reply
