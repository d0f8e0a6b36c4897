"""Conversion of a typed service word, path, address or ARN to an address in the console."""

from __future__ import annotations

from urllib.parse import quote, urlsplit

from aws_runas.config.arn import looks_like_arn
from aws_runas.console.links import Partition
from aws_runas.console.services import find_service
from aws_runas.dataclass import dataclass
from aws_runas.errors import UsageError

ARN_KINDS = "a role, user, bucket, function, instance or log group"


@dataclass(frozen=True, slots=True)
class Destination:
    """The page at which the console opens.

    Args:
        address: under the partition's console domain.
        warning: for the user; "" for none.
    """

    address: str
    warning: str = ""


def is_plainly_destination(word: str) -> bool:
    """Return True for a service word, a path with a slash, an address, or an ARN other than a role ARN."""
    return "/" in word or looks_like_arn(word) or find_service(word) is not None


def find_destination(text: str | None, partition: Partition, region: str | None) -> Destination:
    """Return the console address for the typed text.

    Args:
        text: None or "" for the console's home.
        region: of the profile, or None.

    Raises:
        UsageError: the address is outside the console, or there is no known page for this kind of ARN.
    """
    if not text:
        return Destination(_page("console/home", partition, region))
    if not (text.isascii() and text.isprintable()) or " " in text or "\\" in text:
        raise _invalid(text, "has characters that no address has", "escape them, as in %20")
    if "://" in text:
        return Destination(_checked_address(text, partition))
    if looks_like_arn(text):
        return Destination(_of_arn(text, partition))
    service = find_service(text)
    if service is not None:
        path, is_global = service
        return Destination(_page(path, partition, partition.home if is_global else region))
    known = "/" in text or "#" in text
    warning = "" if known else f"{text} is not a service that aws-runas knows; it is opened as a path of the console"
    return Destination(_page(text.lstrip("/"), partition, region), warning)


def _page(path: str, partition: Partition, region: str | None) -> str:
    """Return the address of a path, with the region added to its query unless it has one."""
    front, hash_sign, fragment = path.partition("#")
    front, question_mark, query = front.partition("?")
    names = [pair.partition("=")[0] for pair in query.split("&")]
    if region and "region" not in names:
        query = f"{query}&region={region}" if query else f"region={region}"
    query = f"?{query}" if query or question_mark else ""
    return f"{partition.console_address(region)}/{front}{query}{hash_sign}{fragment}"


def _checked_address(text: str, partition: Partition) -> str:
    try:
        parts = urlsplit(text)
        plain = parts.scheme == "https" and parts.port in (None, 443) and parts.username is None
        host = parts.hostname or ""
    except ValueError:
        plain, host = False, ""
    if plain and "@" not in parts.netloc and (host == partition.console or host.endswith(f".{partition.console}")):
        return text
    raise _invalid(text, f"is not under https://{partition.console}", "name a page of the console, or a service word")


def _of_arn(text: str, partition: Partition) -> str:
    parts = text.split(":", 5)
    if len(parts) != 6:
        raise _invalid(text, "is not an ARN", f"name the ARN of {ARN_KINDS}")
    _, name, service, region, _, resource = parts
    if name != partition.name:
        raise _invalid(text, f"is not in the profile's partition {partition.name}", "use a profile of that partition")
    path = _path_of(service, resource)
    if path is None:
        raise _invalid(text, "is of a kind that has no page here", f"name the ARN of {ARN_KINDS}, or a path")
    return _page(path, partition, partition.home if service == "iam" else region or None)


def _path_of(service: str, resource: str) -> str | None:
    kind, _, name = resource.partition("/" if "/" in resource.partition(":")[0] else ":")
    last = quote(resource.rpartition("/")[2], safe="")
    if service == "iam" and kind in ("role", "user") and last:
        return f"iam/home#/{kind}s/details/{last}"
    if service == "s3" and resource:
        bucket, _, key = resource.partition("/")
        return f"s3/object/{quote(bucket)}?prefix={quote(key, safe='')}" if key else f"s3/buckets/{quote(bucket)}"
    if service == "lambda" and kind == "function" and name:
        return f"lambda/home#/functions/{quote(name.partition(':')[0], safe='')}"
    if service == "ec2" and kind == "instance" and name:
        return f"ec2/home#InstanceDetails:instanceId={quote(name, safe='')}"
    if service == "logs" and kind == "log-group" and name:
        # the console's escaping in fragments: escaped twice, with $ for %
        group = quote(quote(name.removesuffix(":*"), safe=""), safe="").replace("%", "$")
        return f"cloudwatch/home#logsV2:log-groups/log-group/{group}"
    return None


def _invalid(text: str, problem: str, hint: str) -> UsageError:
    return UsageError(f"destination {text!r} {problem}", code="destination-invalid", hint=hint)
