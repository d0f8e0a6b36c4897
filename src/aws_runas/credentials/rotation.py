"""``keys rotate``: replaces access keys in steps that can fail and be continued.

Both keys are never lost at the same time, and a new secret is only in memory for no longer than the time between two
calls. After a failure, the state is read from AWS again, so that the message tells the current state. A journal without
secrets lets the next run continue, even if this process was killed.

Source: identity 3.5; AWS IAM User Guide, "Update access keys".
"""

from __future__ import annotations

import contextlib
import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Protocol

from aws_runas import files
from aws_runas.aws.iam import AccessKey, LastUse
from aws_runas.credentials.key_places import KeyPlace
from aws_runas.dataclass import dataclass
from aws_runas.errors import AwsRunasError, CredentialsError, Interrupted
from aws_runas.store.items import KeyPair

KEY_LIMIT = 2  # access keys of one user, AWS: IAM quotas
PATIENCE = 60.0  # seconds until IAM must know a new key
DELAYS = (1.0, 2.0, 4.0, 8.0, 10.0)  # seconds between attempts; the last one repeats
STEPS = (
    "list the keys",
    "create a key",
    "store the new key",
    "check the new key",
    "deactivate the old key",
    "delete the old key",
    "drop the session entries of the old key",
)


class KeyService(Protocol):
    """The IAM calls for the keys of one user. Each raises AwsRunasError."""

    def list(self) -> list[AccessKey]:
        """Return the keys, the oldest first."""

    def last_use(self, key_id: str) -> LastUse:
        """Return when a key was last used."""

    def create(self) -> KeyPair:
        """Create a key."""

    def deactivate(self, key_id: str) -> None:
        """Deactivate a key."""

    def delete(self, key_id: str) -> None:
        """Delete a key."""


@dataclass(frozen=True, slots=True)
class KeyServices:
    """AWS services, called with the keys that currently work.

    Args:
        own: IAM, signed with MFA if there is a device.
        with_keys: IAM, signed with the new keys once they are in use.
        check: calls STS with keys; raises AwsRunasError.
    """

    own: KeyService
    with_keys: Callable[[KeyPair], KeyService]
    check: Callable[[KeyPair], None]


@dataclass(frozen=True, slots=True)
class Clock:
    """The time of a rotation.

    Args:
        now: monotonic seconds.
        sleep: waits for seconds.
    """

    now: Callable[[], float] = time.monotonic
    sleep: Callable[[float], None] = time.sleep


@dataclass(frozen=True, slots=True)
class Settings:
    """Settings of a rotation.

    Args:
        command: the command that continues the rotation, for messages.
        replace_inactive: delete an inactive key to make room.
        delete: delete the old key at the end; also for `Rotation.finish`.
    """

    command: str
    replace_inactive: bool = False
    delete: bool = False


@dataclass(frozen=True, slots=True)
class Rotated:
    """The result.

    Args:
        new_id, old_id: of the keys.
        deleted: True if the old key is deleted, False if it is inactive.
    """

    new_id: str
    old_id: str
    deleted: bool


@dataclass(frozen=True, slots=True)
class JournalEntry:
    """The state before the new key was created.

    Args:
        old_id: of the key to replace.
        known_ids: of all keys at AWS.
    """

    old_id: str
    known_ids: tuple[str, ...]


class Journal:
    """A private file that records a started rotation. It contains key ids and no secrets.

    Args:
        path: the file.
    """

    def __init__(self, path: Path) -> None:
        self._path = path

    def read(self) -> JournalEntry | None:
        """Return the entry, None if no rotation has started or the file is damaged."""
        try:
            value = json.loads(files.read_plain(self._path))
            return JournalEntry(str(value["OldKeyId"]), tuple(str(key_id) for key_id in value["KnownKeyIds"]))
        except (OSError, ValueError, KeyError, TypeError, RecursionError):
            return None

    def write(self, entry: JournalEntry) -> None:
        """Write the entry so that it survives a power cut.

        Raises:
            CredentialsError: the entry cannot be written.
        """
        value = {"Version": 1, "OldKeyId": entry.old_id, "KnownKeyIds": entry.known_ids}
        try:
            files.make_private_directory(self._path.parent)
            files.write_atomic(self._path, json.dumps(value).encode())
        except OSError as error:
            raise CredentialsError(
                f"cannot write {self._path}: {(error.strerror or str(error)).lower()}",
                code="keyring-failed",
                hint="check the directory and the space on the disk",
            ) from None

    def remove(self) -> None:
        """Remove the entry."""
        with contextlib.suppress(OSError):
            self._path.unlink()


