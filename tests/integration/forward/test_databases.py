"""Forwards to databases by name: endpoint, bastion, and the errors that name what is wrong."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from aws_runas.config.overrides import Overrides
from aws_runas.credentials.build import Prompts, open_access
from aws_runas.sandbox.world import Sandbox
from aws_runas.signin.context import RunContext
from tests.integration.conftest import MakeSandbox
from tests.integration.forward.support import DEADLINE, PROFILE, echo, forwarding, receive_exactly, serving

pytestmark = pytest.mark.slow

BASTION = "i-0123456789abcdef0"


@pytest.fixture
def own_sandbox(make_sandbox: MakeSandbox) -> Sandbox:
    """A sandbox of its own: these tests create databases and tags."""
    return make_sandbox()


def client(sandbox: Sandbox, service: str) -> Any:
    access = open_access(
        "my-profile",
        Overrides(),
        RunContext(environ=sandbox.environ, home=Path(sandbox.environ["HOME"]), now=time.time, warn=lambda _: None),
        Prompts(lambda _: ""),
    )
    return access.client(service)


def create_database(sandbox: Sandbox, identifier: str, port: int, **settings: Any) -> str:
    """Create a database that listens on a port of this machine; return the name of its endpoint."""
    rds = client(sandbox, "rds")
    rds.create_db_instance(
        DBInstanceIdentifier=identifier,
        DBInstanceClass="db.t3.micro",
        Engine="postgres",
        Port=port,
        DBSubnetGroupName="sandbox",
        **settings,
    )
    reply = rds.describe_db_instances(DBInstanceIdentifier=identifier)
    return str(reply["DBInstances"][0]["Endpoint"]["Address"])


def failure(sandbox: Sandbox, *words: str) -> tuple[int, str]:
    ran = subprocess.run(
        [sys.executable, "-m", "aws_runas", "forward", *words],
        env=sandbox.environ,
        capture_output=True,
        timeout=DEADLINE,
        check=False,
    )
    assert b"Traceback" not in ran.stderr
    return ran.returncode, ran.stderr.decode()


def test_database_is_reached_by_its_name_through_the_tagged_bastion(own_sandbox: Sandbox) -> None:
    sandbox = own_sandbox
    with serving(echo) as server:
        host = create_database(sandbox, "billing", server.port)
        with forwarding(sandbox, PROFILE, "rds:billing") as forward:
            assert forward.lines[0].endswith(f" -> {host}:{server.port} via {BASTION}\n")
            forward.wait_for_error(f"through {BASTION} (bastion), from tag aws-runas:bastion")
            with forward.connect() as connection:
                connection.sendall(b"SELECT 1")
                assert receive_exactly(connection, 8) == b"SELECT 1"


def test_several_databases_through_the_instance_that_the_command_names(own_sandbox: Sandbox) -> None:
    sandbox = own_sandbox
    with serving(echo) as database, serving(echo) as cache:
        create_database(sandbox, "billing", database.port)
        client(sandbox, "elasticache").create_replication_group(
            ReplicationGroupId="carts", ReplicationGroupDescription="carts", Port=cache.port
        )
        words = ("-L", "0:rds:billing", "-L", "0:cache:carts", PROFILE, "web")
        with forwarding(sandbox, "-O", "json", *words, lines=2) as forward:
            listening = [json.loads(line) for line in forward.lines]
        assert [line["target"] for line in listening] == ["i-deadbeef"] * 2
        assert [line["remote_port"] for line in listening] == [database.port, cache.port]
        assert listening[1]["remote_host"].startswith("master.carts.")


def test_reader_of_a_cluster_and_through(own_sandbox: Sandbox) -> None:
    with forwarding(own_sandbox, "--through", "web", PROFILE, "rds:analytics/reader") as forward:
        assert "cluster-ro-" in forward.lines[0]
        assert forward.lines[0].endswith(":5432 via i-deadbeef\n")


ENDPOINTS = {
    "cache:queue": "queue.v2d48t.0001.use1.cache.amazonaws.com:6379",  # one node
    "cache:feed": "feed-v2d48t.serverless.use1.cache.amazonaws.com:6379",
    "cache:feed/reader": "feed-v2d48t.serverless.use1.cache.amazonaws.com:6380",
    "cache:sessions": "master.sessions.",  # a replication group
    "rds:pool": "pool.db-proxy-",
}


@pytest.mark.slow
def test_caches_and_proxies_of_every_kind_are_reached_through_the_bastion_of_their_network(
    own_sandbox: Sandbox,
) -> None:
    rds = client(own_sandbox, "rds")
    groups = rds.describe_db_subnet_groups(DBSubnetGroupName="sandbox")["DBSubnetGroups"]
    rds.create_db_proxy(
        DBProxyName="pool",
        EngineFamily="POSTGRESQL",
        Auth=[{"AuthScheme": "SECRETS", "SecretArn": "arn:aws:secretsmanager:us-east-1:123456789012:secret:s"}],
        RoleArn="arn:aws:iam::123456789012:role/proxy",
        VpcSubnetIds=[groups[0]["Subnets"][0]["SubnetIdentifier"]],
    )
    words = [word for destination in ENDPOINTS for word in ("-L", f"0:{destination}")]
    with forwarding(own_sandbox, *words, PROFILE, lines=len(ENDPOINTS)) as forward:
        for line, endpoint in zip(forward.lines, ENDPOINTS.values(), strict=True):
            assert f" -> {endpoint}" in line
            assert line.endswith(f" via {BASTION}\n")
    (status, stderr) = failure(own_sandbox, PROFILE, "cache:nothing")
    assert status == 5
    assert "cache:nothing" in stderr


def test_bastion_of_the_profile_comes_before_the_tag(own_sandbox: Sandbox) -> None:
    config = Path(own_sandbox.environ["AWS_CONFIG_FILE"])
    text = config.read_text()
    config.write_text(text.replace(f"[profile {PROFILE}]\n", f"[profile {PROFILE}]\nbastion = i-0aaaaaaaaaaaaaaa1\n"))
    with forwarding(own_sandbox, PROFILE, "rds:orders") as forward:
        assert forward.lines[0].endswith("via i-0aaaaaaaaaaaaaaa1\n")


def test_unknown_database_names_the_nearest_ones(own_sandbox: Sandbox) -> None:
    status, stderr = failure(own_sandbox, PROFILE, "rds:order")
    assert status == 5
    assert "rds:order is not a database in us-east-1" in stderr
    assert "did you mean rds:orders" in stderr


def test_several_bastions_are_listed_and_none_is_taken(own_sandbox: Sandbox) -> None:
    client(own_sandbox, "rds").describe_db_instances()  # fills the sandbox
    client(own_sandbox, "ec2").create_tags(Resources=["i-deadbeef"], Tags=[{"Key": "aws-runas:bastion", "Value": ""}])
    status, stderr = failure(own_sandbox, PROFILE, "rds:orders")
    assert status == 5
    assert "2 instances in vpc-" in stderr
    assert "i-deadbeef" in stderr
    assert "--through" in stderr
    assert own_sandbox.count("StartSession") == 0


def test_bastion_that_is_not_connected_is_none(own_sandbox: Sandbox) -> None:
    client(own_sandbox, "rds").describe_db_instances()
    ec2 = client(own_sandbox, "ec2")
    tag = [{"Key": "aws-runas:bastion", "Value": ""}]
    ec2.delete_tags(Resources=[BASTION], Tags=tag)
    ec2.create_tags(Resources=["i-0ccccccccccccccc1"], Tags=tag)  # has no agent
    status, stderr = failure(own_sandbox, PROFILE, "rds:orders")
    assert status == 5
    assert "no bastion for rds:orders" in stderr
    assert "aws-runas:bastion" in stderr


def test_database_that_refuses_the_bastion_is_explained_by_its_security_groups(own_sandbox: Sandbox) -> None:
    ec2 = client(own_sandbox, "ec2")
    group = ec2.create_security_group(GroupName="database", Description="admits nobody")["GroupId"]
    with serving(echo) as server:
        free = server.port
    create_database(own_sandbox, "closed", free, VpcSecurityGroupIds=[group])
    with forwarding(own_sandbox, PROFILE, "rds:closed") as forward, forward.connect() as connection:
        with pytest.raises(ConnectionResetError):
            connection.recv(1)
        forward.wait_for_error(f"no rule of the database's security groups ({group}) admits {BASTION}")


@pytest.mark.parametrize("verb", ["shell", "ssh"])
def test_other_verbs_refuse_a_database(own_sandbox: Sandbox, verb: str) -> None:
    words = [PROFILE, "rds:orders"] if verb == "shell" else [PROFILE, "user@rds:orders"]
    ran = subprocess.run(
        [sys.executable, "-m", "aws_runas", verb, *words],
        env=own_sandbox.environ,
        capture_output=True,
        timeout=DEADLINE,
        check=False,
    )
    assert ran.returncode == 5
    assert b"is a database, not an instance" in ran.stderr
