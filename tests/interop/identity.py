"""Asks STS who it is, again and again, with the credentials that boto3's own chain finds and renews.

``identity.py TIMES KEYS [PARALLEL]``: as js/identity.mjs.
"""

from __future__ import annotations

import json
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import boto3
from botocore.exceptions import ClientError
from botocore.utils import InstanceMetadataFetcher

# botocore takes credentials of IMDS that end within twenty minutes for good for another twelve, and asks again only
# then: meant for an outage of IMDS, wrong where the sandbox's hour lasts four seconds.
InstanceMetadataFetcher._evaluate_expiration = lambda *_: None


def main() -> None:
    """Make the calls and print what was seen."""
    times, keys, parallel = [int(word) for word in [*sys.argv[1:], "1"][:3]]
    sessions = [boto3.Session() for _ in range(parallel)]
    clients = [session.client("sts") for session in sessions]
    arns: set[str] = set()
    seen: set[str] = set()
    calls, end = 0, time.monotonic() + 60

    def ask(number: int) -> tuple[str, str] | None:
        try:
            reply: dict[str, Any] = clients[number].get_caller_identity()
        except ClientError as error:
            if error.response["Error"]["Code"] != "ExpiredToken":
                raise
            return None  # where an hour lasts seconds, credentials may end on the way from the SDK to STS
        found = sessions[number].get_credentials()
        assert found is not None
        return reply["Arn"], found.get_frozen_credentials().access_key

    with ThreadPoolExecutor(parallel) as pool:
        while (calls < times or len(seen) < keys) and time.monotonic() < end:
            for answer in pool.map(ask, range(parallel)):
                if answer is not None:
                    calls += 1
                    arns.add(answer[0])
                    seen.add(answer[1])
            time.sleep(0.05)
    print(json.dumps({"calls": calls, "arns": sorted(arns), "keys": sorted(seen)}))


if __name__ == "__main__":
    main()
