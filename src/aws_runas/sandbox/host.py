"""Process of a sandbox: ``python -m aws_runas.sandbox.host``, started by sandbox.world.

The first line of stdin contains the options (JSON). The first line of stdout reports that the sandbox is ready (JSON).
The process ends when its stdin ends, so it never outlives the process that started it.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import shutil
import signal
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from aws_runas.sandbox import configuration
from aws_runas.sandbox.commands import PREFIX, Control, HostCommands
from aws_runas.sandbox.fixtures import populate_ec2, populate_iam, populate_kms, user_principal
from aws_runas.sandbox.fleet import Fleet
from aws_runas.sandbox.instances import Instances
from aws_runas.sandbox.options import SandboxOptions
from aws_runas.sandbox.services import http
from aws_runas.sandbox.services.calls import CallLog
from aws_runas.sandbox.services.console_signin import PATHS as CONSOLE_PATHS
from aws_runas.sandbox.services.console_signin import ConsoleSignIn
from aws_runas.sandbox.services.data_channel import DataChannels
from aws_runas.sandbox.services.databases import Databases
from aws_runas.sandbox.services.ecr import Registries
from aws_runas.sandbox.services.ecs import Ecs
from aws_runas.sandbox.services.errors import Reply
from aws_runas.sandbox.services.gateway import Gateway
from aws_runas.sandbox.services.http import Guard
from aws_runas.sandbox.services.instance_connect import InstanceConnect
from aws_runas.sandbox.services.json_input import JsonService
from aws_runas.sandbox.services.moto import Moto
from aws_runas.sandbox.services.principals import TemporaryKeys
from aws_runas.sandbox.services.requests import Request
from aws_runas.sandbox.services.resource_groups import ResourceGroups
from aws_runas.sandbox.services.signin import PATH as SIGN_IN_PATH
from aws_runas.sandbox.services.signin import SignIn
from aws_runas.sandbox.services.ssm import SsmService
from aws_runas.sandbox.services.sso_directory import SsoDirectory, write_token
from aws_runas.sandbox.services.sso_oidc import SsoOidc
from aws_runas.sandbox.services.sso_pages import SsoPages
from aws_runas.sandbox.services.sso_portal import SsoPortal
from aws_runas.sandbox.services.sts import MfaDevices, Sts
from aws_runas.sandbox.state import SandboxState
from aws_runas.socket_owner import SocketOwners

GREETING_PORT = 9000  # port on the instances; on this machine the system picks a port
WORKERS = 24  # threads for moto and STS; 50 programs that start at once wait briefly


class Host:
    """Parts of one sandbox.

    Args:
        directory: private, created by the parent process; contains every file of the sandbox.
        token: the token of the control address.
    """

    def __init__(self, options: SandboxOptions, directory: Path, token: str) -> None:
        self.options = options
        self.directory = directory
        self.endpoint = ""
        self.state = state = SandboxState(options)
        self.log = log = CallLog()
        self.moto = moto = Moto(options.region)
        self.fixtures = populate_iam(moto)
        self._token = token
        self._workers = ThreadPoolExecutor(WORKERS, thread_name_prefix="sandbox")
        keys, devices = TemporaryKeys(), MfaDevices(moto)
        self.instances = Instances(options, directory, moto)
        self.ssm = SsmService(
            asyncio.get_running_loop(), self.instances, state, lambda *call: self.gateway.authorize(*call)
        )
        self.fleet = Fleet(options, directory, self.instances, moto)
        web_identity = configuration.write_web_identity_token(directory)
        sts = Sts(moto, keys, devices, state.clock, web_identity)
        self.gateway = Gateway(moto, sts, keys, state=state, own=self._json_services(), log=log)
        self.sign_in = SignIn(keys, state, log)
        self._sign_in_user(directory / configuration.HOME / ".aws" / "login" / "cache")
        self.console = ConsoleSignIn(keys, state, log)
        self.single_sign_on = SsoDirectory(state.clock)
        self.portal = SsoPortal(self.single_sign_on, moto, keys, state, log)
        self.oidc = SsoOidc(self.single_sign_on, state, log, lambda: self.endpoint)
        self.pages = SsoPages(self.oidc)
        self.channels = DataChannels(self.ssm, self.gateway, options.external_agents)
        commands = HostCommands(
            state, log, self.ssm, instances=self.instances, devices=devices, sign_in=self._sign_in_user
        )
        self.control = Control(token, commands.table())

    def _json_services(self) -> dict[str, JsonService]:
        """Return the sandbox's own services by signing name; moto answers all other calls."""
        registries = Registries(self.state.clock, lambda *call: self.gateway.authorize(*call))
        databases = Databases(self.moto, self.state.wait_for)
        return {
            "ssm": self.fleet.before(Databases.redirected(self.ssm.call)),
            "rds": databases.call,
            "elasticache": databases.call,
            "ecr": registries.private,
            "ecr-public": registries.public,
            "ecs": Ecs(self.options.region, self.ssm.open_session).call,
            "resource-groups": ResourceGroups(self.moto, self.state.wait_for).call,
            "ec2-instance-connect": InstanceConnect(self.instances).call,
        }

    def _sign_in_user(self, directory: Path) -> None:
        """Sign the user in as ``aws login`` does.

        Args:
            directory: the login cache directory.
        """
        self.sign_in.sign_in(user_principal(self.moto), configuration.LOGIN_SESSION, directory, self.options.region)

    def populate_rest(self) -> None:
        """Load the parts that are slow to load. Call this in a thread."""
        try:
            populate_ec2(self.moto, self.fleet.specs)
            self.instances.kms_key = populate_kms(self.moto)
        finally:
            self.state.loaded.set()

    async def handle(self, request: Request) -> Reply:
        """Answer one HTTP request."""
        loop = asyncio.get_running_loop()
        if request.path.startswith(PREFIX):
            return self.control.handle(request)
        if request.path.startswith("/v1/data-channel/"):
            return self.channels.create(request)
        if request.path in CONSOLE_PATHS:
            return self.console.handle(request)
        if request.path == SIGN_IN_PATH:
            return self.sign_in.handle(request)
        for service in (self.portal, self.oidc, self.pages):
            if service.serves(request):
                return service.handle(request)
        return await loop.run_in_executor(self._workers, self.gateway.handle, request)

    async def serve(self) -> dict[str, str]:
        """Start listening, and return the answer for the parent process.

        Raises:
            OSError: the port is in use.
        """
        owners = SocketOwners()
        server = await http.listen(
            lambda: http.HttpConnection(self.handle, self.channels.upgrade, Guard(owners), self.state.clock.now),
            self.options.port,
        )
        port = server.sockets[0].getsockname()[1]
        service = await http.listen(
            lambda: http.HttpConnection(greet, _no_upgrade, Guard(owners, any_port=True), self.state.clock.now), 0
        )
        self.instances.port_map[GREETING_PORT] = service.sockets[0].getsockname()[1]
        self.ssm.base_url = f"ws://127.0.0.1:{port}"
        self.endpoint = f"http://127.0.0.1:{port}"
        start_url = self.endpoint + self.single_sign_on.start_path
        configuration.write(
            self.directory, self.fixtures, self.options.region, port, token=self._token, start_url=start_url
        )
        token = next(iter(self.single_sign_on.sign_in(refreshable=False).access_tokens))
        write_token(self.directory / configuration.HOME, token, start_url, self.options.region)
        threading.Thread(target=self.populate_rest, name="populate", daemon=True).start()
        return {"endpoint": self.endpoint, "mfa_seed": self.fixtures.mfa_seed}

    async def close(self) -> None:
        """End everything, including the adopted commands if the process that started them is gone."""
        self.instances.stop()
        self.fleet.run_command.stop()
        for number in (signal.SIGHUP, signal.SIGKILL):
            if self.state.adopted:
                for pid in self.state.adopted:
                    with contextlib.suppress(OSError):
                        os.kill(pid, number)
                await asyncio.sleep(0.5)
        self._workers.shutdown(wait=False, cancel_futures=True)


