"""HTTP API for the page and for scripts: active profile, MFA codes, refresh, lists.

Described in docs/reference/openapi.yaml. No response contains a secret.
"""

from __future__ import annotations

from collections.abc import Callable

from aws_runas.aws.credentials import Credentials
from aws_runas.errors import AwsRunasError
from aws_runas.serve import replies
from aws_runas.serve.http import Request, Response
from aws_runas.serve.profiles import Profile, Profiles
from aws_runas.serve.renewal import Outcome

Answer = Callable[[Response], None]

METHODS = {
    "/profile": ("GET", "HEAD", "POST"),
    "/mfa": ("POST",),
    "/refresh": ("POST",),
    "/sign-in": ("POST",),
    "/answer": ("POST",),
    "/list-roles": ("GET", "HEAD"),
    "/list-profiles": ("GET", "HEAD"),
}
MAX_NAME = 2048  # characters; the longest role ARN
BODY_TYPES = ("", "text/plain", "application/x-www-form-urlencoded")


def handle(request: Request, profiles: Profiles, answer: Answer) -> None:
    """Answer a request whose path is in METHODS and that passed the guards. May read files and wait for AWS.

    Args:
        request: its method and path are a pair of METHODS.
        profiles: the served profiles.
        answer: called once with the response.
    """
    try:
        if request.path in ("/list-roles", "/list-profiles"):
            answer(replies.json_response(200, profiles.names(roles=request.path == "/list-roles")))
        elif request.method != "POST":
            answer(replies.json_response(200, profiles.active.document()))
        elif (media_type := _media_type(request)) not in BODY_TYPES:
            answer(replies.error(415, "media-type-refused", f"send text or a form, not {media_type[:100]}"))
        elif request.path == "/answer":
            _answer(request, profiles.active, answer)
        elif request.path == "/sign-in":
            profiles.active.renewal.sign_in()
            answer(replies.json_response(202, profiles.active.document()))
        elif request.path != "/profile" and profiles.active.renewal.is_signing_in():
            answer(replies.error(409, "sign-in-under-way", "a sign-in is under way; complete it first"))
        elif request.path == "/profile":
            _switch(request, profiles, answer)
        elif request.path == "/mfa":
            _mfa(request, profiles.active, answer)
        else:
            profile = profiles.switch(profiles.active.facts.name)
            profile.renewal.renew(lambda outcome: answer(_respond(profile, outcome)), refresh=True)
    except AwsRunasError as error:
        answer(replies.failure(error))


def _switch(request: Request, profiles: Profiles, answer: Answer) -> None:
    name = _value(request, "profile")
    if not name or len(name) > MAX_NAME or any(character < " " or character == "\x7f" for character in name):
        answer(replies.error(400, "profile-missing", "send the name of a profile as the body"))
        return
    profile = profiles.switch(name)
    profile.renewal.get(lambda outcome: answer(_respond(profile, outcome)))


def _mfa(request: Request, profile: Profile, answer: Answer) -> None:
    code = _value(request, "mfa")
    if not code:
        answer(replies.error(400, "mfa-missing", "send the MFA code as the form field mfa, or as the body"))
    elif not (len(code) == 6 and code.isascii() and code.isdigit()):
        answer(replies.error(401, "mfa-code-invalid", "a code has six digits", ((replies.AUTHENTICATION_TYPE, "MFA"),)))
    else:
        profile.renewal.renew(lambda outcome: answer(_respond(profile, outcome)), code=code)


def _answer(request: Request, profile: Profile, answer: Answer) -> None:
    """Answer the question of a sign-in from the form fields ``answer`` and ``question``, or from the whole body."""
    number = _field(request, "question")
    text = _field(request, "answer")
    if text is None:
        text = _value(request, "answer")
        if not text:
            answer(replies.error(400, "answer-missing", "send the answer as the form field answer, or as the body"))
            return
    if profile.desk.answer(text, int(number) if number and number.isascii() and number.isdigit() else None):
        answer(replies.json_response(202, profile.document()))
    else:
        answer(replies.error(409, "nothing-asked", "no question waits for an answer"))


def _respond(profile: Profile, outcome: Outcome) -> Response:
    if isinstance(outcome, Credentials):
        return replies.json_response(200, profile.document())
    return replies.failure(outcome)


def _media_type(request: Request) -> str:
    return (request.header("content-type") or "").split(";")[0].strip().lower()


def _field(request: Request, field: str) -> str | None:
    """Return a form field with its whitespace; None if the body is not a form or has no such field."""
    try:
        body = request.body.decode("utf-8")
    except UnicodeDecodeError:
        return None
    if f"{field}=" not in body or not body.startswith(("answer=", "question=")):
        return None
    from urllib.parse import parse_qs

    try:
        return parse_qs(body, keep_blank_values=True, max_num_fields=8).get(field, [None])[0]
    except ValueError:
        return None


def _value(request: Request, field: str) -> str:
    """Return the single value of a body: that form field, or the whole body as text, whatever type curl -d sends."""
    try:
        body = request.body.decode("utf-8").strip()
    except UnicodeDecodeError:
        return ""
    if body.startswith(f"{field}="):
        from urllib.parse import parse_qs  # an import of 12 ms, only needed for forms

        return parse_qs(body, max_num_fields=8).get(field, [""])[0].strip()
    return body
