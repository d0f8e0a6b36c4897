"""The programs that are sent to instances are reviewed constants: a change of one shows here as a change of its digest.

`-v` prints the same digests. To review a change: read the diff of the constant, then write its digest here.
"""

from __future__ import annotations

import base64
import zlib

from aws_runas.ssm.command.helper import HELPER, helper_digest, packed_helper
from aws_runas.ssm.command.shell_helper import SHELL_HELPER, shell_helper_digest
from aws_runas.ssm.copy.files import file_server_digest, file_server_source
from aws_runas.ssm.copy.posix_server import POSIX_SERVER, posix_server_digest

REVIEWED = {
    "helper": "2edd55d3e462b4c392efcd92d9f2865ecd50f6b6e86cdf12c68beb54ec209b2d",
    "shell helper": "a2b3a2c52c5c399353fdb0f602eecc9f2a34fc01a98fd34c1b500fcd962395e0",
    "file server without Python": "97177dbf1999c086536dc3a4be6d23fbb5eb2d116ca1dc72cd75e99cd0cd05f4",
    "file server": "ef0c51d0cdd55d8ec8115f55f393591f8e750425c4cd24dd2b60103a19023711",
}


def test_the_helpers_are_the_reviewed_ones() -> None:
    assert {
        "helper": helper_digest(),
        "shell helper": shell_helper_digest(),
        "file server without Python": posix_server_digest(),
        "file server": file_server_digest(),
    } == REVIEWED


def test_what_travels_is_the_constant() -> None:
    assert zlib.decompress(base64.b64decode(packed_helper())).decode() == HELPER
    assert "'''" not in HELPER
    assert SHELL_HELPER.isascii()
    assert POSIX_SERVER.isascii()
    compile(file_server_source(), "file_server", "exec")
