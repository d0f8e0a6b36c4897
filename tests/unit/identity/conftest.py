"""A moto for the tests of this folder."""

from tests.support.moto_fixtures import moto_url, world

__all__ = ["moto_url", "world"]
