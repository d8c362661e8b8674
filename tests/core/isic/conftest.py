"""Servers for the tests of the archive's client."""

from collections.abc import Iterator

import pytest

from tests.core.isic.faulty import FaultyServer, faulty_server


@pytest.fixture
def faulty() -> Iterator[FaultyServer]:
    """A server that misbehaves on request."""
    with faulty_server() as server:
        yield server