class Rotation:
    """One rotation. Call `run` or `finish` once, with a lock on the place held.

    Args:
        place: storage of the keys.
        services: AWS.
        settings: from the command line.
        journal: of the place.
        drop_sessions: removes the cache entries of a key id.
        say: shows a line to the user.
        clock: replaced in tests.
    """

    def __init__(
        self,
        place: KeyPlace,
        services: KeyServices,
        settings: Settings,
        *,
        journal: Journal,
        drop_sessions: Callable[[str], None],
        say: Callable[[str], None],
        clock: Clock | None = None,
    ) -> None:
        self._place = place
        self._services = services
        self._service = services.own
        self._journal = journal
        self._drop_sessions = drop_sessions
        self._clock = clock or Clock()
        self._say = say
        self._settings = settings
        self._step = 0
        self._has_answer = False  # True once AWS has answered, so that another call does not ask for an MFA code

    def run(self) -> Rotated:
        """Rotate, or continue an interrupted rotation.

        Raises:
            AwsRunasError: a step failed; the details tell the current state, the hint tells what to do.
        """
        with self._explained():
            self._step = 1
            keys = self._service.list()
            self._has_answer = True
            in_use = self._place.in_use()
            old_id, new = self._pending(keys, in_use) or self._begin(in_use)
            return self._complete(old_id, new)

    def finish(self) -> Rotated | None:
        """Complete an interrupted rotation, and delete the old key. Return None if there is none.

        Raises:
            AwsRunasError: as for `run`, or the other key is active although no rotation activated it.
        """
        with self._explained():
            self._step = 1
            keys = self._service.list()
            self._has_answer = True
            in_use = self._place.in_use()
            pending = self._pending(keys, in_use)
            if pending:
                return self._complete(*pending)
            others = [key for key in self._service.list() if key.access_key_id != in_use.access_key_id]
            if not others:
                return None
            old = others[0]
            if old.active:
                raise CredentialsError(
                    f"the other key {old.access_key_id} is active, and no rotation has replaced it",
                    code="key-still-active",
                    hint="deactivate it at AWS first, if nothing uses it any more",
                )
            self._journal.write(JournalEntry(old.access_key_id, (old.access_key_id,)))
            return self._complete(old.access_key_id, in_use)

    def _pending(self, keys: list[AccessKey], in_use: KeyPair) -> tuple[str, KeyPair] | None:
        """Return the old key id and the new keys of an interrupted rotation.

        A key that it created and whose secret is lost is deleted.
        """
        entry = self._journal.read()
        if entry is None:
            return None
        for key in keys:
            if key.access_key_id in entry.known_ids:
                continue
            new = self._place.find(key.access_key_id)
            if new is not None:
                self._say(f"continuing the rotation from {entry.old_id} to {key.access_key_id}")
                return entry.old_id, new
            if in_use.access_key_id == entry.old_id and self._service.last_use(key.access_key_id).date is None:
                self._service.delete(key.access_key_id)
                self._say(f"deleted {key.access_key_id}, which an interrupted rotation has left without its secret")
        self._journal.remove()
        return None

    def _begin(self, in_use: KeyPair) -> tuple[str, KeyPair]:
        keys = self._service.list()
        known = tuple(key.access_key_id for key in keys)
        self._journal.write(JournalEntry(in_use.access_key_id, known))  # first: detects a full disk before a deletion
        if len(keys) >= KEY_LIMIT:
            try:
                self._make_room(keys, in_use.access_key_id)
            except BaseException:
                self._journal.remove()  # nothing has started
                raise
        self._step = 2
        try:
            new = self._service.create()
        except BaseException:
            self._undo(known)
            raise
        self._step = 3
        try:
            self._place.keep(new)
        except BaseException:
            self._undo(known)
            raise
        self._say(f"created {new.access_key_id}, kept in {self._place.label}")
        return in_use.access_key_id, new

    def _make_room(self, keys: list[AccessKey], in_use: str) -> None:
        """Delete an inactive key that is not in use, if ``--replace-inactive`` was given.

        Raises:
            CredentialsError: the user already has two keys.
        """
        inactive = [key for key in keys if not key.active and key.access_key_id != in_use]
        if not inactive or not self._settings.replace_inactive:
            raise self._no_room(keys, in_use, inactive)
        self._service.delete(inactive[0].access_key_id)
        self._place.drop(inactive[0].access_key_id)
        self._say(f"deleted the inactive key {inactive[0].access_key_id}")

    def _no_room(self, keys: list[AccessKey], in_use: str, inactive: list[AccessKey]) -> CredentialsError:
        lines = []
        for number, key in enumerate(keys):
            use = self._service.last_use(key.access_key_id)
            last = f"last used {use.date:%Y-%m-%d} by {use.service}" if use.date else "never used"
            created = f"created {key.created:%Y-%m-%d}" if key.created else "of unknown age"
            words = ["older" if number == 0 else "newer", created, last, "active" if key.active else "inactive"]
            words += ["in use here"] if key.access_key_id == in_use else []
            lines.append(f"{key.access_key_id}: {', '.join(words)}")
        hint = "deactivate the one that nothing uses at AWS, then run it again with --replace-inactive"
        if inactive:
            hint = f"{self._settings.command} --replace-inactive deletes {inactive[0].access_key_id} first"
        return CredentialsError(
            "the user has two access keys already, and AWS allows no more",
            code="keys-limit",
            hint=hint,
            details=tuple(lines),
        )

    def _undo(self, known: tuple[str, ...]) -> None:
        """Delete a new key that cannot be stored; the journal stays if that fails."""
        with contextlib.suppress(AwsRunasError):
            for key in self._service.list():
                if key.access_key_id not in known:
                    self._service.delete(key.access_key_id)
                    with contextlib.suppress(AwsRunasError):
                        self._place.drop(key.access_key_id)
            self._journal.remove()

    def _complete(self, old_id: str, new: KeyPair) -> Rotated:
        """Do steps 4 to 7. Each may already have been done."""
        self._step = 4
        self._until_known(lambda: self._services.check(new))
        self._place.adopt(new)
        self._step = 5
        service = self._services.with_keys(new)
        self._until_known(lambda: self._deactivate(old_id, service))
        if self._settings.delete:
            self._step = 6
            self._delete(old_id, service)
        self._step = 7
        self._drop_sessions(old_id)
        self._journal.remove()
        return Rotated(new.access_key_id, old_id, self._settings.delete)

    def _deactivate(self, old_id: str, service: KeyService) -> None:
        if any(key.access_key_id == old_id and key.active for key in service.list()):
            service.deactivate(old_id)

    def _delete(self, old_id: str, service: KeyService) -> None:
        if any(key.access_key_id == old_id for key in service.list()):
            service.delete(old_id)
        self._place.drop(old_id)

    def _until_known(self, call: Callable[[], None]) -> None:
        """Repeat a call until AWS knows the new key.

        Raises:
            AwsRunasError: AWS does not know it within PATIENCE, or the call fails in another way.
        """
        deadline = self._clock.now() + PATIENCE
        delays = iter(DELAYS)
        delay = DELAYS[0]
        while True:
            try:
                return call()
            except CredentialsError as error:
                if error.code != "access-key-unknown" or self._clock.now() >= deadline:
                    raise
            delay = next(delays, delay)
            self._clock.sleep(min(delay, max(0.0, deadline - self._clock.now())))

    @contextlib.contextmanager
    def _explained(self) -> Iterator[None]:
        """Add the current state and the command that continues to an error."""
        try:
            yield
        except KeyboardInterrupt:
            interrupted = Interrupted()
            if self._has_answer:
                self._explain(interrupted)
            raise interrupted from None
        except AwsRunasError as error:
            if error.code not in ("keys-limit", "key-still-active"):
                self._explain(error)
            raise

    def _explain(self, error: AwsRunasError) -> None:
        error.message = f"step {self._step} of {len(STEPS)}, {STEPS[self._step - 1]}: {error.message}"
        error.details = (*error.details, *self._state())
        finish = " --finish" if self._step >= 6 and self._settings.delete else ""
        hint = f"continue with: {self._settings.command}{finish}"
        error.hint = f"{hint}; {error.hint}" if error.hint else hint

    def _state(self) -> list[str]:
        """Return the current state of each key, one line per key."""
        try:
            in_use = self._place.in_use().access_key_id
        except AwsRunasError as error:
            return [f"{self._place.label} cannot be read now: {error.message}"]
        try:
            keys = self._list_now()
        except AwsRunasError:
            return [f"{in_use}: in use here; AWS cannot be asked which keys are active now"]
        lines = []
        for key in keys:
            status = "active" if key.active else "inactive"
            lines.append(f"{key.access_key_id}: {status} at AWS, {self._whereabouts(key.access_key_id, in_use)}")
        return lines

    def _list_now(self) -> list[AccessKey]:
        """Return the keys at AWS, with a call by the new keys if the old ones no longer work."""
        try:
            return self._service.list()
        except AwsRunasError:
            return self._services.with_keys(self._place.in_use()).list()

    def _whereabouts(self, key_id: str, in_use: str) -> str:
        if key_id == in_use:
            return f"in use here ({self._place.label})"
        try:
            kept = self._place.find(key_id) is not None
        except AwsRunasError:
            kept = False
        return "kept beside it" if kept else "its secret is not here"
