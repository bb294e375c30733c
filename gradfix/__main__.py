"""``python -m gradfix`` and the ``gradfix`` command."""

from __future__ import annotations

import gc
import sys

from gradfix.cli import run


def main() -> None:
    """Run the command line and exit with its code."""
    code = run(sys.argv[1:])
    gc.freeze()  # this process ends, and the collector need not look through all it knows
    sys.exit(code)


if __name__ == "__main__":
    main()
