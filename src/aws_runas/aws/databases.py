"""Endpoints of databases: RDS instances, clusters and proxies, ElastiCache groups, nodes and serverless caches."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Final

from aws_runas.aws import reply
from aws_runas.aws.errors import aws_code, translate
from aws_runas.dataclass import dataclass
from aws_runas.errors import AwsRunasError, TargetError

if TYPE_CHECKING:
    from aws_runas.aws.access import Access

READER: Final = "reader"  # the part of a name that selects the reader endpoint
PROXY_PORTS: Final = {"POSTGRESQL": 5432, "MYSQL": 3306, "SQLSERVER": 1433}  # by engine family; proxies use no other
_NOT_FOUND: Final = {
    "CacheClusterNotFound",
    "DBClusterNotFoundFault",
    "DBInstanceNotFound",
    "DBProxyNotFoundFault",
    "ReplicationGroupNotFoundFault",
    "ServerlessCacheNotFoundFault",
}


@dataclass(frozen=True, slots=True)
class DatabaseEndpoint:
    """The address at which a database accepts connections.

    Args:
        host: host name of the endpoint.
        port: port of the endpoint.
        vpc_id: VPC of the database, "" if AWS does not show it.
        security_groups: ids of its security groups.
    """

    host: str
    port: int
    vpc_id: str = ""
    security_groups: tuple[str, ...] = ()


def find_rds(access: Access, identifier: str, part: str = "") -> DatabaseEndpoint | None:
    """Find an RDS instance, cluster or proxy.

    Args:
        access: its credentials and region are used for the call.
        identifier: of the instance, cluster or proxy.
        part: "" for an instance, a proxy or the writer of a cluster; "reader"; or the name of a custom endpoint.

    Returns:
        The endpoint, None if nothing of that name has one.

    Raises:
        AwsRunasError: a call was refused or failed.

    Source: AWS API reference, rds DescribeDBInstances, DescribeDBClusters, DescribeDBProxies.
    """
    finders = (_rds_cluster,) if part else (_rds_instance, _rds_cluster, _rds_proxy)
    return _first(finders, access, identifier, part)


def find_cache(access: Access, identifier: str, part: str = "") -> DatabaseEndpoint | None:
    """Find an ElastiCache replication group, node or serverless cache.

    Args:
        access: its credentials and region are used for the call.
        identifier: of the replication group, cache cluster or serverless cache.
        part: "" for the primary or the only endpoint, or "reader".

    Returns:
        The endpoint, None if nothing of that name has one.

    Raises:
        AwsRunasError: a call was refused or failed.

    Source: AWS API reference, elasticache DescribeReplicationGroups, DescribeCacheClusters, DescribeServerlessCaches.
    """
    finders = (_replication_group, _serverless_cache) if part else (_replication_group, _cache_node, _serverless_cache)
    return _first(finders, access, identifier, part)


def list_rds(access: Access) -> list[str]:
    """Return the identifiers of all instances, clusters and proxies that may be listed."""
    return [
        *_names(access, "rds", "describe_db_instances", "DBInstances", key="DBInstanceIdentifier"),
        *_names(access, "rds", "describe_db_clusters", "DBClusters", key="DBClusterIdentifier"),
        *_names(access, "rds", "describe_db_proxies", "DBProxies", key="DBProxyName"),
    ]


def list_caches(access: Access) -> list[str]:
    """Return the identifiers of all replication groups and cache clusters that may be listed."""
    return [
        *_names(access, "elasticache", "describe_replication_groups", "ReplicationGroups", key="ReplicationGroupId"),
        *_names(access, "elasticache", "describe_cache_clusters", "CacheClusters", key="CacheClusterId"),
    ]


Finder = Callable[["Access", str, str], DatabaseEndpoint | None]


def _first(finders: tuple[Finder, ...], access: Access, identifier: str, part: str) -> DatabaseEndpoint | None:
    for finder in finders:
        try:
            endpoint = finder(access, identifier, part)
        except AwsRunasError as error:
            if aws_code(error) not in _NOT_FOUND:
                raise
            endpoint = None
        if endpoint is not None:
            return endpoint
    return None


def _rds_instance(access: Access, identifier: str, _part: str) -> DatabaseEndpoint | None:
    with translate("rds", "DescribeDBInstances", TargetError):
        answer = access.client("rds").describe_db_instances(DBInstanceIdentifier=identifier)
        for instance in reply.mappings(answer, "DBInstances"):
            endpoint = reply.mapping(instance, "Endpoint")
            if host := reply.text(endpoint, "Address", ""):
                vpc_id = reply.text(reply.mapping(instance, "DBSubnetGroup"), "VpcId", "")
                return DatabaseEndpoint(host, reply.number(endpoint, "Port"), vpc_id, _rds_groups(instance))
    return None


def _rds_cluster(access: Access, identifier: str, part: str) -> DatabaseEndpoint | None:
    with translate("rds", "DescribeDBClusters", TargetError):
        answer = access.client("rds").describe_db_clusters(DBClusterIdentifier=identifier)
        for cluster in reply.mappings(answer, "DBClusters"):
            if host := _cluster_host(cluster, part):
                vpc_id = _rds_vpc(access, reply.text(cluster, "DBSubnetGroup", ""))
                return DatabaseEndpoint(host, reply.number(cluster, "Port"), vpc_id, _rds_groups(cluster))
    return None


def _cluster_host(cluster: Mapping[str, Any], part: str) -> str:
    if part == READER:
        return reply.text(cluster, "ReaderEndpoint", "")
    if not part:
        return reply.text(cluster, "Endpoint", "")
    hosts = reply.texts(cluster, "CustomEndpoints")
    return next((host for host in hosts if host.partition(".")[0] == part), "")


def _rds_proxy(access: Access, identifier: str, _part: str) -> DatabaseEndpoint | None:
    with translate("rds", "DescribeDBProxies", TargetError):
        answer = access.client("rds").describe_db_proxies(DBProxyName=identifier)
        for proxy in reply.mappings(answer, "DBProxies"):
            host, port = reply.text(proxy, "Endpoint", ""), PROXY_PORTS.get(reply.text(proxy, "EngineFamily", ""))
            if host and port:
                groups = tuple(reply.texts(proxy, "VpcSecurityGroupIds"))
                return DatabaseEndpoint(host, port, reply.text(proxy, "VpcId", ""), groups)
    return None


def _replication_group(access: Access, identifier: str, part: str) -> DatabaseEndpoint | None:
    with translate("elasticache", "DescribeReplicationGroups", TargetError):
        answer = access.client("elasticache").describe_replication_groups(ReplicationGroupId=identifier)
        for group in reply.mappings(answer, "ReplicationGroups"):
            nodes = reply.mappings(group, "NodeGroups")
            name = "ReaderEndpoint" if part == READER else "PrimaryEndpoint"
            endpoint = (reply.mapping(nodes[0], name) if nodes else None) or reply.mapping(
                group, "ConfigurationEndpoint"
            )
            if host := reply.text(endpoint, "Address", ""):
                members = reply.texts(group, "MemberClusters")
                vpc_id, groups = _cache_network(access, members[0]) if members else ("", ())
                return DatabaseEndpoint(host, reply.number(endpoint, "Port"), vpc_id, groups)
    return None


def _cache_node(access: Access, identifier: str, _part: str) -> DatabaseEndpoint | None:
    cluster = _cache_cluster(access, identifier)
    with translate("elasticache", "DescribeCacheClusters", TargetError):
        nodes = reply.mappings(cluster, "CacheNodes")
        first = reply.mapping(nodes[0], "Endpoint") if nodes else {}
        endpoint = reply.mapping(cluster, "ConfigurationEndpoint") or first
        host = reply.text(endpoint, "Address", "")
        if not host:
            return None
        return DatabaseEndpoint(host, reply.number(endpoint, "Port"), *_network_of(access, cluster))


def _serverless_cache(access: Access, identifier: str, part: str) -> DatabaseEndpoint | None:
    with translate("elasticache", "DescribeServerlessCaches", TargetError):
        answer = access.client("elasticache").describe_serverless_caches(ServerlessCacheName=identifier)
        for cache in reply.mappings(answer, "ServerlessCaches"):
            endpoint = reply.mapping(cache, "ReaderEndpoint" if part == READER else "Endpoint")
            if host := reply.text(endpoint, "Address", ""):
                vpc_id = _subnet_vpc(access, reply.texts(cache, "SubnetIds"))
                groups = tuple(reply.texts(cache, "SecurityGroupIds"))
                return DatabaseEndpoint(host, reply.number(endpoint, "Port"), vpc_id, groups)
    return None


def _cache_cluster(access: Access, identifier: str) -> Mapping[str, Any]:
    with translate("elasticache", "DescribeCacheClusters", TargetError):
        answer = access.client("elasticache").describe_cache_clusters(CacheClusterId=identifier, ShowCacheNodeInfo=True)
        clusters = reply.mappings(answer, "CacheClusters")
        return clusters[0] if clusters else {}


def _cache_network(access: Access, member: str) -> tuple[str, tuple[str, ...]]:
    """Return VPC and security groups of a replication group's member; nothing if the call is refused."""
    try:
        return _network_of(access, _cache_cluster(access, member))
    except AwsRunasError:
        return "", ()


