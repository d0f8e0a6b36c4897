"""Profile names for completion: a scan of the headings, since a parser is too slow for a key press."""

import os

MAX_SIZE = 16 << 20  # characters, as config.files; a device such as /dev/zero never ends
TYPE_CHECKING = False  # importing typing would take a third of the available time
if TYPE_CHECKING:
    from collections.abc import Mapping


def profile_names(environ: "Mapping[str, str]") -> list[str]:
    """Return the profile names in both files, in file order, without duplicates; an unreadable file has none.

    Args:
        environ: may name the files.
    """
    found: dict[str, None] = {}
    for variable, default in (("AWS_CONFIG_FILE", "config"), ("AWS_SHARED_CREDENTIALS_FILE", "credentials")):
        path = environ.get(variable) or os.path.join("~", ".aws", default)
        for heading in _headings(os.path.expanduser(os.path.expandvars(path))):
            name = _name(heading) if default == "config" else heading
            if name.startswith(("https://", "http://")):
                continue  # holds the password for an identity provider
            if name:
                found[name] = None
    return list(found)


def print_profile_names(environ: "Mapping[str, str]") -> int:
    """Write the names to standard output, in UTF-8 regardless of the locale, and return the exit status.

    Args:
        environ: as for `profile_names`.
    """
    names = "".join(f"{name}\n" for name in profile_names(environ)).encode("utf-8", "surrogateescape")
    try:
        while names:
            names = names[os.write(1, names) :]
    except OSError as error:
        os.write(2, f"aws-runas: standard output cannot be written: {(error.strerror or '').lower()}\n".encode())
        return 1
    return 0


def _headings(path: str) -> list[str]:
    try:
        with open(path, encoding="utf-8-sig", errors="replace") as stream:
            lines = stream.read(MAX_SIZE).split("\n")
    except OSError:
        return []
    return [line[1 : line.rindex("]")] for line in lines if line[:1] == "[" and "]" in line]


def _name(heading: str) -> str:
    if heading == "default":
        return heading
    if not heading.startswith("profile"):
        return ""
    if '"' in heading or "'" in heading or "\\" in heading or "#" in heading:
        import shlex

        try:
            words = shlex.split(heading)
        except ValueError:
            return ""
    else:
        words = heading.split()
    return words[1] if len(words) == 2 else ""
