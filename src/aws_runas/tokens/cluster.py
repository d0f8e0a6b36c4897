"""Tokens for EKS clusters. On the cached path: nothing expensive is imported.

A token is a presigned GetCallerIdentity with the cluster name in a signed header. The cluster makes the call to
identify the caller.

Source: aws-iam-authenticator, API authorization from outside a cluster; Kubernetes, client-go credential plugins.
"""

import binascii
import time

from aws_runas.errors import UsageError
from aws_runas.tokens.presign import presign

TYPE_CHECKING = False  # see run/environment.py
if TYPE_CHECKING:
    from collections.abc import Mapping

PREFIX = "k8s-aws-v1."
HEADER = "x-k8s-aws-id"
EXPIRES = 60  # seconds in the URL; STS accepts it for 15 minutes anyway
LIFETIME = 14 * 60  # seconds that a client may keep a token: one minute less than STS accepts it
GROUP = "client.authentication.k8s.io/"
DEFAULT_VERSION = "v1beta1"
VERSIONS = ("v1", "v1beta1", "v1alpha1")
_NAME = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_")
MAX_NAME = 100  # characters


def check_cluster(name: str) -> None:
    """Check a cluster name against the rule of EKS.

    Raises:
        UsageError: a cluster cannot have this name.

    Source: Amazon EKS API reference, CreateCluster.
    """
    if not name or len(name) > MAX_NAME or not _NAME.issuperset(name) or name[0] in "-_":
        raise UsageError(
            f"{name!r} is not the name of a cluster",
            code="cluster-invalid",
            hint="it has letters, digits, - and _; give the name, not the ARN",
        )


def cluster_token(cluster: str, endpoint: str, region: str, found: "Mapping[str, str]", *, now: float) -> str:
    """Return a bearer token for a cluster.

    Args:
        cluster: the cluster name.
        endpoint: the URL of STS.
        region: the signing region.
        found: ``key``, ``secret`` and ``token`` of the credentials.
        now: seconds since the epoch.
    """
    address = presign(
        endpoint,
        (("Action", "GetCallerIdentity"), ("Version", "2011-06-15")),
        {HEADER: cluster},
        credentials=found,
        service="sts",
        region=region,
        now=now,
        expires=EXPIRES,
    )
    text = binascii.b2a_base64(address.encode(), newline=False).decode()
    return PREFIX + text.replace("+", "-").replace("/", "_").rstrip("=")


def exec_credential(token: str, version: str, now: float, end: float | None) -> str:
    """Return the JSON that kubectl reads.

    Args:
        token: from `cluster_token`.
        version: one of `VERSIONS`.
        now: seconds since the epoch.
        end: when the credentials expire; the token expires with them.
    """
    expires = now + LIFETIME if end is None else min(now + LIFETIME, end)
    moment = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(expires))
    return (
        f'{{"kind": "ExecCredential", "apiVersion": "{GROUP}{version}", "spec": {{}}, '
        f'"status": {{"expirationTimestamp": "{moment}", "token": "{token}"}}}}\n'
    )


def plain_version(text: str | None) -> str | None:
    """Return the version in KUBERNETES_EXEC_INFO, if it is written as kubectl and the Python client do.

    Args:
        text: value of the variable, None if it is not set.

    Returns:
        The version; None if a JSON parser is needed.
    """
    if not text:
        return DEFAULT_VERSION
    for version in ("v1", "v1beta1"):
        for interactive in ("true", "false"):
            spec = f'{{"interactive":{interactive}}}'
            if text.replace(" ", "") in (
                f'{{"kind":"ExecCredential","apiVersion":"{GROUP}{version}","spec":{spec}}}',
                f'{{"apiVersion":"{GROUP}{version}","kind":"ExecCredential","spec":{spec}}}',
            ):
                return version
    return None