def _network_of(access: Access, cluster: Mapping[str, Any]) -> tuple[str, tuple[str, ...]]:
    with translate("elasticache", "DescribeCacheClusters", TargetError):
        groups = tuple(reply.text(group, "SecurityGroupId") for group in reply.mappings(cluster, "SecurityGroups"))
        name = reply.text(cluster, "CacheSubnetGroupName", "")
    if not name:
        return "", groups
    try:
        with translate("elasticache", "DescribeCacheSubnetGroups", TargetError):
            answer = access.client("elasticache").describe_cache_subnet_groups(CacheSubnetGroupName=name)
            return _first_vpc(answer, "CacheSubnetGroups"), groups
    except AwsRunasError:
        return "", groups


def _first_vpc(answer: Mapping[str, Any], container: str) -> str:
    found = reply.mappings(answer, container)
    return reply.text(found[0], "VpcId", "") if found else ""


def _rds_groups(description: Mapping[str, Any]) -> tuple[str, ...]:
    return tuple(reply.text(group, "VpcSecurityGroupId") for group in reply.mappings(description, "VpcSecurityGroups"))


def _rds_vpc(access: Access, subnet_group: str) -> str:
    """Return the VPC of a subnet group, "" if the call is refused."""
    if not subnet_group:
        return ""
    try:
        with translate("rds", "DescribeDBSubnetGroups", TargetError):
            answer = access.client("rds").describe_db_subnet_groups(DBSubnetGroupName=subnet_group)
            return _first_vpc(answer, "DBSubnetGroups")
    except AwsRunasError:
        return ""


def _subnet_vpc(access: Access, subnets: list[str]) -> str:
    """Return the VPC of a subnet, "" if the call is refused."""
    if not subnets:
        return ""
    try:
        with translate("ec2", "DescribeSubnets", TargetError):
            return _first_vpc(access.client("ec2").describe_subnets(SubnetIds=subnets[:1]), "Subnets")
    except AwsRunasError:
        return ""


def _names(access: Access, service: str, operation: str, container: str, *, key: str) -> list[str]:
    try:
        with translate(service, operation, TargetError):
            pages = reply.limited(access.client(service).get_paginator(operation).paginate())
            return [reply.text(entry, key) for page in pages for entry in reply.mappings(page, container)]
    except AwsRunasError:
        return []
