"""The console password: what is typed reaches IAM, judged by botocore's model. moto has no ChangePassword."""

from __future__ import annotations

import io
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import boto3
import pytest
from botocore.stub import Stubber

from aws_runas.cli.commands import password
from aws_runas.cli.environment import Environment
from aws_runas.cli.terminal import prompt


def test_the_passwords_that_were_typed_reach_iam(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    typed, asked = iter(("old-canary", "new-canary", "new-canary")), []

    def ask(question: str) -> str:
        asked.append(question)
        return next(typed)

    monkeypatch.setattr(prompt, "ask_secret", ask)
    client = boto3.client("iam", aws_access_key_id="AKIA", aws_secret_access_key="s", region_name="us-east-1")
    caller = SimpleNamespace(arn="arn:aws:iam::123456789012:user/ann")
    monkeypatch.setattr("aws_runas.aws.sts.caller_identity", lambda *_, **__: caller)
    access = SimpleNamespace(profile=SimpleNamespace(name="ann"), user_client=lambda _service: client)
    env = Environment(io.BytesIO(), io.BytesIO(), io.StringIO(), {"HOME": str(tmp_path)}, tmp_path, time.time)
    with Stubber(client) as stub:
        stub.add_response("change_password", {}, {"OldPassword": "old-canary", "NewPassword": "new-canary"})
        result = password._change(cast(Any, access), env)
        stub.assert_no_pending_responses()
    assert result.stderr == "aws-runas: the password of ann is changed\n"
    assert asked == ["Current password of ann: ", "New password: ", "New password again: "]
    assert "canary" not in cast(io.StringIO, env.stderr).getvalue()
