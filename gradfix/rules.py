"""All rules, the codemods' and the engine's own, and how users name them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache

from gradfix import registry
from gradfix.errors import ConfigError

UNUSED_CODE = "GF900"
UNUSED_NAME = "unused-suppression"
_UNUSED_MANUAL = """\
A suppression comment suppresses nothing.

What it does
------------
Reports codes in `# gradfix: ignore[...]`, `# gradfix: file-ignore[...]` and `# noqa: GF...`
comments for which gradfix has nothing to say there. A bare `# noqa` is never reported, and neither
is a code that is not selected.

Why is this bad?
----------------
The comment was true once. Now it hides the next real fault on that line.

Example
-------
```python
import torch

scale = torch.ones(3)  # gradfix: ignore[GF101]
```

Use instead
-----------
```python
import torch

scale = torch.ones(3)
```

Fix safety
----------
Manual: remove the code or the comment by hand.
"""


@dataclass(frozen=True, slots=True)
class Rule:
    """What can be selected, ignored and explained."""

    code: str
    name: str

    @property
    def manual(self) -> str:
        """The manual page."""
        codemod = registry.codemod_for(self.code)
        return _UNUSED_MANUAL if codemod is None else codemod.manual()

    @property
    def summary(self) -> str:
        """The first line of the manual."""
        return self.manual.partition("\n")[0]

    @property
    def page(self) -> str:
        """Where the manual stands in gradfix's own source, to be read in a browser or linked to."""
        return f"docs/rules/{self.code}.md"


@cache
def rules() -> tuple[Rule, ...]:
    """Every rule, ordered by code."""
    found = [Rule(entry.code, entry.name) for entry in registry.entries()]
    found.append(Rule(UNUSED_CODE, UNUSED_NAME))
    return tuple(sorted(found, key=lambda rule: rule.code))


def matching(selector: str) -> frozenset[str]:
    """The codes a selector means: a code, a prefix of codes, a name, or ``ALL``; maybe none."""
    wanted = selector.strip().upper()
    if wanted == "ALL":
        return frozenset(rule.code for rule in rules())
    if wanted.startswith("GF"):
        return frozenset(rule.code for rule in rules() if rule.code.startswith(wanted))
    return frozenset(rule.code for rule in rules() if rule.name.upper() == wanted)


def resolve(selector: str, origin: str) -> frozenset[str]:
    """The codes a selector means. Raises ConfigError, naming ``origin``, where it means none."""
    codes = matching(selector)
    if not codes:
        known = [rule.code for rule in rules()] + [rule.name for rule in rules()] + ["ALL"]
        raise ConfigError(f"{origin}: unknown code {selector!r}{did_you_mean(selector, known)}")
    return codes


def selected(
    base: frozenset[str],
    select: Iterable[str] | None,
    ignore: Iterable[str],
    extend: Iterable[str],
    origin: str,
) -> frozenset[str]:
    """``base`` changed by one layer of configuration; ``select`` starts afresh.

    A more specific selector wins over a less specific one, and ``ignore`` over ``select`` where
    they are equally specific. Raises ConfigError for an unknown code.
    """
    codes = frozenset() if select is not None else base
    steps = [(_specificity(s), 0, s) for s in (*(select or ()), *extend)]
    steps += [(_specificity(s), 1, s) for s in ignore]
    for _, is_ignore, selector in sorted(steps):
        meant = resolve(selector, origin)
        codes = codes - meant if is_ignore else codes | meant
    return codes


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """``; did you mean 'x'?`` for the known word closest to ``word``, or nothing."""
    import difflib  # only mistakes need it

    by_folded = {name.casefold(): name for name in known}
    close = difflib.get_close_matches(word.casefold(), by_folded, n=1, cutoff=0.6)
    return f"; did you mean {by_folded[close[0]]!r}?" if close else ""


def _specificity(selector: str) -> int:
    wanted = selector.strip().upper()
    if wanted == "ALL":
        return 0
    return len(wanted) if wanted.startswith("GF") else len(UNUSED_CODE)
