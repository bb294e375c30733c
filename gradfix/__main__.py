"""``python -m gradfix`` and the ``gradfix`` command."""

from __future__ import annotations

import sys

from gradfix.cli import run


def main() -> None:
    """Run the command line and exit with its code."""
    sys.exit(run(sys.argv[1:]))


if __name__ == "__main__":
    main()
