"""Generates ``docs/rules`` from the manuals of the rules: one page per rule, and an index.

Run ``python -m tools.generate_rule_docs`` after a change of a codemod's docstring; ``--check`` only
compares. The rules are those that `gradfix.rules` finds; there is no list to edit.
"""

from __future__ import annotations

import argparse
import re
import sys
from pathlib import Path

from gradfix.rules import Rule, rules

TARGET = Path(__file__).resolve().parents[1] / "docs" / "rules"
COMMAND = "python -m tools.generate_rule_docs"
_HEADING = re.compile(r"(?m)^(\S.*)\n-{3,}$")
_CODE = re.compile(r"(```.*?```)", re.DOTALL)
_SAFETIES = ("safe", "unsafe", "manual")


def main(arguments: list[str]) -> int:
    """Write the pages, or with ``--check`` say which differ; 1 if some do."""
    parser = argparse.ArgumentParser(prog=COMMAND, description=__doc__.partition("\n")[0])
    parser.add_argument("--check", action="store_true", help="compare and write nothing")
    check = parser.parse_args(arguments).check
    found = stale(TARGET, pages())
    for name in found:
        print(f"{name}: {'differs from the docstrings' if check else 'written'}")
    if not check:
        write(TARGET, pages())
    return 1 if check and found else 0


def pages() -> dict[str, str]:
    """The text of every page by its file name."""
    found = {f"{rule.code}.md": page(rule) for rule in rules()}
    return {**found, "README.md": index()}


def stale(folder: Path, wanted: dict[str, str]) -> list[str]:
    """The names of pages that are missing, out of date, or belong to no rule any more."""
    there = {path.name: path.read_text(encoding="utf-8") for path in folder.glob("*.md")}
    return sorted(
        name for name in wanted.keys() | there.keys() if wanted.get(name) != there.get(name)
    )


def write(folder: Path, wanted: dict[str, str]) -> None:
    """Make the folder hold exactly the wanted pages."""
    folder.mkdir(parents=True, exist_ok=True)
    for path in folder.glob("*.md"):
        if path.name not in wanted:
            path.unlink()
    for name, text in wanted.items():
        (folder / name).write_text(text, encoding="utf-8", newline="\n")


def page(rule: Rule) -> str:
    """One rule's page: its manual as Markdown, and how to silence it."""
    body, references = _split(_markdown(rule.manual.rstrip()), "## References\n")
    silence = (
        "## How to silence it\n\n"
        "On any line of the statement, for the whole file, or in the configuration:\n\n"
        f"```text\n# gradfix: ignore[{rule.code}]\n# noqa: {rule.code}\n"
        f"# gradfix: file-ignore[{rule.code}]\n```\n\n```toml\n[tool.gradfix]\n"
        f'ignore = ["{rule.code}"]\n```\n'
    )
    parts = [f"# {rule.code} {rule.name}", body.strip(), silence.strip(), references.strip()]
    return "\n\n".join(part for part in parts if part) + "\n"


def index() -> str:
    """The table of all rules."""
    rows = [
        f"| [{rule.code}]({rule.code}.md) | {rule.name} | {_markdown(rule.summary)} "
        f"| {', '.join(safeties(rule)) or '-'} |"
        for rule in rules()
    ]
    head = (
        "# Rules\n\n"
        f"Generated from the codemods' docstrings by `{COMMAND}`; change those and run it again.\n"
        "What *safe*, *unsafe* and *manual* mean: [architecture](../architecture.md#safety).\n\n"
        "| code | name | in short | fixes |\n| --- | --- | --- | --- |\n"
    )
    return head + "\n".join(rows) + "\n"


def safeties(rule: Rule) -> list[str]:
    """The safeties that the manual's section on them speaks of."""
    section = _split(rule.manual, "Fix safety\n")[1].partition("\nReferences\n")[0].lower()
    return [word for word in _SAFETIES if re.search(rf"\b{word}\b", section)]


def _markdown(text: str) -> str:
    """A manual with Markdown's headings and code quotes; code blocks stay as they are."""
    text = _HEADING.sub(r"## \1\n", text)
    parts = _CODE.split(text)
    plain = [re.sub(r"``(.+?)``", r"`\1`", part) for part in parts[::2]]
    parts[::2] = plain
    return re.sub(r"\n{3,}(?=## )", "\n\n", re.sub(r"(## .*\n)\n+", r"\1\n", "".join(parts)))


def _split(text: str, heading: str) -> tuple[str, str]:
    before, found, after = text.partition(heading)
    return before, found + after


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