async def greet(request: Request) -> Reply:
    """Answer a request to port 9000 of an instance."""
    text = f"hello from the sandbox: {request.method} {request.path} on port {GREETING_PORT} of the instance\n"
    return Reply(200, text.encode(), {"Content-Type": "text/plain; charset=utf-8"})


def _no_upgrade(_request: Request, _data: bytes, transport: asyncio.Transport) -> None:
    transport.abort()


def remove(directory: Path) -> None:
    """Remove the sandbox's files. Retry while a process of an agent is still writing."""
    for _ in range(10):
        shutil.rmtree(directory, ignore_errors=True)
        if not directory.exists():
            return
        time.sleep(0.05)


async def _run(order: dict[str, str]) -> int:
    loop = asyncio.get_running_loop()
    lifeline = asyncio.StreamReader()  # ends with the pipe of the parent, or at a signal
    for number in (signal.SIGTERM, signal.SIGHUP):
        loop.add_signal_handler(number, lifeline.feed_eof)
    loop.add_signal_handler(signal.SIGINT, lambda: None)  # not SIG_IGN, which the agent's shells would inherit
    directory = Path(order["directory"])
    host = Host(SandboxOptions.from_json(order["options"]), directory, order["token"])
    try:
        try:
            answer: dict[str, object] = {**await host.serve()}
        except OSError as error:
            answer = {"error": os.strerror(error.errno or 0), "errno": error.errno}
        print(json.dumps(answer), flush=True)  # noqa: T201 - the answer to the parent process
        if "error" in answer:
            return 1
        await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(lifeline), sys.stdin)
        await lifeline.read()
    finally:
        await host.close()
        remove(directory)
    return 0


def main() -> None:
    """Run until stdin ends or a signal arrives. Exit without waiting for moto's threads."""
    order = json.loads(os.read(0, 1 << 20))
    status = asyncio.run(_run(order))
    sys.stdout.flush()
    os._exit(status)


if __name__ == "__main__":
    main()
