"""Whatever a server answers, a file holds or a process prints: credentials or an error with a code, no traceback."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from aws_runas.aws import (
    databases,
    ec2,
    ecr,
    ecs,
    resolvers,
    run_command,
    ssm,
    sso,
    sts,
)
from aws_runas.aws.access import Access
from aws_runas.aws.credentials import Credentials
from aws_runas.aws.iam import Holder, Iam
from aws_runas.aws.ssm import list_sessions
from aws_runas.config.overrides import Overrides
from aws_runas.config.profile import Profile, ResolverSource, Role, Setting
from aws_runas.config.resolve import load_files, resolve
from aws_runas.credentials.cache import decode
from aws_runas.credentials.sources import read_document
from aws_runas.errors import AwsRunasError, CredentialsError, SessionError
from aws_runas.ssm.api import SsmApi, generate_data_key
from tests.support.loopback import Quiet, serving
from tests.support.sts_server import Sts, running_sts, write_home

NOW = 1_800_000_000.0
NESTED = [
    "DBInstances",
    "DBInstanceIdentifier",
    "Endpoint",
    "Address",
    "Port",
    "DBSubnetGroup",
    "VpcId",
    "VpcSecurityGroups",
    "VpcSecurityGroupId",
    "DBClusters",
    "ReaderEndpoint",
    "CustomEndpoints",
    "DBProxies",
    "EngineFamily",
    "VpcSecurityGroupIds",
    "ReplicationGroups",
    "NodeGroups",
    "PrimaryEndpoint",
    "ConfigurationEndpoint",
    "MemberClusters",
    "CacheClusters",
    "CacheNodes",
    "ServerlessCaches",
    "SubnetIds",
    "SecurityGroupIds",
    "SecurityGroups",
    "SecurityGroupId",
    "CacheSubnetGroupName",
    "CacheSubnetGroups",
    "DBSubnetGroups",
    "Subnets",
    "PlatformType",
    "ComputerName",
    "AgentVersion",
    "Resources",
    "ResourceIdentifiers",
    "Identifier",
    "ResourceArn",
    "Command",
    "CommandId",
    "CommandInvocations",
    "NextToken",
    "CommandPlugins",
    "ResponseCode",
    "Output",
    "StatusDetails",
    "StandardOutputContent",
    "GroupId",
    "PrivateIpAddress",
    "IpPermissions",
    "IpProtocol",
    "FromPort",
    "ToPort",
    "PrefixListIds",
    "UserIdGroupPairs",
    "IpRanges",
    "CidrIp",
    "Ipv6Ranges",
    "CidrIpv6",
    "StartDate",
    "EndDate",
]
KEYS = st.sampled_from(
    [
        "Version",
        "AccessKeyId",
        "SecretAccessKey",
        "SessionToken",
        "Token",
        "Expiration",
        "Issued",
        "AccountId",
        "Credentials",
        "Account",
        "Arn",
        "UserId",
        "Reservations",
        "Instances",
        "InstanceId",
        "Tags",
        "Key",
        "Value",
        "tasks",
        "taskArns",
        "containers",
        "taskArn",
        "name",
        "runtimeId",
        "lastStatus",
        "managedAgents",
        "networkInterfaces",
        "session",
        "sessionId",
        "streamUrl",
        "tokenValue",
        "SessionId",
        "StreamUrl",
        "TokenValue",
        "Sessions",
        "Target",
        "Status",
        "InstanceInformationList",
        "PingStatus",
        "LastPingDateTime",
        "Policy",
        "DefaultVersionId",
        "PolicyVersion",
        "Document",
        "PolicyDocument",
        "Groups",
        "GroupName",
        "PolicyNames",
        "MFADevices",
        "SerialNumber",
        "Plaintext",
        "CiphertextBlob",
        "ResponseMetadata",
        "HTTPHeaders",
        "date",
        "accessToken",
        "expiresAt",
        "startUrl",
        "region",
        "roleCredentials",
        "accessKeyId",
        "secretAccessKey",
        "sessionToken",
        "expiration",
        "authorizationData",
        "authorizationToken",
        "proxyEndpoint",
        "expiresAt",
        "Code",
        "Message",
        *NESTED,
    ]
)
TEXTS = st.sampled_from(
    ["", "ASIAX", "RUNNING", "i-0123456789abcdef0", "2099-01-01T00:00:00Z", "2099-01-01T00:00:00", "\ud800", "a\nb"]
) | st.text(max_size=8)
LEAVES = st.none() | st.booleans() | st.integers() | st.floats() | TEXTS
VALUES = st.recursive(
    LEAVES,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS | st.text(max_size=4), inner, max_size=6),
    max_leaves=20,
)
MAPPINGS = st.dictionaries(KEYS, VALUES, max_size=8)
MANY = settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
FEW = settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))  # each asks a server


def answer_or_error(call: Callable[[], object]) -> object:
    """Call; an error of ours is an answer too, if it has a code and one line."""
    try:
        return call()
    except AwsRunasError as caught:
        error = caught
    assert error.code
    assert "\n" not in error.message
    return error


def credentials_or_reason(call: Callable[[], object]) -> None:
    """Call a reader; ValueError with one line is its way to refuse."""
    try:
        found = call()
    except ValueError as caught:
        reason = str(caught)
    else:
        assert isinstance(found, Credentials)
        return
    assert "\n" not in reason


# --- processes and files


@pytest.mark.slow
@MANY
@given(VALUES)
@example({"Version": 1, "AccessKeyId": "A", "SecretAccessKey": "s", "Expiration": "0001-01-01T00:00:00+23:59"})
@example({"Version": 1, "AccessKeyId": "A", "SecretAccessKey": "s", "Expiration": "9999-12-31T23:59:59-23:59"})
def test_the_answer_of_a_process_is_credentials_or_a_reason(document: object) -> None:
    credentials_or_reason(lambda: read_document(json.dumps(document).encode(), NOW))


@pytest.mark.slow
@MANY
@given(st.binary(max_size=64))
@example(b"[" * 100_000)
def test_bytes_of_a_process_are_credentials_or_a_reason(printed: bytes) -> None:
    with pytest.raises(ValueError, match=r"it printed|Version"):
        read_document(printed, NOW)


@pytest.mark.slow
@MANY
@given(VALUES | MAPPINGS)
@example({"Version": 1, "AccessKeyId": "A", "SecretAccessKey": "s", "SessionToken": "t", "Expiration": 5, "Issued": 5})
def test_an_entry_of_the_cache_is_credentials_or_a_reason(entry: object) -> None:
    credentials_or_reason(lambda: decode(json.dumps(entry).encode()))


# --- replies, as botocore hands them on


class Replies:
    """Stands for every client: each call and each page is the same reply."""

    def __init__(self, reply: Mapping[str, Any]) -> None:
        self._reply = reply
        self.meta = self
        self.method_to_api_mapping = self

    def __getitem__(self, method: str) -> str:
        return method

    def __getattr__(self, method: str) -> Callable[..., Any]:
        return lambda *_, **__: self._reply

    def get_paginator(self, _method: str) -> Any:
        return self

    def paginate(self, **_: object) -> list[Mapping[str, Any]]:
        return [self._reply]


class Asked(Access):
    """An access whose clients all answer alike."""

    def __init__(self, profile: Profile, reply: Mapping[str, Any]) -> None:
        self.profile = profile
        self._client_of_all = Replies(reply)

    def client(self, service: str, region: str | None = None, *, fips: bool = False, once: bool = False) -> Any:
        return self._client_of_all

    def user_client(self, service: str) -> Any:
        return self._client_of_all

    def session_client(self) -> Any:
        return self._client_of_all


@pytest.fixture(scope="module")
def profile(tmp_path_factory: pytest.TempPathFactory) -> Profile:
    home = tmp_path_factory.mktemp("home")
    environ = write_home(home, "http://127.0.0.1:1")
    return resolve(load_files(environ, home), "plainrole", Overrides(), environ)


ROLE = Role("arn:aws:iam::123456789012:role/R", "p", "name", Setting(3600, "default"))
USER = Holder("user", "me")
COMMAND_ID = "11111111-2222-3333-4444-555555555555"
CALLS: dict[str, Callable[[Access], object]] = {
    "AssumeRole": lambda access: sts.assume_role(access.client("sts"), ROLE, None, None, now=NOW),
    "GetSessionToken": lambda access: sts.get_session_token(access.client("sts"), 3600, None, None, now=NOW),
    "GetCallerIdentity": sts.caller_identity,
    "DescribeInstances": lambda access: ec2.describe_instances(access, {}),
    "DescribeInstanceInformation": lambda access: ssm.managed_node(access, "i-0123456789abcdef0"),
    "ListTasks": lambda access: ecs.list_tasks(access, "c", "s"),
    "DescribeTasks": lambda access: ecs.describe_containers(access, "c", ["t"]),
    "ExecuteCommand": lambda access: ecs.execute_command(access, ecs.Container("c", "t", "n", "r"), "sh"),
    "StartSession": lambda access: SsmApi(access).start_session("i-0123456789abcdef0"),
    "ResumeSession": lambda access: SsmApi(access).resume_session("s-1"),
    "DescribeSessions": lambda access: SsmApi(access).describe_session("s-1"),
    "GetAuthorizationToken": lambda access: ecr.registry_token(access, "eu-west-1", NOW),
    "GetAuthorizationToken of the public gallery": lambda access: ecr.public_registry_token(access, "us-east-1", NOW),
    "GenerateDataKey": lambda access: generate_data_key(access, "key", {}),
    "ListGroupsForUser": lambda access: Iam(access).groups("me"),
    "ListUserPolicies": lambda access: Iam(access).inline_names(USER),
    "GetUserPolicy": lambda access: Iam(access).inline_document(USER, "p"),
    "ListAttachedUserPolicies": lambda access: Iam(access).attached(USER),
    "GetPolicy": lambda access: Iam(access).default_version("arn"),
    "GetPolicyVersion": lambda access: Iam(access).version_document("arn", "v1"),
    "ListMFADevices": lambda access: Iam(access).mfa_devices(None),
    "ListAccountAliases": lambda access: Iam(access).account_alias(),
    "DescribeDBInstances and the like": lambda access: databases.find_rds(access, "orders"),
    "DescribeDBClusters": lambda access: databases.find_rds(access, "orders", "reader"),
    "DescribeReplicationGroups and the like": lambda access: databases.find_cache(access, "sessions"),
    "DescribeServerlessCaches": lambda access: databases.find_cache(access, "sessions", "reader"),
    "all databases": lambda access: [*databases.list_rds(access), *databases.list_caches(access)],
    "DescribeInstanceInformation, all": run_command.list_nodes,
    "DescribeInstances, tags": run_command.list_tags,
    "ListGroupResources": lambda access: run_command.group_members(access, "web"),
    "SendCommand": lambda access: run_command.send_command(
        access, ["i-1"], run_command.Command("d", {}, delivery=30, max_errors=0, comment="")
    ),
    "ListCommandInvocations": lambda access: run_command.list_invocations(access, COMMAND_ID),
    "GetCommandInvocation": lambda access: run_command.get_invocation(access, COMMAND_ID, "i-1"),
    "DescribeInstances, groups": lambda access: ec2.groups_of_instance(access, "i-1"),
    "DescribeSecurityGroups": lambda access: ec2.admits(access, ["sg-1"], 5432, ["sg-2"], from_addresses=["10.0.0.1"]),
    "DescribeSessions, all": lambda access: list(list_sessions(access)),
}


@pytest.mark.slow
@pytest.mark.parametrize("call", CALLS)
@settings(max_examples=30, deadline=None, suppress_health_check=list(HealthCheck))
@given(reply=MAPPINGS)
def test_a_reply_is_understood_or_an_error(profile: Profile, call: str, reply: dict[str, Any]) -> None:
    answer_or_error(lambda: CALLS[call](Asked(profile, reply)))


# A reply of every call below at once, as AWS would fill it; each field in turn is another JSON value.
FILLED: dict[str, Any] = {
    "DBInstances": [
        {
            "DBInstanceIdentifier": "orders",
            "Endpoint": {"Address": "orders.rds", "Port": 5432},
            "DBSubnetGroup": {"VpcId": "vpc-1"},
            "VpcSecurityGroups": [{"VpcSecurityGroupId": "sg-1"}],
        }
    ],
    "DBClusters": [
        {
            "DBClusterIdentifier": "orders",
            "Endpoint": "orders.rds",
            "ReaderEndpoint": "orders-ro.rds",
            "CustomEndpoints": ["custom.rds"],
            "Port": 5432,
            "DBSubnetGroup": "group",
            "VpcSecurityGroups": [{"VpcSecurityGroupId": "sg-1"}],
        }
    ],
    "DBProxies": [
        {
            "DBProxyName": "p",
            "EngineFamily": "MYSQL",
            "Endpoint": "p",
            "VpcId": "vpc-1",
            "VpcSecurityGroupIds": ["sg-1"],
        }
    ],
    "DBSubnetGroups": [{"VpcId": "vpc-1"}],
    "ReplicationGroups": [
        {
            "ReplicationGroupId": "sessions",
            "NodeGroups": [
                {
                    "PrimaryEndpoint": {"Address": "a", "Port": 6379},
                    "ReaderEndpoint": {"Address": "b", "Port": 6379},
                }
            ],
            "MemberClusters": ["sessions-1"],
        }
    ],
    "CacheClusters": [
        {
            "CacheClusterId": "sessions-1",
            "CacheNodes": [{"Endpoint": {"Address": "c", "Port": 11211}}],
            "SecurityGroups": [{"SecurityGroupId": "sg-1"}],
            "CacheSubnetGroupName": "group",
        }
    ],
    "CacheSubnetGroups": [{"VpcId": "vpc-1"}],
    "ServerlessCaches": [
        {
            "Endpoint": {"Address": "d", "Port": 6379},
            "ReaderEndpoint": {"Address": "e", "Port": 6380},
            "SubnetIds": ["subnet-1"],
            "SecurityGroupIds": ["sg-1"],
        }
    ],
    "Subnets": [{"VpcId": "vpc-1"}],
    "InstanceInformationList": [{"InstanceId": "i-1", "PingStatus": "Online", "PlatformType": "Linux"}],
    "Reservations": [
        {
            "Instances": [
                {
                    "InstanceId": "i-1",
                    "Tags": [{"Key": "Name", "Value": "web"}],
                    "SecurityGroups": [{"GroupId": "sg-2"}],
                    "PrivateIpAddress": "10.0.0.1",
                }
            ]
        }
    ],
    "Resources": [{"Identifier": {"ResourceArn": "arn:aws:ec2:r:1:instance/i-1"}}],
    "Command": {"CommandId": COMMAND_ID},
    "CommandInvocations": [
        {"InstanceId": "i-1", "StatusDetails": "Success", "CommandPlugins": [{"Output": "x", "ResponseCode": 0}]}
    ],
    "StatusDetails": "Success",
    "StandardOutputContent": "x",
    "StandardErrorContent": "",
    "ResponseCode": 0,
    "SecurityGroups": [
        {
            "IpPermissions": [
                {
                    "IpProtocol": "tcp",
                    "FromPort": 5432,
                    "ToPort": 5432,
                    "PrefixListIds": [],
                    "UserIdGroupPairs": [{"GroupId": "sg-9"}],
                    "IpRanges": [{"CidrIp": "192.168.0.0/16"}],
                    "Ipv6Ranges": [{"CidrIpv6": "fd00::/8"}],
                }
            ]
        }
    ],
    "Sessions": [{"SessionId": "s-1", "Target": "i-1", "Status": "Connected"}],
}


def places(value: Any, place: tuple[str | int, ...] = ()) -> Iterator[tuple[str | int, ...]]:
    """Yield the place of every field in a reply."""
    if place:
        yield place
    for key, inner in value.items() if isinstance(value, dict) else enumerate(value if isinstance(value, list) else ()):
        yield from places(inner, (*place, key))


def replaced(value: Any, place: tuple[str | int, ...], other: object) -> Any:
    """Return the reply with another value at a place."""
    if not place:
        return other
    copy: Any = dict(value) if isinstance(value, dict) else list(value)
    copy[place[0]] = replaced(value[place[0]], place[1:], other)
    return copy


@pytest.mark.parametrize("call", list(CALLS)[-14:])
def test_a_filled_reply_with_one_odd_field_is_understood_or_an_error(profile: Profile, call: str) -> None:
    assert not isinstance(answer_or_error(lambda: CALLS[call](Asked(profile, FILLED))), AwsRunasError)
    for place in places(FILLED):
        for other in (None, 7, -1.5, True, "\ud800", "a\nb", [], ["x"], [None], {}, {"x": 1}):
            answer_or_error(lambda: CALLS[call](Asked(profile, replaced(FILLED, place, other))))  # noqa: B023


def test_a_reply_of_starting_a_session_without_its_id_is_an_error(profile: Profile) -> None:
    answer = {"StreamUrl": "wss://x", "TokenValue": "t", "ResponseMetadata": {"RequestId": "1"}}
    with pytest.raises(SessionError) as caught:
        SsmApi(Asked(profile, answer)).start_session("i-0123456789abcdef0")
    assert caught.value.code == "session-without-stream"


# --- replies on the wire


@pytest.fixture(scope="module")
def sts_server() -> Iterator[Sts]:
    with running_sts() as server:
        yield server


WHOLE = (
    '<AssumeRoleResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><AssumeRoleResult><Credentials>'
    "<AccessKeyId>ASIAX</AccessKeyId><SecretAccessKey>s</SecretAccessKey><SessionToken>t</SessionToken>"
    "<Expiration>2099-01-01T00:00:00Z</Expiration></Credentials></AssumeRoleResult></AssumeRoleResponse>"
)


@pytest.mark.slow
@FEW
@given(st.binary(max_size=40) | st.integers(0, len(WHOLE)).map(lambda end: WHOLE[:end].encode()))
@example(WHOLE.replace("<Expiration>2099-01-01T00:00:00Z</Expiration>", "").encode())
@example(WHOLE.replace("2099-01-01T00:00:00Z", "soon").encode())
@example(WHOLE.replace("2099-01-01T00:00:00Z", "").encode())
@example(WHOLE.replace("ASIAX", "\xff").encode("latin-1"))
@example(WHOLE.replace("<AccessKeyId>ASIAX</AccessKeyId>", "<AccessKeyId/>").encode())
def test_a_body_of_sts_is_credentials_or_an_error(
    sts_server: Sts, tmp_path_factory: pytest.TempPathFactory, body: bytes
) -> None:
    from aws_runas.aws.client import Clients

    home = tmp_path_factory.mktemp("home")
    environ = write_home(home, sts_server.url)
    sts_server.body = body
    resolved = resolve(load_files(environ, home), "plainrole", Overrides(), environ)
    keys = Credentials("AKIAPLAINEXAMPLE", "secret-key-of-plain")
    client = Clients(resolved).client("sts", "us-east-1", lambda: keys)
    found = answer_or_error(lambda: sts.assume_role(client, ROLE, None, None, now=NOW))
    assert isinstance(found, (Credentials, CredentialsError))


# --- metadata servers


@contextmanager
def _answering() -> Iterator[tuple[str, list[bytes]]]:
    """A server that gives the last body of a list to everybody; IMDS gets its token and its role's name."""
    bodies = [b""]

    class Handler(Quiet):
        def do_GET(self) -> None:  # noqa: N802 - the name that http.server calls
            body = bodies[-1]
            if self.path.endswith("/token"):
                body = b"token"
            elif self.path.endswith("/security-credentials/"):
                body = b"role"
            self.answer(200, body)

        do_PUT = do_GET  # noqa: N815 - the name that http.server calls

    with serving(Handler) as address:
        yield address, bodies


