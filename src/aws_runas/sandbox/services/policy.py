"""Evaluation of IAM policies: the part of the language needed for trust, identity and session policies.

Source: AWS, "Policy evaluation logic" and "IAM JSON policy elements reference".
"""

from __future__ import annotations

import fnmatch
import json
import re
from collections.abc import Iterable, Mapping

from aws_runas.sandbox.services.principals import ACCOUNT

Statement = Mapping[str, object]


def statements(document: str | Mapping[str, object]) -> list[Statement]:
    """Return the statements of a policy; a single statement need not be in a list.

    Args:
        document: JSON text or the parsed object.

    Raises:
        ValueError: the text is not JSON.
        TypeError: the policy or a statement is not an object.
    """
    policy: object = json.loads(document) if isinstance(document, str) else document
    if not isinstance(policy, Mapping):
        raise TypeError("a policy is an object")
    found = policy.get("Statement", [])
    listed = found if isinstance(found, list) else [found]
    if not all(isinstance(statement, Mapping) for statement in listed):
        raise TypeError("a statement is an object")
    return listed


def _list(value: object) -> list[str]:
    if isinstance(value, (list, tuple)):
        return [str(item) for item in value]
    return [] if value is None else [str(value)]


def matches(pattern: str, value: str) -> bool:
    """Return True if a value matches a pattern with ``*`` and ``?``; brackets are plain characters."""
    return re.fullmatch(fnmatch.translate(pattern.replace("[", "[[]")), value) is not None


def _names(statement: Statement, element: str, value: str, *, fold: bool) -> bool:
    """Return True if an element (Action, Resource) or its Not form matches a value."""
    value = value.lower() if fold else value
    for name, wanted in ((element, True), (f"Not{element}", False)):
        if name in statement:
            patterns = [item.lower() if fold else item for item in _list(statement[name])]
            return any(matches(pattern, value) for pattern in patterns) is wanted
    return element == "Resource"  # a trust policy has no Resource


def _principal(statement: Statement, principals: Iterable[str]) -> bool:
    wanted = statement.get("Principal")
    if wanted is None:
        return True
    if wanted == "*":
        return True
    if not isinstance(wanted, Mapping):
        return False
    values = [item for kind in ("AWS", "Federated", "Service") for item in _list(wanted.get(kind))]
    return any(value == "*" or value in principals for value in values)


def _condition(operator: str, wanted: list[str], actual: str | None) -> bool:
    if_exists = operator.endswith("IfExists")
    operator = operator.removesuffix("IfExists")
    if operator == "Null":
        return (actual is None) is (wanted[0].lower() == "true")
    if actual is None:
        return if_exists or operator.startswith(("StringNot", "ArnNot"))
    comparisons = {
        "Bool": lambda: actual.lower() in [item.lower() for item in wanted],
        "StringEquals": lambda: actual in wanted,
        "ArnEquals": lambda: any(matches(item, actual) for item in wanted),
        "StringNotEquals": lambda: actual not in wanted,
        "StringLike": lambda: any(matches(item, actual) for item in wanted),
        "ArnLike": lambda: any(matches(item, actual) for item in wanted),
        "StringNotLike": lambda: not any(matches(item, actual) for item in wanted),
        "NumericLessThan": lambda: float(actual) < float(wanted[0]),
        "NumericLessThanEquals": lambda: float(actual) <= float(wanted[0]),
    }
    judge = comparisons.get(operator)
    return judge is not None and judge()


def _conditions(statement: Statement, context: Mapping[str, str]) -> bool:
    lowered = {name.lower(): value for name, value in context.items()}
    conditions = statement.get("Condition")
    return all(
        _condition(operator, _list(wanted), lowered.get(key.lower()))
        for operator, keys in (conditions.items() if isinstance(conditions, Mapping) else ())
        for key, wanted in keys.items()
    )


def evaluate(
    documents: Iterable[str | Mapping[str, object]],
    action: str,
    resource: str | None,
    context: Mapping[str, str],
    principals: Iterable[str] = (),
) -> bool | None:
    """Evaluate several policies together.

    Args:
        documents: policies, as JSON text or objects.
        action: ``service:Operation``.
        resource: an ARN; None for any resource.
        context: condition keys and their values.
        principals: every name of the caller, for resource policies.

    Returns:
        True if a statement allows the call, False if one denies it, None if no statement applies.
    """
    allowed: bool | None = None
    names = list(principals)
    for document in documents:
        for statement in statements(document):
            if not _names(statement, "Action", action, fold=True):
                continue
            if resource is not None and not _names(statement, "Resource", resource, fold=False):
                continue
            if not _principal(statement, names) or not _conditions(statement, context):
                continue
            if statement.get("Effect") == "Deny":
                if resource is not None or "*" in _list(statement.get("Resource", "*")):
                    return False
            else:
                allowed = True
    return allowed


def account_root() -> str:
    """Return the account principal, which means every principal of the account whose own policies allow the call."""
    return f"arn:aws:iam::{ACCOUNT}:root"
