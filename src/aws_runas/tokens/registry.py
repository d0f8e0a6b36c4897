"""Parser of registry addresses. On the cached path: nothing is imported.

Source: Amazon ECR user guide, private registry authentication; amazon-ecr-credential-helper, ecr-login/api/client.go.
"""

PUBLIC_HOSTS = ("public.ecr.aws", "ecr-public.aws.com")
PUBLIC_REGION = "us-east-1"  # the only region that issues tokens for the public gallery
ACCOUNT_DIGITS = 12
_SUFFIXES = (
    "amazonaws.com",
    "amazonaws.com.cn",
    "amazonaws.eu",
    "c2s.ic.gov",
    "sc2s.sgov.gov",
    "cloud.adc-e.uk",
    "csp.hci.ic.gov",
)
_DUAL_STACK_SUFFIXES = ("on.aws", "on.amazonwebservices.com.cn")
_LABEL = frozenset("abcdefghijklmnopqrstuvwxyz0123456789-")


class Registry:
    """ECR registry.

    Attributes:
        host: the host name, in lower case, without port and path.
        account: twelve digits; "" for the public gallery.
        region: the region that issues its tokens.
        fips: True if the name is that of a FIPS endpoint.
    """

    __slots__ = ("account", "fips", "host", "region")

    def __init__(self, host: str, account: str, region: str, fips: bool = False) -> None:
        self.host = host
        self.account = account
        self.region = region
        self.fips = fips

    @property
    def is_public(self) -> bool:
        """True for the public gallery."""
        return not self.account


def parse_registry(text: str) -> Registry | None:
    """Parse a registry address, with or without scheme, port and path.

    Returns:
        None if the address is not an ECR registry.
    """
    address = text.strip().lower()
    for scheme in ("https://", "http://"):
        address = address.removeprefix(scheme)
    host, colon, port = address.partition("/")[0].partition(":")
    if colon and not (port.isascii() and port.isdigit()):
        return None
    if host in PUBLIC_HOSTS:
        return Registry(host, "", PUBLIC_REGION)
    account, _, rest = host.partition(".")
    if not is_account(account):
        return None
    for front, suffixes in (("dkr.ecr", _SUFFIXES), ("dkr-ecr", _DUAL_STACK_SUFFIXES)):
        if rest.startswith((f"{front}.", f"{front}-fips.")):
            fips = rest.startswith(f"{front}-fips.")
            region, _, suffix = rest[len(front) + (6 if fips else 1) :].partition(".")
            if suffix in suffixes and region.count("-") >= 2 and _LABEL.issuperset(region):
                return Registry(host, account, region, fips)
    return None


def is_account(text: str) -> bool:
    """Return True if a text is an AWS account number."""
    return len(text) == ACCOUNT_DIGITS and text.isascii() and text.isdigit()
