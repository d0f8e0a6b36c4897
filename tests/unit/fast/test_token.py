"""One table for both ways: the token that the fast start prints is the one that the full path prints."""

from __future__ import annotations

import base64
import io
import json
import os
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest

from aws_runas.aws.credentials import Credentials
from aws_runas.cli import app
from aws_runas.cli.environment import Environment
from aws_runas.config.files import config_path
from aws_runas.config.overrides import Overrides
from aws_runas.credentials.build import Prompts, open_access
from aws_runas.credentials.cache import DiskCache, cache_directory
from aws_runas.fast import print as fast_print
from aws_runas.fast import token as fast
from aws_runas.signin.context import RunContext
from tests.support.sts_server import ROLE
from tests.unit.fast.test_shortcut import Home

HOST = "db.cxyz.eu-west-1.rds.amazonaws.com"
KUBECTL = '{"kind":"ExecCredential","apiVersion":"client.authentication.k8s.io/%s","spec":{"interactive":false}}'
MORE = f"""[profile china]
role_arn = {ROLE.replace("aws", "aws-cn")}R
source_profile = plain
region = cn-north-1
[profile gov]
role_arn = {ROLE}R
source_profile = plain
region = us-gov-west-1
[profile fips]
role_arn = {ROLE}R
source_profile = plain
region = eu-west-1
use_fips_endpoint = true
use_dualstack_endpoint = true
[profile vpce]
role_arn = {ROLE}R
source_profile = plain
region = eu-west-1
services = own
[services own]
sts =
  endpoint_url = https://vpce-1.sts.example:8443/
"""

# what is typed, the variables, whether the fast start serves it, and the address of STS in a cluster's token
TABLE: list[tuple[list[str], dict[str, str], bool, str]] = [
    (["eks", "other", "c"], {}, True, "https://sts.eu-west-1.amazonaws.com/"),
    (["eks", "plainrole", "c"], {}, True, "https://sts.us-east-1.amazonaws.com/"),
    (["eks", "china", "c"], {}, True, "https://sts.cn-north-1.amazonaws.com.cn/"),
    (["eks", "gov", "c"], {"AWS_USE_FIPS_ENDPOINT": "true"}, True, "https://sts.us-gov-west-1.amazonaws.com/"),
    (["eks", "fips", "c"], {}, True, "https://sts-fips.eu-west-1.api.aws/"),
    (["eks", "fips", "c"], {"AWS_USE_FIPS_ENDPOINT": "false"}, True, "https://sts.eu-west-1.api.aws/"),
    (["eks", "other", "c"], {"AWS_USE_DUALSTACK_ENDPOINT": "true"}, True, "https://sts.eu-west-1.api.aws/"),
    (["eks", "other", "c"], {"AWS_STS_REGIONAL_ENDPOINTS": "legacy"}, True, "https://sts.eu-west-1.amazonaws.com/"),
    (["eks", "vpce", "c"], {}, True, "https://vpce-1.sts.example:8443/"),
    (["eks", "vpce", "c"], {"AWS_IGNORE_CONFIGURED_ENDPOINT_URLS": "true"}, True, "https://sts.eu-west-1.amazonaws.com/"),
    (["eks", "other", "c"], {"AWS_ENDPOINT_URL_STS": "http://127.0.0.1:9"}, True, "http://127.0.0.1:9/"),
    (["eks", "other", "c"], {"AWS_ENDPOINT_URL": "http://127.0.0.1:8/"}, True, "http://127.0.0.1:8/"),
    (["eks", "other", "c"], {"AWS_REGION": "ap-south-1"}, True, "https://sts.ap-south-1.amazonaws.com/"),
    (["eks", "c"], {"AWS_PROFILE": "other"}, True, "https://sts.eu-west-1.amazonaws.com/"),
    (["eks", "other", "c"], {"AWS_PROFILE": "china"}, True, "https://sts.eu-west-1.amazonaws.com/"),
    (["eks", "other", "c"], {"KUBERNETES_EXEC_INFO": KUBECTL % "v1"}, True, "https://sts.eu-west-1.amazonaws.com/"),
    (["eks", "other", "c"], {"KUBERNETES_EXEC_INFO": KUBECTL % "v1beta1"}, True, "https://sts.eu-west-1.amazonaws.com/"),
    (["eks", "other", "c"], {"KUBERNETES_EXEC_INFO": KUBECTL % "v1alpha1"}, False, "https://sts.eu-west-1.amazonaws.com/"),
    (["eks", "other", "c"], {"KUBERNETES_EXEC_INFO": "{"}, False, "https://sts.eu-west-1.amazonaws.com/"),
    (["eks", "other", "c"], {"RUNAS_SESSION_CREDENTIALS": "maybe"}, False, ""),
    (["eks", "other", "c d"], {}, False, ""),
    (["eks", "", "c"], {}, False, ""),
    (["eks", "other", "c", "d"], {}, False, ""),
    (["eks", "--region", "eu-west-3", "other", "c"], {}, False, "https://sts.eu-west-3.amazonaws.com/"),
    (["eks"], {}, False, ""),
    (["rds", "other", HOST, "app"], {}, True, ""),
    (["rds", "other", f"{HOST}:3306", "user one"], {}, True, ""),
    (["rds", HOST, "app"], {"AWS_PROFILE": "other"}, True, ""),
    (["rds", "other", "db.example.com", "app"], {}, False, ""),
    (["rds", "other", "localhost:15432", "app"], {}, False, ""),
    (["rds", "other", HOST], {}, False, ""),
    (["dsql", "other", HOST], {}, False, ""),
    ([], {}, False, ""),
]  # fmt: skip