@pytest.mark.parametrize("kind", ["EcsContainer", "Ec2InstanceMetadata"])
def test_a_metadata_answer_is_credentials_or_an_error(
    profile: Profile, kind: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_METADATA_SERVICE_NUM_ATTEMPTS", "1")
    monkeypatch.delenv("AWS_EC2_METADATA_DISABLED", raising=False)
    source = ResolverSource(kind, None, (), "the test")
    fine = {"AccessKeyId": "A", "SecretAccessKey": "s", "Token": "t", "Expiration": "2099-01-01T00:00:00Z"}
    monkeypatch.setattr("botocore.utils.time.sleep", lambda _: None)  # between botocore's attempts
    with _answering() as (url, bodies):
        monkeypatch.setenv("AWS_CONTAINER_CREDENTIALS_FULL_URI", url + "/credentials")
        monkeypatch.setenv("AWS_EC2_METADATA_SERVICE_ENDPOINT", url)
        bodies.append(json.dumps(fine | {"Code": "Success"}).encode())
        assert isinstance(answer_or_error(lambda: resolvers.fetch(profile, source, NOW)), Credentials)

        @settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
        @given(VALUES.map(json.dumps).map(str.encode) | MAPPINGS.map(lambda found: json.dumps(fine | found).encode()))
        @example(b"null")
        @example(b"[]")
        @example(b"\xff")
        @example(json.dumps(fine | {"Expiration": None}).encode())
        @example(json.dumps(fine | {"Expiration": "2020-01-01T00:00:00Z"}).encode())
        def ask(body: bytes) -> None:
            bodies.append(body)
            found = answer_or_error(lambda: resolvers.fetch(profile, source, NOW))
            assert isinstance(found, (Credentials, CredentialsError))

        ask()


# --- settings


@pytest.mark.parametrize("line", ["s3 =", "api_versions = x", "retry_mode =\n  a = b", "max_attempts = \n  x = y"])
def test_a_setting_of_another_shape_is_passed_over_or_an_error(tmp_path: Path, line: str) -> None:
    from aws_runas.aws.client import Clients

    environ = write_home(
        tmp_path, "http://127.0.0.1:1", more=f"[profile odd]\nregion = us-east-1\n{line}\noutput = json\n"
    )
    resolved = resolve(load_files(environ, tmp_path), "odd", Overrides(), environ)
    made = answer_or_error(lambda: Clients(resolved).client("sts", "us-east-1", lambda: Credentials("A", "s")))
    if line.startswith(("s3", "api")):
        assert not isinstance(made, AwsRunasError)


# --- lists


class EndlessLists(Replies):
    """Each page of each list is followed by one more, with a token that was never there."""

    def __init__(self) -> None:
        super().__init__({})
        self.asked = 0

    def _page(self) -> dict[str, Any]:
        self.asked += 1
        row: dict[str, Any] = {"message": "", "logStreamName": "command/i-1/stdout"}
        token = str(self.asked)
        lists = {"accountList": [], "roleList": [], "events": [row], "logStreams": [row]}
        return lists | {"nextToken": token, "NextToken": token, "nextForwardToken": token}

    def __getattr__(self, method: str) -> Callable[..., Any]:
        return lambda *_, **__: self._page()

    def paginate(self, **_: object) -> Any:
        while True:
            yield self._page()


ENDLESS: dict[str, Callable[[Access], object]] = {
    "ListAccounts": lambda access: list(sso.list_accounts(access.client("sso"), "t", lambda: None)),
    "ListAccountRoles": lambda access: list(sso.list_account_roles(access.client("sso"), "t", "1", lambda: None)),
    "DescribeSessions": CALLS["DescribeSessions, all"],
    "DescribeInstanceInformation": CALLS["DescribeInstanceInformation, all"],
    "DescribeInstanceInformation, for targets": ssm.managed_nodes,
    "DescribeInstances": CALLS["DescribeInstances"],
    "DescribeInstances, tags": CALLS["DescribeInstances, tags"],
    "ListGroupResources": CALLS["ListGroupResources"],
    "ListCommandInvocations": CALLS["ListCommandInvocations"],
    "ListTasks": CALLS["ListTasks"],
    "ListGroupsForUser": CALLS["ListGroupsForUser"],
    "ListAccessKeys": lambda access: Iam(access).access_keys("me"),
}


@pytest.mark.parametrize("call", ENDLESS)
def test_a_list_that_never_ends_is_an_error_that_says_so(profile: Profile, call: str) -> None:
    access = Asked(profile, {})
    access._client_of_all = EndlessLists()
    with pytest.raises(AwsRunasError, match="2000 pages were read") as caught:
        ENDLESS[call](access)
    assert caught.value.code == "list-too-long"


def test_databases_of_lists_that_never_end_are_none(profile: Profile) -> None:
    access = Asked(profile, {})
    access._client_of_all = EndlessLists()
    assert [*databases.list_rds(access), *databases.list_caches(access)] == []


def test_logs_that_never_end_are_read_in_part(profile: Profile) -> None:
    access = Asked(profile, {})
    access._client_of_all = EndlessLists()
    found, _ = run_command._from_logs(access, "g", "command")
    assert found == "\n" * 2000
