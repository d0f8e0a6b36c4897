"""Databases by name, ``rds:orders`` or ``cache:sessions/reader``, and the bastion that leads to them."""

from __future__ import annotations

import difflib
from typing import TYPE_CHECKING, Final

from aws_runas.aws.databases import DatabaseEndpoint, find_cache, find_rds, list_caches, list_rds
from aws_runas.aws.ec2 import describe_instances
from aws_runas.aws.ssm import managed_node
from aws_runas.dataclass import dataclass
from aws_runas.errors import AwsRunasError, TargetError
from aws_runas.targets.model import listing

if TYPE_CHECKING:
    from aws_runas.aws.access import Access
    from aws_runas.aws.ec2 import Instance
    from aws_runas.targets.model import Pick

BASTION_TAG: Final = "aws-runas:bastion"
BASTION_KEY: Final = "bastion"  # of a profile


@dataclass(frozen=True, slots=True)
class Bastion:
    """The target that leads to a database.

    Args:
        target: as `resolve_target` accepts it.
        origin: where the target comes from, for messages.
        instance: the instance, if it was found by its tag.
    """

    target: str
    origin: str
    instance: Instance | None = None


def find_database(text: str, access: Access) -> DatabaseEndpoint:
    """Return the endpoint of a database.

    Args:
        text: ``rds:ID``, ``rds:ID/reader``, ``rds:ID/ENDPOINT``, ``cache:ID`` or ``cache:ID/reader``.
        access: the credentials and region for the calls.

    Raises:
        TargetError: there is no such database.
        AwsRunasError: AWS refused the call.
    """
    service, _, name = text.partition(":")
    identifier, _, part = name.partition("/")
    is_rds = service.lower() == "rds"
    endpoint = (find_rds if is_rds else find_cache)(access, identifier, part)
    if endpoint is not None:
        return endpoint
    names = (list_rds if is_rds else list_caches)(access)
    if identifier in names and part:
        raise TargetError(
            f"{service}:{identifier} has no endpoint {part!r}",
            code="not-a-database",
            hint=f"{service}:{identifier} is its main endpoint, {service}:{identifier}/reader the one for reading",
        )
    near = difflib.get_close_matches(identifier, names, n=3, cutoff=0.4)
    raise TargetError(
        f"{service}:{identifier} is not a database in {access.region()}",
        code="not-a-database",
        hint=f"did you mean {', '.join(f'{service}:{name}' for name in near)}?" if near else "check id and region",
    )


def find_bastion(database: str, vpc_id: str, access: Access, *, pick: Pick | None = None) -> Bastion:
    """Return the target through which a database is reached if the command line does not name one.

    The profile's key ``bastion`` comes first, then a connected instance with the tag ``aws-runas:bastion`` in the VPC.

    Args:
        database: for messages.
        vpc_id: the id of the VPC of the database; "" searches all VPCs.
        access: the profile, credentials and region.
        pick: asks the user if several instances match.

    Raises:
        TargetError: there is no bastion, or there are several.
        AwsRunasError: AWS refused the call.
    """
    section = access.profile.sections.get(access.profile.section or "")
    if section is not None and (target := section.text(BASTION_KEY)):
        return Bastion(target, section.origin(BASTION_KEY))
    instances = _tagged_instances(vpc_id, access)
    if len(instances) == 1:
        return Bastion(instances[0].instance_id, f"tag {BASTION_TAG}", instances[0])
    if instances and pick is not None:
        chosen = pick(instances)
        if chosen is None:
            raise TargetError("no instance was picked", code="target-not-picked")
        return Bastion(chosen.instance_id, "picked", chosen)
    where = f" in {vpc_id}" if vpc_id else ""
    if instances:
        raise TargetError(
            f"{len(instances)} instances{where} are bastions for {database}",
            code="several-bastions",
            details=listing(instances),
            hint="name one with --through, or choose with --pick",
        )
    raise TargetError(
        f"no bastion for {database}: no connected instance{where} has the tag {BASTION_TAG}",
        code="no-bastion",
        hint=f"name an instance with --through, or with {BASTION_KEY} = TARGET in the profile, or tag one",
    )


def explain_unreachable(database: DatabaseEndpoint, bastion_id: str, access: Access) -> str:
    """Return a sentence if no security group of the database admits the bastion, "" if one does or if it is unknown.

    Args:
        database: its endpoint.
        bastion_id: instance id.
        access: the profile.

    Source: AWS API reference, ec2 DescribeSecurityGroups.
    """
    from aws_runas.aws.ec2 import admits, groups_of_instance

    if not database.security_groups or not bastion_id.startswith("i-"):
        return ""
    try:
        bastion_groups, addresses = groups_of_instance(access, bastion_id)
        if admits(access, database.security_groups, database.port, bastion_groups, from_addresses=addresses):
            return ""
    except AwsRunasError:
        return ""
    return (
        f"no rule of the database's security groups ({', '.join(database.security_groups)}) admits {bastion_id} "
        f"({', '.join(bastion_groups) or 'no security group'}) on port {database.port}"
    )


def _tagged_instances(vpc_id: str, access: Access) -> list[Instance]:
    """Return the running, connected instances with the bastion tag."""
    filters = {"tag-key": [BASTION_TAG], "instance-state-name": ["running"]}
    if vpc_id:
        filters["vpc-id"] = [vpc_id]
    instances = describe_instances(access, filters)
    return [instance for instance in instances if _is_online(instance, access)]


def _is_online(instance: Instance, access: Access) -> bool:
    node = managed_node(access, instance.instance_id)
    return node is not None and node.ping_status == "Online"
