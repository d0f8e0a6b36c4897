"""Credentials for a SAML response: sign in, choose the role, call AssumeRoleWithSAML."""

from __future__ import annotations

from collections.abc import Callable

from aws_runas.aws.credentials import Credentials
from aws_runas.aws.errors import aws_code
from aws_runas.config.arn import first_region, partition_of
from aws_runas.config.profile import FederatedSource
from aws_runas.credentials.federated_errors import Sent, explain
from aws_runas.credentials.sts_clients import StsClients
from aws_runas.errors import CredentialsError
from aws_runas.signin.person import Person
from aws_runas.signin.saml_response import OfferedRole, SamlResponse

SignIn = Callable[[bool], SamlResponse]


class SamlProvider:
    """Exchanges a SAML response for the credentials of a role.

    Args:
        sign_in: returns a response; its argument requests a new one instead of the stored one.
        partition: of the profile, for roles in another partition.
        person: chooses among several roles.
        now: seconds since the epoch.
    """

    def __init__(
        self,
        source: FederatedSource,
        sts: StsClients,
        sign_in: SignIn,
        partition: str,
        *,
        person: Person,
        now: Callable[[], float],
    ) -> None:
        self._source = source
        self._sts = sts
        self._sign_in = sign_in
        self._partition = partition
        self._person = person
        self._now = now

    def credentials(self, *, refresh: bool = False) -> Credentials:  # noqa: ARG002 - each call fetches
        """Assume the role. A stored response that AWS no longer accepts is replaced once."""
        response = self._sign_in(False)
        try:
            return self._assume(response)
        except CredentialsError as error:
            if error.code != "assertion-expired":
                raise
        return self._assume(self._sign_in(True))

    def offered_roles(self) -> tuple[str, ...]:
        """Return the roles that the identity provider offers.

        Raises:
            CredentialsError: no sign-in is possible, or only AWS can read the assertion.
        """
        response = self._sign_in(False)
        if response.encrypted:
            raise _encrypted("its roles cannot be listed")
        return tuple(role.role_arn for role in response.roles)

    def _assume(self, response: SamlResponse) -> Credentials:
        from aws_runas.aws import sts

        role = choose_role(self._source, response, self._person)
        duration = self._source.duration.value
        if response.session_duration is not None:
            duration = min(duration, response.session_duration)
        partition = partition_of(role.role_arn, None)
        client = self._sts.unsigned(None if partition == self._partition else first_region(partition))
        try:
            return sts.assume_role_with_saml(
                client, role.role_arn, role.principal_arn, response.encoded, duration=duration, now=self._now()
            )
        except CredentialsError as error:
            if not aws_code(error):
                raise
            raise explain(error, self._sent(role, response)) from error.__cause__

    def _sent(self, role: OfferedRole, response: SamlResponse) -> Sent:
        facts = [f"role {role.role_arn}", f"provider {role.principal_arn}"]
        for name, value in (
            ("issuer", response.issuer),
            ("audience", response.audience),
            ("recipient (SAML:aud)", response.recipient),
            ("source identity", response.source_identity),
            ("tags", ", ".join(f"{key}={value}" for key, value in response.tags)),
        ):
            facts += [f"{name} {value}"] if value else []
        return Sent("SAML response", role.role_arn, self._source.duration, facts)


def choose_role(source: FederatedSource, response: SamlResponse, person: Person) -> OfferedRole:
    """Return the role to assume.

    Args:
        source: if it names a role, the role must be offered.
        response: from the identity provider.
        person: chooses among several roles.

    Raises:
        CredentialsError: the role is not offered, no role is offered, or several are and the user cannot be asked.
    """
    wanted = source.role.arn if source.role else None
    if response.encrypted:
        if wanted is None or source.principal_arn is None:
            raise _encrypted("role_arn and saml_principal_arn must both be set")
        return OfferedRole(wanted, source.principal_arn)
    offered = response.roles
    if not offered:
        raise CredentialsError(
            f"{source.label} offers no AWS role",
            code="saml-no-role",
            hint="ask its administrators to assign one to you",
        )
    if wanted is not None:
        return _named(source, offered, wanted)
    if len(offered) == 1:
        return offered[0]
    index = person.choose(f"roles of {source.label}", [role.role_arn for role in offered])
    if index is not None:
        return offered[index]
    raise CredentialsError(
        f"{source.label} offers {len(offered)} roles and profile {source.profile} names none",
        code="saml-role-ambiguous",
        hint="set role_arn in the profile, or give the role's ARN on the command line",
        details=tuple(role.role_arn for role in offered),
    )


def _named(source: FederatedSource, offered: tuple[OfferedRole, ...], wanted: str) -> OfferedRole:
    matching = [role for role in offered if role.role_arn == wanted]
    if source.principal_arn is not None:
        matching = [role for role in matching if role.principal_arn == source.principal_arn] or [
            OfferedRole(wanted, source.principal_arn) for _ in matching[:1]
        ]
    if matching:
        return matching[0]
    raise CredentialsError(
        f"{source.label} does not offer {wanted}",
        code="saml-role-not-offered",
        hint="set role_arn to one of these, or ask to be assigned the role",
        details=tuple(role.role_arn for role in offered),
    )


def _encrypted(what: str) -> CredentialsError:
    return CredentialsError(
        f"the SAML assertion is encrypted for AWS, so {what}",
        code="saml-encrypted",
        hint="set role_arn and saml_principal_arn (arn:aws:iam::ACCOUNT:saml-provider/NAME) in the profile",
    )
