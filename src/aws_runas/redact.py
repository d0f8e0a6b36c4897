"""How secrets are shown: not at all, and key ids by their first four characters."""


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
