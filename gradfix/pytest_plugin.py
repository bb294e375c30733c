"""The pytest plugin: every Module that a test trains is watched, and lost gradients fail the test.

pytest loads this module in every run, so it imports nothing heavy and nothing that an older pytest
lacks; torch is imported by the first test that is watched. Off unless asked for: ``--gradfix``,
``gradfix = true`` in the configuration, or ``@pytest.mark.gradfix`` on a test, class or module.
"""

from __future__ import annotations

import pytest

_MARK = (
    "gradfix(enabled=True, ignore=()): watch the gradients of the Modules this test trains; "
    "ignore holds patterns of names such as 'Net.head.*' or 'head.*'"
)


def pytest_addoption(parser: pytest.Parser) -> None:
    """The flag, and the same in the configuration."""
    group = parser.getgroup("gradfix")
    group.addoption(
        "--gradfix",
        action="store_true",
        default=None,
        help="fail tests that train a Module in which gradients get lost",
    )
    parser.addini("gradfix", "watch every test (as --gradfix)", type="bool", default=False)
    parser.addini(
        "gradfix_ignore",
        "patterns of Parameters to leave out: Class.name or name, one per line",
        type="linelist",
        default=[],
    )


def pytest_configure(config: pytest.Config) -> None:
    """Make the marker known and start to watch. Raises UsageError where pytest is too old."""
    config.addinivalue_line("markers", _MARK)
    if pytest.version_tuple >= (8,):
        from gradfix.pytest_session import Session

        config.pluginmanager.register(Session(config, _MARK), "gradfix-session")
    elif config.getoption("--gradfix") or config.getini("gradfix"):
        raise pytest.UsageError(f"gradfix needs pytest 8 or newer, this is {pytest.__version__}")
