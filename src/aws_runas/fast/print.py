"""Fast printing of cached credentials, as for a credential_process: without json, shlex and argparse.

Only for values that need no quoting in JSON and sh; a test compares the output with the full path.
"""

import os

TYPE_CHECKING = False  # see run/environment.py
if TYPE_CHECKING:
    from typing import NoReturn

PLAIN = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.+/=:,@%")


def text(found: dict[str, str], output: str) -> str | None:
    """Format the credentials.

    Args:
        found: from the shortcut.
        output: the format.

    Returns:
        The output of the full path; None if only the full path can print it.
    """
    keys = {"AccessKeyId": found["key"], "SecretAccessKey": found["secret"], "SessionToken": found["token"]}
    if not all(PLAIN.issuperset(value) and value for value in (*keys.values(), found["profile"], found["expiration"])):
        return None
    if output == "json":
        lines = [f'  "{name}": "{value}"' for name, value in (keys | {"Expiration": found["expiration"]}).items()]
        return "{\n" + ",\n".join(['  "Version": 1', *lines]) + "\n}\n"
    if output != "env" or not PLAIN.issuperset(found["region"]):
        return None
    values = {
        "AWS_ACCESS_KEY_ID": found["key"],
        "AWS_SECRET_ACCESS_KEY": found["secret"],
        "AWS_SESSION_TOKEN": found["token"],
        "AWS_SECURITY_TOKEN": found["token"],
        "AWS_CREDENTIAL_EXPIRATION": found["expiration"],
    }
    if found["region"]:
        values["AWS_REGION"] = values["AWS_DEFAULT_REGION"] = found["region"]
    values["AWSRUNAS_PROFILE"] = found["profile"]
    unset = "unset AWS_PROFILE\nunset AWS_DEFAULT_PROFILE\n"  # some SDKs prefer a profile to keys
    return unset + "".join([f"export {name}={value}\n" for name, value in values.items()])


def write(content: str) -> "NoReturn":
    """Write to standard output and exit.

    Args:
        content: to write.

    Raises:
        OSError: nothing was written.
    """
    data = content.encode()
    data = data[os.write(1, data) :]
    while data:
        try:
            data = data[os.write(1, data) :]
        except OSError:
            os._exit(1)  # part of it is written: no second attempt
    os._exit(0)
