"""-v: the debug log on standard error."""

from __future__ import annotations

import logging
from typing import TextIO

TRACE = 5  # below DEBUG: each call to AWS, with -v given twice


def start(level: int, stream: TextIO) -> None:
    """Log what this package does, and nothing of the libraries: botocore's own debug log holds secrets.

    Args:
        level: how often -v was given.
        stream: where the lines go.
    """
    logging.addLevelName(TRACE, "TRACE")
    logger = logging.getLogger("aws_runas")
    handler = logging.StreamHandler(stream)
    handler.setFormatter(logging.Formatter("aws-runas: %(levelname)s %(message)s"))
    logger.handlers = [handler]
    logger.setLevel(logging.DEBUG if level == 1 else TRACE)
    logger.propagate = False
