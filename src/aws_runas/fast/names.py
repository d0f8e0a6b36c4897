"""Command words and boolean values, shared by the cached path and the full path. No imports."""

# Command word -> module of cli/commands. For a profile of that name, use `aws-runas exec NAME` or `-- NAME`.
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
# The shell function that `init` prints sets this variable to `VERSION:SHELL:NAME` and asks for exports. A command line
# that does not request exports is declined with a special exit status, and the function runs it again as typed.
FUNCTION_VARIABLE = "AWSRUNAS_FUNCTION"
FUNCTION_VERSION = "1"  # changes with the function; a contract test compares them
FUNCTION_DECLINED = 100  # exit status
SSM = "ssm"
SSM_COMMANDS = ("shell", "forward", "fwd", "ssh")  # `ssm shell` and so on, the 3.x spelling

TYPE_CHECKING = False  # importing typing takes too long on the cached path
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
    """Return True if one of AWS's boolean variables or keys is on: SDKs accept only ``true``, in any case.

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
