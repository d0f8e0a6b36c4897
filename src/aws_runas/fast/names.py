"""The words that name commands. Apart from the parser, for the fast start."""

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
    "completion": "completion",
    "sandbox": "sandbox",
}
SSM = "ssm"
SSM_COMMANDS = ("shell", "forward", "fwd", "ssh")  # `ssm shell` and so on, the 3.x spelling
