"""From a target to an instance, with EC2 played by moto and every call written down."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import moto.backends
import pytest

from aws_runas.aws.ec2 import Instance
from aws_runas.errors import TargetError, UsageError
from aws_runas.targets.dns import LIFETIME, LIFETIME_BESIDE_A_NAME, NoAnswer
from aws_runas.targets.resolve import resolve_target
from tests.support.moto_world import ACCOUNT, REGION, MotoWorld

DESCRIBE = "ec2 DescribeInstances"


class Fleet:
    """Instances in moto's EC2."""

    def __init__(self, world: MotoWorld) -> None:
        self._ec2 = world.client("ec2")
        self._image = "ami-12c6146b"  # one that moto knows

    def start(self, name: str | None = None, *, count: int = 1, **tags: str) -> list[str]:
        pairs = [{"Key": key, "Value": value} for key, value in {**({"Name": name} if name else {}), **tags}.items()]
        reply = self._ec2.run_instances(
            ImageId=self._image,
            MinCount=count,
            MaxCount=count,
            **({"TagSpecifications": [{"ResourceType": "instance", "Tags": pairs}]} if pairs else {}),
        )
        return [one["InstanceId"] for one in reply["Instances"]]

    def stop(self, instance_id: str) -> None:
        self._ec2.stop_instances(InstanceIds=[instance_id])

    def described(self, instance_id: str) -> dict[str, Any]:
        reply = self._ec2.describe_instances(InstanceIds=[instance_id])
        found: dict[str, Any] = reply["Reservations"][0]["Instances"][0]
        return found

    @staticmethod
    def inside(instance_id: str) -> Any:
        return moto.backends.get_backend("ec2")[ACCOUNT][REGION].get_instance(instance_id)


@pytest.fixture
def fleet(world: MotoWorld) -> Fleet:
    return Fleet(world)


class Names:
    """Stands for DNS: name to addresses, name to texts."""

    def __init__(self, addresses: dict[str, list[str]], texts: dict[str, list[tuple[str, ...]]]) -> None:
        self._addresses, self._texts = addresses, texts

    def addresses(self, name: str) -> list[str]:
        if name not in self._addresses:
            raise NoAnswer("no such name in DNS")
        return self._addresses[name]

    def texts(self, name: str) -> list[tuple[str, ...]]:
        if name not in self._texts:
            raise NoAnswer("no such name in DNS")
        return self._texts[name]


@pytest.fixture
def dns(monkeypatch: pytest.MonkeyPatch) -> Names:
    names = Names({}, {})
    monkeypatch.setattr("aws_runas.targets.dns.Questions", lambda _environ, **_limits: names)
    return names


@pytest.mark.parametrize(
    ("text", "target"),
    [
        ("i-deadbeef", "i-deadbeef"),
        ("I-DEADBEEF", "i-deadbeef"),
        ("mi-0123456789abcdef0", "mi-0123456789abcdef0"),
        ("ecs:prod_0123456789_0123-456", "ecs:prod_0123456789_0123-456"),
        ("ecs:my_prod_0123456789_0123-456", "ecs:my_prod_0123456789_0123-456"),
    ],
)
def test_an_id_is_taken_as_it_is_and_nobody_is_asked(world: MotoWorld, text: str, target: str) -> None:
    assert resolve_target(text, world.access()) == target
    assert world.calls == []


def test_a_tag_and_its_value_name_a_running_instance(world: MotoWorld, fleet: Fleet) -> None:
    (wanted,) = fleet.start("a", role="db")
    fleet.start("b", role="web")
    assert resolve_target("role:db", world.access()) == wanted
    assert world.calls == [DESCRIBE]


def test_a_value_with_a_colon_is_found(world: MotoWorld, fleet: Fleet) -> None:
    (wanted,) = fleet.start(stack="blue:2")
    assert resolve_target("stack:blue:2", world.access()) == wanted


def test_a_tag_that_holds_a_colon_is_found(world: MotoWorld, fleet: Fleet) -> None:
    (wanted,) = fleet.start(None, count=1, **{"team:env": "prod"})
    assert resolve_target("team:env:prod", world.access()) == wanted


def test_a_wildcard_in_a_value_is_left_to_ec2(world: MotoWorld, fleet: Fleet) -> None:
    (wanted,) = fleet.start("web-blue-1")
    fleet.start("db-blue-1")
    assert resolve_target("Name:web-*", world.access()) == wanted


