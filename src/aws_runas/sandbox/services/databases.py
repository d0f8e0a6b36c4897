"""RDS and ElastiCache, answered by moto, with a database, a cluster and a cache from the start.

Calls for a cache of one node and for a serverless cache are answered here, because moto has no endpoints for them.

The endpoint names do not exist in DNS. Agents connect to this machine instead, so a database server on 127.0.0.1 and
the port of the database can act as that database.

Source: Amazon RDS and Amazon ElastiCache API references.
"""

from __future__ import annotations

import inspect
import secrets
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING

from aws_runas.sandbox.services.errors import QUERY_NAMESPACES, Reply, ServiceError, xml_reply
from aws_runas.sandbox.services.json_input import Input, JsonService, read_object
from aws_runas.sandbox.services.moto import Moto
from aws_runas.sandbox.services.principals import ACCOUNT, Key

if TYPE_CHECKING:
    from moto.ec2.models.subnets import Subnet

DATABASE, CLUSTER, CACHE = "orders", "analytics", "sessions"
BASTION = "i-0123456789abcdef0"
SUBNET_GROUP = "sandbox"
NODE, SERVERLESS = "queue", "feed"
NODE_XML = f"""<CacheClusters><CacheCluster><CacheClusterId>{NODE}</CacheClusterId><Engine>redis</Engine>
<CacheNodes><CacheNode><CacheNodeId>0001</CacheNodeId><Endpoint>
<Address>{NODE}.v2d48t.0001.use1.cache.amazonaws.com</Address><Port>6379</Port></Endpoint></CacheNode></CacheNodes>
<CacheSubnetGroupName>{SUBNET_GROUP}</CacheSubnetGroupName></CacheCluster></CacheClusters>"""
SERVERLESS_XML = f"""<ServerlessCaches><member><ServerlessCacheName>{SERVERLESS}</ServerlessCacheName>
<Endpoint><Address>{SERVERLESS}-v2d48t.serverless.use1.cache.amazonaws.com</Address><Port>6379</Port></Endpoint>
<ReaderEndpoint><Address>{SERVERLESS}-v2d48t.serverless.use1.cache.amazonaws.com</Address><Port>6380</Port></ReaderEndpoint>
<SubnetIds><SubnetId>{{subnet}}</SubnetId></SubnetIds></member></ServerlessCaches>"""
SUBNET_GROUP_XML = f"""<CacheSubnetGroups><CacheSubnetGroup><CacheSubnetGroupName>{SUBNET_GROUP}</CacheSubnetGroupName>
<VpcId>{{vpc}}</VpcId></CacheSubnetGroup></CacheSubnetGroups>"""
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
        self._network = ("", "")  # VPC and subnet of the databases

    def call(self, action: str, values: Input, _key: Key, _region: str) -> Reply:
        """Answer the calls that moto does not support, and prepare moto for the others.

        Args:
            action: as AWS spells it.
            values: parameters.

        Raises:
            LookupError: moto answers the call.
        """
        self._wait_for("ec2")
        with self._lock:
            if not self._populated:
                self._populated = True
                self._populate()
        vpc_id, subnet_id = self._network
        if action == "DescribeServerlessCaches":
            if values.get("ServerlessCacheName") != SERVERLESS:
                raise ServiceError("ServerlessCacheNotFoundFault", "Serverless cache not found.", 404)
            return _described(action, SERVERLESS_XML.format(subnet=subnet_id))
        if action == "DescribeCacheClusters" and values.get("CacheClusterId") == NODE:
            return _described(action, NODE_XML)
        if action == "DescribeCacheSubnetGroups" and values.get("CacheSubnetGroupName") == SUBNET_GROUP:
            return _described(action, SUBNET_GROUP_XML.format(vpc=vpc_id))
        raise LookupError(action)

    @staticmethod
    def redirected(service: JsonService) -> JsonService:
        """Return a service that replaces the endpoint name of a database with this machine.

        Args:
            service: the SSM service.
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
        self._network = (str(subnets[0].vpc_id), str(subnets[0].id))
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


def _described(action: str, result: str) -> Reply:
    """Return a reply of ElastiCache's query protocol."""
    namespace = QUERY_NAMESPACES["elasticache"]
    return xml_reply(
        f'<{action}Response xmlns="{namespace}"><{action}Result>{result}</{action}Result></{action}Response>'
    )
