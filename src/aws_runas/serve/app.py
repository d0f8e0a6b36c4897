"""Routing of requests: the guards for each request, its handler, and the page for users."""

from __future__ import annotations

import secrets
import threading
import time
from collections.abc import Callable
from pathlib import Path

from aws_runas.aws.credentials import Credentials
from aws_runas.dataclass import dataclass
from aws_runas.errors import AwsRunasError
from aws_runas.serve import api, ecs, guards, imds, replies
from aws_runas.serve.http import Request, Response
from aws_runas.serve.profiles import Profile, Profiles
from aws_runas.serve.renewal import Outcome
from aws_runas.serve.server import Answer

PAGE_PATHS = ("/", "/index.html")


def render_page(token: str, nonce: str, kind: str) -> Response:
    """Return the page.

    Args:
        token: sent back with every state change; only a reader of this page knows it.
        kind: "ec2" or "ecs".
        nonce: random, new for each response; allows the script and the style sheet of the page.
    """
    template = (Path(__file__).parent / "page.html").read_text(encoding="utf-8")
    body = template.replace("{{nonce}}", nonce).replace("{{token}}", token).replace("{{kind}}", kind)
    policy = (
        f"default-src 'none'; script-src 'nonce-{nonce}'; style-src 'nonce-{nonce}'; connect-src 'self'; "
        "img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    )
    headers = (
        ("Content-Security-Policy", policy),
        ("X-Frame-Options", "DENY"),
        ("Cross-Origin-Opener-Policy", "same-origin"),
        ("Permissions-Policy", "clipboard-read=(), camera=(), geolocation=(), microphone=()"),
    )
    return Response(200, body.encode(), "text/html; charset=utf-8", headers)


@dataclass(frozen=True, slots=True)
class Options:
    """Settings of one server.

    Args:
        kind: "ec2" or "ecs".
        bearer: the token of container clients; always set for "ecs".
        allow_v1: answer IMDS requests without a session token.
        is_neighbour: returns True if a request without bearer token is from this user or root; None skips the check.
    """

    kind: str
    bearer: str | None = None
    allow_v1: bool = True
    is_neighbour: Callable[[Request], bool] | None = None

    def __repr__(self) -> str:
        return f"Options({self.kind})"


class App:
    """Handler of a credential server.

    Args:
        profiles: the served profiles.
        options: the settings of the server.
        log: called with one line per response, which never contains a secret.
        now: seconds since the epoch.
        clock: monotonic seconds.
        random: returns the given number of random bytes.
    """

    def __init__(
        self,
        profiles: Profiles,
        options: Options,
        *,
        log: Callable[[str], None] | None = None,
        now: Callable[[], float] = time.time,
        clock: Callable[[], float] = time.monotonic,
        random: Callable[[int], bytes] = secrets.token_bytes,
    ) -> None:
        self._profiles = profiles
        self._options = options
        self._log = log
        self._now = now
        self._clock = clock
        self._random = random
        self._tokens = imds.Tokens(random(32), random)
        self._policy = guards.Policy(bearer=options.bearer, page_token=random(32).hex())

    def handle(self, request: Request, answer: Answer) -> None:
        """Answer a request, at once or later from another thread.

        Args:
            request: as received.
            answer: accepts the response, from any thread.
        """
        if self._log is not None:
            answer = self._logged(request, answer)
        refusal = guards.host(request) or guards.forwarded(request)
        if refusal is not None:
            answer(refusal)
        elif self._options.kind == "ecs" and ecs.wanted_profile(request) is not None:
            self._container(request, answer)
        elif self._options.kind == "ec2" and imds.is_ours(request.path):
            self._metadata(request, answer)
        else:
            self._person(request, answer)

    def _logged(self, request: Request, answer: Answer) -> Answer:
        log, clock, begun = self._log, self._clock, self._clock()
        assert log is not None  # noqa: S101 - for the type checker

        def logged(response: Response) -> None:
            log(f"{request.method} {request.path[:200]!r} {response.status} {(clock() - begun) * 1000:.0f} ms")
            answer(response)

        return logged

    # --- container credentials

    def _container(self, request: Request, answer: Answer) -> None:
        refusal = guards.browser(request) or guards.bearer(request, self._policy) or _read_only(request)
        if refusal is not None:
            answer(refusal)
            return
        name = ecs.wanted_profile(request)
        if not name:
            self._give_container(self._profiles.active, answer)
        elif (known := self._profiles.opened(name)) is not None:
            self._give_container(known, answer)
        else:
            self._in_thread(lambda: self._give_container(self._profiles.open(name), answer), answer)

    def _give_container(self, profile: Profile, answer: Answer) -> None:
        def then(outcome: Outcome) -> None:
            if isinstance(outcome, Credentials):
                answer(ecs.render(outcome, now=self._now(), role_arn=profile.facts.role_arn))
            else:
                answer(replies.failure(outcome))

        profile.renewal.get(then)

    # --- instance metadata

    def _metadata(self, request: Request, answer: Answer) -> None:
        refusal = guards.browser(request) or self._stranger(request)
        if refusal is not None:
            answer(refusal)
            return
        active = self._profiles.active
        said = imds.handle(request, active.facts, self._tokens, now=self._clock(), allow_v1=self._options.allow_v1)
        if isinstance(said, Response):
            answer(said)
            return
        profile = self._profiles.by_alias(said.profile)
        if profile is None:
            answer(replies.error(404, "not-found", "there is no role of that name"))
            return

        def then(outcome: Outcome) -> None:
            if isinstance(outcome, Credentials):
                answer(imds.render(outcome, profile.facts, now=self._now(), extended=said.extended))
            else:
                answer(replies.failure(outcome))

        profile.renewal.get(then)

    # --- the page and its API

    def _person(self, request: Request, answer: Answer) -> None:
        methods = ("GET", "HEAD") if request.path in PAGE_PATHS else api.METHODS.get(request.path)
        refusal = guards.same_origin(request) or self._stranger(request)
        if refusal is not None:
            answer(refusal)
        elif methods is None:
            answer(replies.error(404, "not-found", "there is nothing here"))
        elif request.method not in methods:
            allow = (("Allow", ", ".join(methods)),)
            answer(replies.error(405, "method-not-allowed", "this path does not take that method", allow))
        elif request.path in PAGE_PATHS:
            token, nonce = self._policy.page_token, self._random(16).hex()
            answer(guards.framed(request) or render_page(token or "", nonce, self._options.kind))
        elif request.method == "POST" and (refusal := guards.page_token(request, self._policy)) is not None:
            answer(refusal)
        elif request.method != "POST" and request.path == "/profile":
            api.handle(request, self._profiles, answer)
        else:
            self._in_thread(lambda: api.handle(request, self._profiles, answer), answer)

    def _stranger(self, request: Request) -> Response | None:
        """Refuse requests without the bearer token from other users of this machine or from other machines."""
        if self._options.bearer is not None and request.header("authorization") is not None:
            return guards.bearer(request, self._policy)
        if self._options.is_neighbour is None or self._options.is_neighbour(request):
            return None
        return replies.error(403, "user-refused", "this server is for the user who started it")

    def _in_thread(self, work: Callable[[], None], answer: Answer) -> None:
        """Run work that reads files outside the server's loop."""

        def run() -> None:
            try:
                work()
            except AwsRunasError as error:
                answer(replies.failure(error))
            except Exception as error:  # a bug: report it to the client and keep serving
                answer(replies.error(500, "internal-error", f"this request failed ({type(error).__name__})"))

        threading.Thread(target=run, name="serve request", daemon=True).start()


def _read_only(request: Request) -> Response | None:
    if request.method in ("GET", "HEAD"):
        return None
    return replies.error(405, "method-not-allowed", "credentials are fetched with GET", (("Allow", "GET, HEAD"),))
