"""Detection of the installation method, for hints that name an extra."""

from __future__ import annotations


def install_command(extra: str, prefix: str, python: str) -> str:
    """Return the command that installs the packages of an extra.

    Args:
        extra: its name, such as ``sandbox``.
        prefix: sys.prefix.
        python: sys.executable.
    """
    if python.replace("\\", "/").endswith("/lib/aws-runas/bin/python3"):
        return f"pipx install 'aws-runas-py[{extra}]', beside the Debian package, which has no pip"
    parts = prefix.replace("\\", "/").split("/")
    name = f"'aws-runas-py[{extra}]'"
    if "pipx" in parts:
        return f"pipx install --force {name}"  # without --force, pipx leaves an installed tool unchanged
    if "uv" in parts and "tools" in parts:
        return f"uv tool install {name}"
    return f"{python} -m pip install {name}"