def test_a_name_tag_names_a_running_instance(world: MotoWorld, fleet: Fleet, dns: Names) -> None:
    (stopped,) = fleet.start("web")
    fleet.stop(stopped)
    (wanted,) = fleet.start("web")
    assert resolve_target("web", world.access()) == wanted
    assert world.calls == [DESCRIBE]


def test_a_name_with_blanks_is_no_question_to_dns(
    world: MotoWorld, fleet: Fleet, monkeypatch: pytest.MonkeyPatch
) -> None:
    (wanted,) = fleet.start("my web server")
    monkeypatch.setattr("aws_runas.targets.dns.Questions", _no_dns)
    assert resolve_target("my web server", world.access()) == wanted


def _no_dns(_environ: object, **_limits: object) -> object:
    class Nobody:
        def __getattr__(self, name: str) -> object:
            raise AssertionError("DNS was asked")

    return Nobody()


def test_a_private_address_is_asked_for_by_its_filter(
    world: MotoWorld, fleet: Fleet, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("aws_runas.targets.dns.Questions", _no_dns)
    fleet.start("other")
    (wanted,) = fleet.start("wanted")
    assert resolve_target(fleet.described(wanted)["PrivateIpAddress"], world.access()) == wanted
    assert world.calls == [DESCRIBE]


def test_a_public_address_is_asked_for_by_its_filter(world: MotoWorld, fleet: Fleet) -> None:
    fleet.start("other")
    (wanted,) = fleet.start("wanted")
    assert resolve_target(fleet.described(wanted)["PublicIpAddress"], world.access()) == wanted
    assert world.calls == [DESCRIBE]


def test_a_version_6_address_is_found_in_any_spelling(world: MotoWorld, fleet: Fleet) -> None:
    fleet.start("other")
    (wanted,) = fleet.start("wanted")
    fleet.inside(wanted).nics[0].ipv6_addresses.append("2001:db8::7")
    assert fleet.described(wanted)["NetworkInterfaces"][0]["Ipv6Addresses"]
    for text in ("2001:db8::7", "[2001:DB8:0:0::7]"):
        assert resolve_target(text, world.access()) == wanted


def test_a_secondary_address_is_found(world: MotoWorld, fleet: Fleet) -> None:
    (wanted,) = fleet.start("wanted")
    nic = fleet.inside(wanted).nics[0]
    nic.private_ip_addresses.append({"Primary": False, "PrivateIpAddress": "10.99.0.1"})
    assert resolve_target("10.99.0.1", world.access()) == wanted


def test_a_stopped_instance_is_not_found_by_its_address(world: MotoWorld, fleet: Fleet) -> None:
    (stopped,) = fleet.start("web")
    address = fleet.described(stopped)["PrivateIpAddress"]
    fleet.stop(stopped)
    with pytest.raises(TargetError) as raised:
        resolve_target(address, world.access())
    assert raised.value.code == "target-not-found"


def test_a_dns_name_leads_to_the_instance_at_its_address(world: MotoWorld, fleet: Fleet, dns: Names) -> None:
    (wanted,) = fleet.start("wanted")
    dns._addresses["web.example.com"] = ["198.51.100.1", fleet.described(wanted)["PrivateIpAddress"]]
    assert resolve_target("web.example.com", world.access()) == wanted


@pytest.mark.parametrize(
    ("text", "lifetime"), [("web", LIFETIME_BESIDE_A_NAME), ("other", LIFETIME), ("w.x", LIFETIME)]
)
def test_an_instance_of_the_name_waits_only_shortly_for_a_silent_name_server(
    world: MotoWorld, fleet: Fleet, monkeypatch: pytest.MonkeyPatch, text: str, lifetime: float
) -> None:
    limits = []

    def questions(_environ: object, **given: float) -> Names:
        limits.append(given["lifetime"])
        return Names({}, {})

    monkeypatch.setattr("aws_runas.targets.dns.Questions", questions)
    (wanted,) = fleet.start("web")
    fleet.start("w.x")
    if text == "web":
        assert resolve_target(text, world.access()) == wanted
        assert world.calls == [DESCRIBE]
    elif text == "other":
        with pytest.raises(TargetError):
            resolve_target(text, world.access())
    else:
        resolve_target(text, world.access())
    assert limits == [lifetime]


def test_a_text_record_is_taken_as_it_is_and_ec2_is_not_asked(world: MotoWorld, dns: Names) -> None:
    dns._texts["db.example.com"] = [("i-0123456789abcdef0",)]
    assert resolve_target("db.example.com", world.access()) == "i-0123456789abcdef0"
    assert world.calls == []


def test_an_address_goes_before_a_text_and_that_before_a_name_tag(world: MotoWorld, fleet: Fleet, dns: Names) -> None:
    (by_name,) = fleet.start("box")
    assert resolve_target("box", world.access()) == by_name
    dns._texts["box"] = [("i-deadbeef",)]
    assert resolve_target("box", world.access()) == "i-deadbeef"
    (by_address,) = fleet.start()
    dns._addresses["box"] = [fleet.described(by_address)["PrivateIpAddress"]]
    assert resolve_target("box", world.access()) == by_address


def test_several_matches_are_listed_with_what_tells_them_apart(world: MotoWorld, fleet: Fleet, dns: Names) -> None:
    ids = sorted(fleet.start("web", count=2))
    with pytest.raises(TargetError) as raised:
        resolve_target("web", world.access())
    error = raised.value
    assert error.code == "target-ambiguous"
    assert error.exit_status == 5
    assert error.message == "'web' matches 2 instances by Name tag"
    assert error.hint == "give one of these instance ids, or choose with --pick"
    for instance_id, line in zip(ids, error.details, strict=True):
        seen = fleet.described(instance_id)
        assert line.split() == [instance_id, "web", seen["PrivateIpAddress"], seen["Placement"]["AvailabilityZone"]]


def test_several_ids_in_dns_are_listed_with_what_ec2_knows(world: MotoWorld, fleet: Fleet, dns: Names) -> None:
    (known,) = fleet.start("db")
    fleet.stop(known)
    dns._texts["db.example.com"] = [(known,), ("mi-0123456789abcdef0",), ("i-deadbeef",)]
    with pytest.raises(TargetError) as raised:
        resolve_target("db.example.com", world.access())
    lines = [line.split() for line in raised.value.details]
    assert lines[0][:2] == [known, "db"]
    assert lines[1:] == [["mi-0123456789abcdef0", "-", "-", "-"], ["i-deadbeef", "-", "-", "-"]]


def test_no_match_says_what_was_tried_in_which_order(world: MotoWorld, dns: Names) -> None:
    dns._addresses["web"] = ["198.51.100.1"]
    with pytest.raises(TargetError) as raised:
        resolve_target("web", world.access())
    assert raised.value.message == "no instance matches 'web' in eu-west-1; tried in this order:"
    assert raised.value.details == (
        "DNS address 198.51.100.1: no running instance has it",
        "DNS TXT record: no such name in DNS",
        "Name tag: no instance has it",
    )


def test_no_match_for_an_address_says_so(world: MotoWorld) -> None:
    with pytest.raises(TargetError) as raised:
        resolve_target("10.9.8.7", world.access())
    assert raised.value.details == (
        "IP address 10.9.8.7: no running instance has it",
        "Name tag: no instance has it",
    )


def test_a_mistyped_id_is_recognised(world: MotoWorld, dns: Names) -> None:
    with pytest.raises(TargetError) as raised:
        resolve_target("i-deadbee", world.access())
    assert raised.value.hint == "an instance id is i- or mi- and 8 or more hex digits"


def test_a_picker_chooses_among_several(world: MotoWorld, fleet: Fleet, dns: Names) -> None:
    ids = sorted(fleet.start("web", count=3))

    def pick(instances: Sequence[Instance]) -> Instance:
        assert [one.instance_id for one in instances] == ids
        return instances[1]

    assert resolve_target("web", world.access(), pick=pick) == ids[1]


def test_a_picker_is_not_shown_for_a_single_match(world: MotoWorld, fleet: Fleet, dns: Names) -> None:
    (wanted,) = fleet.start("web")
    assert resolve_target("web", world.access(), pick=lambda _: pytest.fail("asked")) == wanted


def test_a_picker_without_a_target_offers_every_running_instance(world: MotoWorld, fleet: Fleet) -> None:
    ids = sorted(fleet.start("a") + fleet.start("b"))
    (stopped,) = fleet.start("c")
    fleet.stop(stopped)
    offered: list[str] = []

    def pick(instances: Sequence[Instance]) -> None:
        offered.extend(one.instance_id for one in instances)

    with pytest.raises(TargetError) as raised:
        resolve_target("", world.access(), pick=pick)
    assert raised.value.code == "target-not-picked"
    assert offered == ids


def test_no_target_and_no_picker_is_a_usage_error(world: MotoWorld) -> None:
    with pytest.raises(UsageError):
        resolve_target("", world.access())


def test_all_pages_are_read(world: MotoWorld, fleet: Fleet, dns: Names, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("aws_runas.aws.ec2.PAGE_SIZE", 5)
    for number in range(11):
        fleet.start("web", number=str(number))
    with pytest.raises(TargetError) as raised:
        resolve_target("web", world.access())
    assert len(raised.value.details) == 11
    assert world.calls == [DESCRIBE] * 3


def test_a_missing_permission_of_ec2_is_named_though_ec2_does_not_name_it(world: MotoWorld) -> None:
    body = (
        "<Response><Errors><Error><Code>UnauthorizedOperation</Code>"
        "<Message>You are not authorized to perform this operation.</Message></Error></Errors></Response>"
    )
    access = world.access()
    access.client("ec2").meta.events.register("before-send", lambda **_: _answer(403, body))
    with pytest.raises(TargetError) as raised:
        resolve_target("role:db", access)
    assert (raised.value.code, raised.value.exit_status) == ("access-denied", 5)
    assert raised.value.hint == "the identity needs the permission ec2:DescribeInstances"


def test_who_may_not_ask_ec2_can_still_use_a_text_record(world: MotoWorld, dns: Names) -> None:
    access = world.access()
    body = (
        "<Response><Errors><Error><Code>UnauthorizedOperation</Code><Message>no</Message></Error></Errors></Response>"
    )
    access.client("ec2").meta.events.register("before-send", lambda **_: _answer(403, body))
    dns._addresses["web.example.com"] = ["10.0.0.1"]
    with pytest.raises(TargetError) as raised:
        resolve_target("web.example.com", access)
    assert raised.value.code == "access-denied"
    dns._texts["web.example.com"] = [("i-deadbeef",)]
    assert resolve_target("web.example.com", access) == "i-deadbeef"


def _answer(status: int, body: str) -> Any:
    from botocore.awsrequest import AWSResponse

    answer = AWSResponse("http://127.0.0.1", status, {}, None)
    answer._content = body.encode()
    return answer


def test_an_exact_name_wins_over_a_pattern(world: MotoWorld, fleet: Fleet) -> None:
    fleet.start("web-1")
    fleet.start("web-2")
    (exact,) = fleet.start("web-*")
    assert resolve_target("web-*", world.access()) == exact
    with pytest.raises(TargetError) as caught:
        resolve_target("web-?", world.access())
    assert "matches" in caught.value.message


def test_many_matches_are_not_all_listed(world: MotoWorld, fleet: Fleet) -> None:
    fleet.start("same", count=23)
    with pytest.raises(TargetError) as caught:
        resolve_target("same", world.access())
    assert "matches 23 instances" in caught.value.message
    assert len(caught.value.details) == 21
    assert caught.value.details[-1] == "and 3 more"


@pytest.mark.parametrize("short", [True, False])
def test_a_private_dns_name_of_ec2_is_looked_up_there(world: MotoWorld, fleet: Fleet, short: bool) -> None:
    fleet.start("other")
    (wanted,) = fleet.start("wanted")
    name = str(fleet.described(wanted)["PrivateDnsName"])
    assert name.startswith("ip-")
    assert resolve_target(name.partition(".")[0] if short else name, world.access()) == wanted


def test_a_raw_target_is_passed_on_unchanged(world: MotoWorld) -> None:
    assert resolve_target("raw:New-Kind:x/y", world.access()) == "New-Kind:x/y"
    with pytest.raises(UsageError):
        resolve_target("raw:", world.access())
    assert world.calls == []


def test_a_stopped_instance_of_the_name_is_named(world: MotoWorld, fleet: Fleet) -> None:
    (stopped,) = fleet.start("sleeper")
    fleet.stop(stopped)
    with pytest.raises(TargetError) as caught:
        resolve_target("sleeper", world.access())
    assert f"only {stopped} has it, and it is stopped" in "\n".join(caught.value.details)
