"""What has to be the same on the client and on every worker, for the results to be the same."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from functools import cache
from importlib.metadata import PackageNotFoundError, version

import gradfix
from gradfix import registry
from gradfix.cache import source_stamp

SOURCE = "gradfix's source"
#: An expression that any worker can evaluate, also one with another gradfix or none.
PROBE = """(lambda names: (exec('''
import sys
found = {"Python": "%d.%d" % sys.version_info[:2]}
try:
    import gradfix
    found["gradfix"] = gradfix.__version__
    from gradfix.cluster.versions import here
    found = here()
except ImportError:
    pass
''', names), names["found"])[1])({})"""


@cache
def here() -> Mapping[str, str]:
    """What this process runs."""
    return {
        "Python": f"{sys.version_info[0]}.{sys.version_info[1]}",
        "gradfix": gradfix.__version__,
        "libcst": _version("libcst"),
        "black": _version("black"),
        "system": os.name,
        SOURCE: source_stamp(registry.entries()),
    }


def difference(theirs: Mapping[str, str], ours: Mapping[str, str]) -> str | None:
    """What is not the same, in words; None if nothing."""
    for what, own in ours.items():
        other = theirs.get(what)
        if other == own:
            continue
        if what == SOURCE:
            return "has another build of the same gradfix version; both sides need the same"
        there = f"has no {what}" if other is None else f"has {what} {other}"
        return f"{there}, this machine has {what} {own}; both sides need the same"
    return None


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:  # on the path without being installed
        return "of unknown version"
