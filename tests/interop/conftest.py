"""The sandbox's fixtures, for judges that want an AWS behind what they judge."""

from tests.integration.conftest import make_sandbox, runas, sandbox

__all__ = ["make_sandbox", "runas", "sandbox"]
