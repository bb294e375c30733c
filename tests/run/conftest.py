"""One server for all tests of a session: torch is imported once."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from run_helpers import Server


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    made = Server(tmp_path_factory.mktemp("run"))
    yield made
    made.close()