def fill_cache(home: Home, variables: dict[str, str], words: list[str]) -> None:
    """Put credentials where the full path finds them, so that nobody asks STS."""
    named = [word for word in words[1:] if word in ("other", "plainrole", "china", "gov", "fips", "vpce")]
    region = words[words.index("--region") + 1] if "--region" in words else None
    warn = pytest.fail
    context = RunContext(variables, home.path, time.time, warn)
    name, asked = named[0] if named else None, Overrides(region=region)
    access = open_access(name, asked, context, Prompts(lambda _: pytest.fail("asked")))
    issued = datetime.now(UTC).replace(microsecond=0)
    keys = Credentials("ASIAX", "secret/+", "token/+=", expiration=issued + timedelta(hours=1), issued=issued)
    cache = DiskCache(cache_directory(variables, config_path(variables, home.path), home.path), warn)
    cache.write(access.provider._inner.name, keys)  # type: ignore[attr-defined]


def full(words: list[str], home: Home, variables: dict[str, str], now: float) -> tuple[int, str, str]:
    output, errors = io.BytesIO(), io.StringIO()
    env = Environment(io.BytesIO(), output, errors, variables, home.path, lambda: now)
    status = app.main(["token", *words], env)
    return status, output.getvalue().decode(), errors.getvalue()


@pytest.mark.parametrize(("words", "variables", "is_fast", "address"), TABLE)
def test_both_ways_agree(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    words: list[str],
    variables: dict[str, str],
    is_fast: bool,
    address: str,
) -> None:
    home = Home(tmp_path, MORE)
    environ = home.environ | variables
    if "AWS_ENDPOINT_URL_STS" not in variables:
        del environ["AWS_ENDPOINT_URL_STS"]
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        monkeypatch.delenv(name)
    for name, value in environ.items():
        monkeypatch.setenv(name, value)
    works = bool(address) or (words[:1] == ["rds"] and (is_fast or "db.example.com" in words))
    if works:
        fill_cache(home, environ, words)
    now = time.time()
    status, output, errors = full(words, home, environ, now)
    assert (status == 0) == works, errors
    assert bool(output) == works
    printed: list[str] = []
    monkeypatch.setattr(fast_print, "write", printed.append)
    monkeypatch.setattr(time, "time", lambda: now)
    fast.start(["token", *words], environ)
    assert printed == ([output] if is_fast else [])
    if address:
        document = json.loads(output)
        token = document["status"]["token"].removeprefix("k8s-aws-v1.")
        url = base64.urlsafe_b64decode(token + "==").decode()
        assert url.partition("?")[0] == address
        scope = parse_qs(urlsplit(url).query)["X-Amz-Credential"][0].split("/")
        assert scope[0] == "ASIAX"
        assert scope[2] in url or "AWS_ENDPOINT_URL" in str(variables) or "vpce" in url
    elif not works:
        assert errors.startswith("aws-runas: ")
        assert errors.count("\n") <= 2


def test_credentials_near_their_end_shorten_the_token(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    home = Home(tmp_path)
    home.write_shortcut("other", life=3600, age=3200)
    printed: list[str] = []
    monkeypatch.setattr(fast_print, "write", printed.append)
    fast.start(["token", "eks", "other", "c"], home.environ)
    end = datetime.fromisoformat(json.loads(printed[0])["status"]["expirationTimestamp"])
    assert 380 <= end.timestamp() - time.time() <= 400
