"""Databases: RDS and ElastiCache, answered by moto, with a database, a cluster and a cache from the start.

Their endpoint names do not exist. Agents connect to this machine instead, so a database server that listens on
127.0.0.1 and on the port of the database takes its place.

Source: Amazon RDS and Amazon ElastiCache API references.
"""

from __future__ import annotations

import inspect
import secrets
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING

from aws_runas.sandbox.services.errors import Reply, ServiceError
from aws_runas.sandbox.services.json_input import Input, JsonService, read_object
from aws_runas.sandbox.services.moto import Moto
from aws_runas.sandbox.services.principals import ACCOUNT, Key

if TYPE_CHECKING:
    from moto.ec2.models.subnets import Subnet

DATABASE, CLUSTER, CACHE = "orders", "analytics", "sessions"
BASTION = "i-0123456789abcdef0"
SUBNET_GROUP = "sandbox"
SUFFIXES = (".rds.amazonaws.com", ".cache.amazonaws.com")


class Databases:
    """RDS and ElastiCache, filled at the first call, because moto loads them slowly.

    Args:
        moto: answers the calls.
        wait_for: blocks until moto has loaded a service.
    """

    def __init__(self, moto: Moto, wait_for: Callable[[str], None]) -> None:
        self._moto = moto
        self._wait_for = wait_for
        self._lock = threading.Lock()
        self._populated = False

    def call(self, action: str, _values: Input, _key: Key, _region: str) -> Reply:
        """Prepare moto for a call.

        Raises:
            LookupError: always; moto answers then.
        """
        if action == "DescribeServerlessCaches":  # moto has none
            raise ServiceError("ServerlessCacheNotFoundFault", "Serverless cache not found.", 404)
        self._wait_for("ec2")
        with self._lock:
            if not self._populated:
                self._populated = True
                self._populate()
        raise LookupError(action)

    @staticmethod
    def redirected(service: JsonService) -> JsonService:
        """Return a service that replaces the endpoint name of a database with this machine.

        Args:
            service: of SSM.
        """

        def call(action: str, values: Input, key: Key, region: str) -> Reply:
            if action == "StartSession":
                parameters = read_object(values, "Parameters")
                hosts = parameters.get("host")
                if isinstance(hosts, list) and any(str(host).endswith(SUFFIXES) for host in hosts):
                    values = dict(values) | {"Parameters": parameters | {"host": ["127.0.0.1"]}}
            return service(action, values, key, region)

        return call

    def _populate(self) -> None:
        ec2 = self._moto.ec2()
        ec2.create_tags([BASTION], {"aws-runas:bastion": ""})
        subnets = [subnet for zone in ec2.subnets.values() for subnet in zone.values()]
        self._populate_rds(subnets)
        self._populate_elasticache()

    def _populate_rds(self, subnets: list[Subnet]) -> None:
        from moto.rds.models import rds_backends

        rds = rds_backends[ACCOUNT][self._moto.region]
        rds.create_subnet_group(SUBNET_GROUP, "databases of the sandbox", subnets, [])
        common = {
            "port": 5432,
            "master_username": "postgres",
            "master_user_password": secrets.token_urlsafe(12),
            "db_subnet_group_name": SUBNET_GROUP,
        }
        instance = {"db_instance_identifier": DATABASE, "db_instance_class": "db.t3.micro", "engine": "postgres"}
        rds.create_db_instance(common | instance | {"allocated_storage": 20})
        rds.create_db_cluster(common | {"db_cluster_identifier": CLUSTER, "engine": "aurora-postgresql"})

    def _populate_elasticache(self) -> None:
        from moto.elasticache.models import elasticache_backends

        create: Callable[..., object] = elasticache_backends[ACCOUNT][self._moto.region].create_replication_group
        values: dict[str, object] = dict.fromkeys(inspect.signature(create).parameters)  # moto has no defaults
        values |= {"replication_group_id": CACHE, "replication_group_description": "sandbox", "port": 6379}
        create(**values)
