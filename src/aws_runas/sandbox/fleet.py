"""The instances that Run Command reaches: those with an agent, further ones on request, and a few in another region."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from aws_runas import files
from aws_runas.sandbox.fixtures import MANAGED_NODE, OTHER_REGION, InstanceSpec, fleet_instances
from aws_runas.sandbox.instances import Instances
from aws_runas.sandbox.options import SandboxOptions
from aws_runas.sandbox.services.errors import Reply, json_reply
from aws_runas.sandbox.services.moto import Moto
from aws_runas.sandbox.services.principals import OTHER_ACCOUNT, Key, account_of
from aws_runas.sandbox.services.run_command import PAGE, FleetInstance, RunCommand

JsonService = Callable[[str, dict[str, Any], Key, str], Reply]
IN_OTHER_REGION = 4  # instances
IN_OTHER_ACCOUNT = 3


class Fleet:
    """Run Command and the inventory that goes with it.

    Args:
        directory: of the sandbox; each instance has a home in it.
        instances: those with an agent.
        moto: has buckets and log groups.
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

    def _store(self, request: dict[str, Any], region: str, folder: str, name: str, text: str) -> None:
        """Store a whole stream as agents do: below a prefix of a bucket, or as a stream of a log group."""
        plugin = "PowerShellScript" if "PowerShell" in str(request.get("DocumentName")) else "ShellScript"
        with contextlib.suppress(Exception):  # moto: no such bucket; an agent has nobody to tell either
            if bucket := request.get("OutputS3BucketName"):
                prefix = str(request.get("OutputS3KeyPrefix") or "")
                key = f"{folder}/awsrun{plugin}/0.awsrun{plugin}/{name}"
                self._moto.store_object(str(bucket), f"{prefix}/{key}" if prefix else key, text.encode())
            config = request.get("CloudWatchOutputConfig") or {}
            if config.get("CloudWatchOutputEnabled"):
                group = str(config.get("CloudWatchLogGroupName"))
                self._moto.store_log(region, group, f"{folder}/aws-run{plugin}/{name}", text)

    def before(self, service: JsonService) -> JsonService:
        """Return a service that answers Run Command's calls and the inventory, and leaves others to `service`."""

        def call(action: str, values: dict[str, Any], key: Key, region: str) -> Reply:
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

    def _inventory(self, values: dict[str, Any], account: str, region: str) -> dict[str, Any]:
        rows = []
        if account == OTHER_ACCOUNT:
            ids = self._elsewhere_ids() if region == self._region else []
            rows = [self._row(one, f"elsewhere-{number}", None) for number, one in enumerate(ids)]
        elif region == self._region:
            rows = self._instances.information(None, time.time())
            rows += [self._row(spec.instance_id, spec.name, spec) for spec in self.specs]
        elif region == self._other_region:
            rows = [self._row(one, f"abroad-{number}", None) for number, one in enumerate(self._other_ids())]
        start = int(values.get("NextToken") or 0)
        size = min(int(values.get("MaxResults") or PAGE), PAGE)
        page: dict[str, Any] = {"InstanceInformationList": rows[start : start + size]}
        return page | ({"NextToken": str(start + size)} if start + size < len(rows) else {})

    def _asked_by_id(self, values: dict[str, Any], region: str) -> list[dict[str, Any]]:
        """Return the rows of further instances that a filter names."""
        asked = [item.get("Values") or [] for item in values.get("Filters") or [] if item.get("Key") == "InstanceIds"]
        known = [self._by_id[one] for ids in asked for one in ids if one in self._by_id and region == self._region]
        return [self._row(spec.instance_id, spec.name, spec) for spec in known]

    def _row(self, instance_id: str, name: str, spec: InstanceSpec | None) -> dict[str, Any]:
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


def _filters(values: dict[str, Any]) -> bool:
    return bool(values.get("Filters") or values.get("InstanceInformationFilterList"))
