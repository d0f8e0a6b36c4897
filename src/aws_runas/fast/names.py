"""Command words and truth values: shared by the cached path and the full path, so it imports nothing."""

# What is typed -> the module of cli/commands. A profile of that name is reached by `aws-runas exec NAME` or `-- NAME`.
COMMANDS = {
    "exec": "exec",
    "shell": "shell",
    "forward": "forward",
    "fwd": "forward",
    "ssh": "ssh",
    "serve": "serve",
    "srv": "serve",
    "list": "list",
    "ls": "list",
    "whoami": "whoami",
    "diagnose": "diagnose",
    "diag": "diagnose",
    "password": "password",
    "passwd": "password",
    "pwd": "password",
    "pw": "password",
    "keys": "keys",
    "completion": "completion",
    "sandbox": "sandbox",
    "run": "run",
    "sessions": "sessions",
    "fleet": "fleet",
    "help": "help",
    "version": "version",
    "tunnels": "tunnels",
    "cp": "cp",
    "init": "init",
    "console": "console",
    "token": "token",
    "ecr": "ecr",
    "login": "login",
    "logout": "logout",
    "sso": "sso",
}
TRUE_WORDS = ("1", "true", "yes", "on")  # values of a boolean variable that turn it on, in any case
FALSE_WORDS = ("", "0", "false", "no", "off")  # values that leave it off; any other value is an error
SWITCH_VARIABLES = ("RUNAS_VERBOSE", "RUNAS_ENV_CREDENTIALS", "RUNAS_SESSION_CREDENTIALS")
# The shell function that `init` prints sets this variable to `VERSION:SHELL:NAME` and asks for exports. A line that is
# no request for exports is declined with a status of its own, and the function runs it again as it was typed.
FUNCTION_VARIABLE = "AWSRUNAS_FUNCTION"
FUNCTION_VERSION = "1"  # another one for another function; a contract test compares them
FUNCTION_DECLINED = 100  # exit status
SSM = "ssm"
SSM_COMMANDS = ("shell", "forward", "fwd", "ssh")  # `ssm shell` and so on, the 3.x spelling

TYPE_CHECKING = False  # typing costs too much on the cached path
if TYPE_CHECKING:
    from collections.abc import Mapping


def is_on(environ: "Mapping[str, str]", name: str) -> bool:
    """Return True if a boolean variable such as RUNAS_VERBOSE is set to one of TRUE_WORDS.

    Args:
        environ: the variables.
        name: of the variable.
    """
    return name in environ and environ[name].strip().lower() in TRUE_WORDS


def is_aws_true(text: "str | None") -> bool:
    """Return True if a boolean variable or key of AWS's own is on: SDKs take ``true`` in any case, and no other word.

    Args:
        text: its value, None if it is not set.
    """
    return (text or "").lower() == "true"


def bad_switch(environ: "Mapping[str, str]") -> str:
    """Return the name of a boolean variable whose value is neither on nor off, or "".

    Args:
        environ: the variables.
    """
    for name in SWITCH_VARIABLES:
        if name in environ and environ[name].strip().lower() not in TRUE_WORDS + FALSE_WORDS:
            return name
    return ""
