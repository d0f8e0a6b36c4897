"""Display of text: no secrets, key ids by their first four characters, and foreign text escaped."""


def key_id(value: str) -> str:
    """Shorten an access key id to what a log may hold.

    Args:
        value: an access key id such as ``AKIAIOSFODNN7EXAMPLE``.

    Returns:
        Its first four characters and an ellipsis.
    """
    return f"{value[:4]}…"


def secret(value: str | None) -> str:
    """Stand in for a secret in a repr: tells only whether there is one."""
    return "None" if value is None else "'***'"


def printable(text: str, *, keep: str = "") -> str:
    """Escape the characters of foreign text that could steer a terminal or hide what it says.

    Names, tags, messages of a service and addresses come from others. Control characters, and the characters that
    change the direction of writing, become ``\\x1b`` and the like.

    Args:
        text: from anywhere.
        keep: characters that stay as they are, such as a newline.
    """
    if text.isprintable():
        return text
    return "".join(
        character
        if character.isprintable() or character in keep
        else character.encode("unicode_escape", "surrogatepass").decode("ascii")
        for character in text
    )
