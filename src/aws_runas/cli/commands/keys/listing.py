"""``keys list``: list the profiles with long-term keys, with the place, age and last use of the keys."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

from aws_runas.cli.commands.keys.options import KeysOptions
from aws_runas.cli.environment import Environment
from aws_runas.cli.output import Result
from aws_runas.cli.questions import as_json
from aws_runas.credentials.key_lines import plain_keys
from aws_runas.dataclass import dataclass
from aws_runas.errors import AwsRunasError, ConfigError

if TYPE_CHECKING:
    from aws_runas.aws.iam import AccessKey, LastUse

HEADINGS = ("PROFILE", "KEY ID", "PLACE", "STATUS", "AGE", "LAST USED")


@dataclass(slots=True)
class Row:
    """One profile.

    Args:
        profile: profile with the keys.
        key_id: access key id, which is not secret.
        place: ``keyring NAME``, or the path of a file.
        key, use: as described by IAM; None if IAM could not be asked.
        problem: why IAM could not be asked.
    """

    profile: str
    key_id: str
    place: str
    key: AccessKey | None = None
    use: LastUse | None = None
    problem: str = ""


def list_keys(options: KeysOptions, env: Environment) -> Result:
    """List keys. The config files are the index, since a keyring cannot be listed; IAM knows age and use.

    Raises:
        ConfigError: the named profile does not exist.
    """
    files = env.config_files()
    if options.profile is not None and options.profile not in files.profiles:
        raise ConfigError(
            f"profile {options.profile} does not exist",
            code="profile-not-found",
            hint="aws-runas list profiles lists the profiles",
        )
    rows = [row for name in files.profiles if options.profile in (None, name) for row in _rows(name, env)]
    _ask_iam(rows, options, env)
    if options.json:
        return Result(stdout=as_json({"keys": [_as_dict(row, env.now()) for row in rows]}))
    notes = [
        f"aws-runas: {row.profile}: age and last use are not known: {row.problem}\n" for row in rows if row.problem
    ]
    if not rows:
        notes.append("aws-runas: no profile has long-term keys; aws-runas keys add PROFILE stores some\n")
    return Result(stdout=_table(rows, env.now()), stderr="".join(notes))


def _rows(profile: str, env: Environment) -> list[Row]:
    files = env.config_files()
    section = files.profiles[profile]
    rows = []
    if section.text("keyring"):
        rows.append(Row(profile, section.text("keyring_key_id") or "?", f"keyring {section.text('keyring')}"))
    try:
        plain = plain_keys(files, profile)
    except AwsRunasError:  # temporary keys, or only one of the pair
        plain = None
    if plain is not None:
        rows.append(Row(profile, plain.pair.access_key_id, str(plain.path)))
    return rows


def _ask_iam(rows: list[Row], options: KeysOptions, env: Environment) -> None:
    """Fill in what IAM knows. Each key is looked up once, and a keyring that fails is opened once."""
    known: dict[str, Row] = {}
    failed: dict[str, str] = {}
    for row in rows:
        first = known.setdefault(row.key_id, row)
        if first is not row:
            row.key, row.use, row.problem = first.key, first.use, first.problem
            continue
        place = row.place.partition(" ")[0]
        if place in failed:
            row.problem = failed[place]
            continue
        try:
            row.key, row.use = _describe(row, options, env)
        except AwsRunasError as error:
            row.problem = error.message
            if error.code.startswith("keyring-") and error.code != "keyring-item-missing":
                failed[place] = error.message


def _describe(row: Row, options: KeysOptions, env: Environment) -> tuple[AccessKey | None, LastUse]:
    from aws_runas.aws.iam import Iam
    from aws_runas.cli.access import open_access_for
    from aws_runas.config.profile import KeyringSource, KeySource
    from aws_runas.identity.roles import iam_user_of

    access = open_access_for(options.flags, row.profile, env)
    source = access.profile.source
    if not isinstance(source, KeySource | KeyringSource) or source.access_key_id != row.key_id:
        raise ConfigError("the profile uses other credentials", code="source-contradictory")
    iam = Iam(access)
    key = next((key for key in iam.access_keys(iam_user_of(access)) if key.access_key_id == row.key_id), None)
    return key, iam.last_use(row.key_id)


def _as_dict(row: Row, now: float) -> dict[str, object]:
    return {
        "profile": row.profile,
        "access_key_id": row.key_id,
        "place": row.place,
        "status": _status(row) or None,
        "created": row.key.created.isoformat() if row.key and row.key.created else None,
        "age_days": _days(row.key.created, now) if row.key and row.key.created else None,
        "last_used": row.use.date.isoformat() if row.use and row.use.date else None,
        "last_used_service": (row.use.service or None) if row.use else None,
        "problem": row.problem or None,
    }


def _table(rows: list[Row], now: float) -> str:
    if not rows:
        return ""
    cells = [HEADINGS, *(_cells(row, now) for row in rows)]
    widths = [max(len(line[column]) for line in cells) for column in range(len(HEADINGS))]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip() for line in cells]
    return "".join(f"{line}\n" for line in lines)


def _cells(row: Row, now: float) -> tuple[str, ...]:
    age = f"{_days(row.key.created, now)} days" if row.key and row.key.created else "-"
    if row.use is None:
        used = "-"
    else:
        used = f"{row.use.date:%Y-%m-%d} ({row.use.service})" if row.use.date else "never"
    return row.profile, row.key_id, row.place, _status(row) or "-", age, used


def _status(row: Row) -> str:
    return "" if row.key is None else "active" if row.key.active else "inactive"


def _days(created: datetime, now: float) -> int:
    return (datetime.fromtimestamp(now, UTC) - created).days
