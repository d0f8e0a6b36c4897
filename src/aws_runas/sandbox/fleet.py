"""Instances for Run Command: those with an agent, additional ones, and some in another region."""

from __future__ import annotations

import contextlib
import time
from pathlib import Path

from aws_runas import files
from aws_runas.sandbox.fixtures import MANAGED_NODE, OTHER_REGION, InstanceSpec, fleet_instances
from aws_runas.sandbox.instances import Instances
from aws_runas.sandbox.options import SandboxOptions
from aws_runas.sandbox.services.errors import Reply, json_reply
from aws_runas.sandbox.services.json_input import (
    Input,
    JsonObject,
    JsonService,
    page,
    read_flag,
    read_object,
    read_objects,
    read_text,
    read_texts,
)
from aws_runas.sandbox.services.moto import Moto
from aws_runas.sandbox.services.principals import OTHER_ACCOUNT, Key, account_of
from aws_runas.sandbox.services.run_command import PAGE, FleetInstance, RunCommand

IN_OTHER_REGION = 4  # instances
IN_OTHER_ACCOUNT = 3  # instances


class Fleet:
    """Run Command and its inventory.

    Args:
        options: number of additional instances, times and limits.
        directory: the directory of the sandbox; each instance has a home in it.
        instances: the instances with an agent.
        moto: provides buckets and log groups.
    """

    def __init__(self, options: SandboxOptions, directory: Path, instances: Instances, moto: Moto) -> None:
        self._moto = moto
        self.specs = fleet_instances(options.instances)
        self._region = options.region
        self._other_region = OTHER_REGION if options.region != OTHER_REGION else "us-east-1"
        self._agent_version = options.agent_version
        self._directory = directory / "fleet"
        self._instances = instances
        self._by_id = {spec.instance_id: spec for spec in self.specs}
        self.run_command = RunCommand(
            self._find,
            speed=options.clock_speed,
            eventual=options.eventual,
            rate=options.ssm_rate,
            store=self._store,
        )

    def _store(self, request: Input, region: str, folder: str, name: str, text: str) -> None:
        """Store a complete stream as agents do: under a prefix in a bucket, or as a stream of a log group."""
        plugin = "PowerShellScript" if "PowerShell" in read_text(request, "DocumentName") else "ShellScript"
        with contextlib.suppress(Exception):  # moto: no such bucket; an agent cannot report that either
            if bucket := read_text(request, "OutputS3BucketName"):
                prefix = read_text(request, "OutputS3KeyPrefix")
                key = f"{folder}/awsrun{plugin}/0.awsrun{plugin}/{name}"
                self._moto.store_object(bucket, f"{prefix}/{key}" if prefix else key, text.encode())
            config = read_object(request, "CloudWatchOutputConfig")
            if read_flag(config, "CloudWatchOutputEnabled"):
                group = read_text(config, "CloudWatchLogGroupName")
                self._moto.store_log(region, group, f"{folder}/aws-run{plugin}/{name}", text)

    def before(self, service: JsonService) -> JsonService:
        """Return a service that answers Run Command's calls and the inventory, and passes other calls to `service`."""

        def call(action: str, values: Input, key: Key, region: str) -> Reply:
            if action == "DescribeInstanceInformation":
                if not _filters(values):
                    return json_reply(self._inventory(values, account_of(key.principal.arn), region))
                if found := self._asked_by_id(values, region):
                    return json_reply({"InstanceInformationList": found})
            try:
                return self.run_command.call(action, values, key, region)
            except LookupError:
                return service(action, values, key, region)

        return call

    def _other_ids(self) -> list[str]:
        return [f"i-0f1ee7ee{number:09d}" for number in range(IN_OTHER_REGION)] if self.specs else []

    def _elsewhere_ids(self) -> list[str]:
        return [f"i-0f1ee7acc{number:08d}" for number in range(IN_OTHER_ACCOUNT)] if self.specs else []

    def _find(self, account: str, region: str, instance_id: str) -> FleetInstance | None:
        if account == OTHER_ACCOUNT:
            known = region == self._region and instance_id in self._elsewhere_ids()
            return FleetInstance(instance_id, self._home(instance_id)) if known else None
        if region == self._other_region and instance_id in self._other_ids():
            return FleetInstance(instance_id, self._home(instance_id))
        if region != self._region:
            return None
        spec = self._by_id.get(instance_id)
        if spec is not None:
            odd = spec.tags.get("Odd", "")
            if odd == "vanished":
                return None
            platform = "Windows" if odd == "windows" else "Linux"
            return FleetInstance(instance_id, self._home(instance_id), odd != "offline", platform, odd == "hangs")
        if instance_id == MANAGED_NODE or self._instances.is_connected(instance_id):
            return FleetInstance(instance_id, self._home(instance_id))
        return None

    def _home(self, instance_id: str) -> Path:
        home = self._directory / instance_id
        files.make_private_directory(self._directory)
        files.make_private_directory(home)
        return home

    def _inventory(self, values: Input, account: str, region: str) -> JsonObject:
        rows: list[JsonObject] = []
        if account == OTHER_ACCOUNT:
            ids = self._elsewhere_ids() if region == self._region else []
            rows = [self._row(instance_id, f"elsewhere-{number}", None) for number, instance_id in enumerate(ids)]
        elif region == self._region:
            rows = self._instances.information(None, time.time())
            rows += [self._row(spec.instance_id, spec.name, spec) for spec in self.specs]
        elif region == self._other_region:
            ids = self._other_ids()
            rows = [self._row(instance_id, f"abroad-{number}", None) for number, instance_id in enumerate(ids)]
        return page("InstanceInformationList", rows, values, PAGE)

    def _asked_by_id(self, values: Input, region: str) -> list[JsonObject]:
        """Return the rows of the additional instances in a filter."""
        filters = [item for item in read_objects(values, "Filters") if read_text(item, "Key") == "InstanceIds"]
        ids = [instance_id for item in filters for instance_id in read_texts(item, "Values")]
        known = [self._by_id[instance_id] for instance_id in ids if instance_id in self._by_id]
        if region != self._region:
            return []
        return [self._row(spec.instance_id, spec.name, spec) for spec in known]

    def _row(self, instance_id: str, name: str, spec: InstanceSpec | None) -> JsonObject:
        odd = spec.tags.get("Odd", "") if spec else ""
        return {
            "InstanceId": instance_id,
            "PingStatus": "ConnectionLost" if odd == "offline" else "Online",
            "LastPingDateTime": time.time(),
            "AgentVersion": self._agent_version,
            "PlatformType": "Windows" if odd == "windows" else "Linux",
            "ResourceType": "EC2Instance",
            "ComputerName": name,
        }


def _filters(values: Input) -> bool:
    return bool(values.get("Filters") or values.get("InstanceInformationFilterList"))
