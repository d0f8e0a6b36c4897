"""Display of text: without secrets, key ids by their first four characters, untrusted text escaped."""


def key_id(value: str) -> str:
    """Shorten an access key id for logs.

    Args:
        value: an access key id such as ``AKIAIOSFODNN7EXAMPLE``.

    Returns:
        Its first four characters and an ellipsis.
    """
    return f"{value[:4]}…"


def secret(value: str | None) -> str:
    """Return a placeholder for a secret in a repr: it shows only whether the secret is set."""
    return "None" if value is None else "'***'"


def printable(text: str, *, keep: str = "") -> str:
    """Escape the characters of untrusted text that could control a terminal or hide part of the text.

    Names, tags, service messages and addresses come from others. Control characters and bidirectional formatting
    characters become ``\\x1b`` and the like.

    Args:
        text: from any source.
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
