"""``--plugin``: the external session-manager-plugin carries the session, with our credential endpoint."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING

from aws_runas.cli.environment import Environment
from aws_runas.cli.session.flags import SessionFlags
from aws_runas.errors import AwsRunasError
from aws_runas.ssm.plugin import find_plugin

if TYPE_CHECKING:
    from aws_runas.cli.session.open import OpenTarget


def run_plugin(
    opened: OpenTarget,
    *,
    document: str | None,
    parameters: Mapping[str, Sequence[str]] | None,
    flags: SessionFlags,
    env: Environment,
) -> int:
    """Start a session and let the plugin carry it.

    Args:
        opened: the resolved target.
        document, parameters: arguments of StartSession.

    Returns:
        The plugin's exit status.

    Raises:
        SessionError: there is no suitable plugin, or the session cannot be started.
    """
    from aws_runas.cli import endpoint
    from aws_runas.config.files import config_path
    from aws_runas.run import config_copy, environment
    from aws_runas.run import endpoint_mode as beside
    from aws_runas.ssm.transport.address import parse_stream_url

    access, api = opened.access, opened.api
    plugin = find_plugin(env.environ)  # before anything is opened
    request, started = api.start_session_raw(opened.target, document, parameters, flags.reason)
    try:
        if flags.stream_host:
            url = parse_stream_url(started.stream_url, host_override=flags.stream_host).url
            started = replace(started, stream_url=url)
        call = plugin.call(started, request, access.region(), api.endpoint_url())
        for warning in call.warnings:
            env.warn(warning)
        variables = environment.base(env.environ, access.profile.name, access.region())
        variables.update(call.variables)
        path = str(config_path(env.environ, env.home))

        def serve(descriptor: int, token: str) -> None:
            endpoint.serve(access.provider, access.profile.role_arn, descriptor, token)

        config = path if config_copy.is_needed(path) else None
        return beside.run(call.arguments, variables, config, serve)
    finally:
        with suppress(AwsRunasError):
            api.terminate_session(started.session_id)
