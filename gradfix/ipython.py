"""``%load_ext gradfix``: check a cell where it is written, and verify the modules of a session.

The cells that were run so far, in that order, are the program; a cell's number is its ``In [n]``.
Nothing here imports IPython: it hands itself in.
"""

from __future__ import annotations

import ast
import os
import shlex
import subprocess
import sys
import tempfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, Protocol

import click

from gradfix.config import Finder
from gradfix.config_types import Overrides
from gradfix.errors import GradfixError
from gradfix.flow.nodes import walk
from gradfix.model import Outcome
from gradfix.notebook import Notebook
from gradfix.report import Run, diff, text

_CASES = "gradfix_cases.py"


class _History(Protocol):
    input_hist_raw: list[str]


class Shell(Protocol):
    """What is used of IPython's shell."""

    history_manager: _History

    def register_magic_function(
        self, func: Callable[..., Any], magic_kind: str, magic_name: str
    ) -> None:
        """Make a function a magic."""

    def run_cell(self, raw_cell: str) -> Any:
        """Run source text as a cell."""


def load(shell: Shell) -> None:
    """Register ``%%gradfix`` and ``%gradfix_verify``."""

    def cell_magic(line: str, cell: str) -> None:
        """Show what gradfix finds in the cell, and the rewrite as a diff; --help for options."""
        _run(_check, line, lambda options: _show(shell, line, cell, **options))

    def line_magic(line: str) -> None:
        """Run `gradfix verify` over the modules that were defined so far, or those named."""
        try:
            click.echo(_verify(_executed(shell), shlex.split(line)), nl=False)
        except (GradfixError, ValueError) as error:
            click.echo(f"error: {error}", err=True)

    shell.register_magic_function(cell_magic, "cell", "gradfix")
    shell.register_magic_function(line_magic, "line", "gradfix_verify")


@click.command("%%gradfix")
@click.option("--select", metavar="CODES", help="Rules to use, with commas.")
@click.option("--unsafe-fixes", is_flag=True, help="Also show fixes that are not proven right.")
@click.option("--run", is_flag=True, help="Run the cell as it is written, afterwards.")
def _check(**options: Any) -> dict[str, Any]:
    """Show what gradfix finds in the cell, and the rewrite as a diff. The cell is not run."""
    return options


def _run(command: click.Command, line: str, work: Callable[[dict[str, Any]], None]) -> None:
    try:
        options = command.main(shlex.split(line), command.name, standalone_mode=False)
        if isinstance(options, dict):  # not after --help
            work(options)
    except click.ClickException as error:
        error.show()
    except (GradfixError, ValueError) as error:
        click.echo(f"error: {error}", err=True)


# -- %%gradfix -------------------------------------------------------------------------------


def _show(
    shell: Shell, line: str, cell: str, select: str | None, unsafe_fixes: bool, run: bool
) -> None:
    sources = _executed(shell)
    number = len(shell.history_manager.input_hist_raw) - 1
    sources.append((number, f"%%gradfix {line}".rstrip() + "\n" + cell.removesuffix("\n")))
    codes = tuple(code.strip() for code in select.split(",")) if select else None
    finder = Finder(Overrides(select=codes, unsafe_fixes=unsafe_fixes or None))
    settings = finder.settings(Path.cwd())
    notebook = Notebook(sources)
    found = _only(number, notebook.check("notebook", settings))
    mended = notebook.fix("notebook", settings)
    for failure in found.failures:
        click.echo(text.failure_line(failure, text.Style()), err=True)
    click.echo(text.full(Run(outcomes=[found]), text.Style()), nl=False)
    click.echo(diff.of_outcome(_only(number, mended), b"", b"").decode(), nl=False)
    if not found.findings and not found.failures:
        click.echo("Nothing found in this cell.")
    if run:
        shell.run_cell(cell)


def _only(number: int, outcome: Outcome) -> Outcome:
    """What an outcome says about one cell; the texts of the others stay, for the notes."""
    return replace(
        outcome,
        findings=tuple(f for f in outcome.findings if f.cell == number),
        failures=tuple(f for f in outcome.failures if f.cell in (number, None)),
        cells=tuple(c if c.number == number else replace(c, before=c.text) for c in outcome.cells),
    )


def _executed(shell: Shell) -> list[tuple[int, str]]:
    """Number and source of the cells that were run before this one, in the order of running."""
    cells = list(enumerate(shell.history_manager.input_hist_raw))[1:-1]
    return [(number, source) for number, source in cells if _was_run(source)]


def _was_run(source: str) -> bool:
    first = source.lstrip().partition("\n")[0]
    return not first.startswith("%%gradfix") or "--run" in first.split()


# -- %gradfix_verify -------------------------------------------------------------------------


def _verify(cells: list[tuple[int, str]], words: list[str]) -> str:
    """What `gradfix verify` prints about the definitions of a session.

    Classes among ``words`` are verified, all if there is none; other words are passed on. Raises
    GradfixError where nothing is defined.
    """
    tree = ast.parse(Notebook(cells).text)
    body = [statement for statement in tree.body if _defines(statement)]
    classes = {statement.name for statement in body if isinstance(statement, ast.ClassDef)}
    if not classes:
        raise GradfixError("no class has been defined in this session")
    targets = [f"notebook.py:{word}" for word in words if word in classes] or ["notebook.py"]
    options = [word for word in words if word not in classes]
    if os.path.isfile(_CASES) and "--cases" not in options:
        options += ["--cases", os.path.abspath(_CASES)]
    with tempfile.TemporaryDirectory(prefix="gradfix-session-") as folder:
        path = Path(folder, "notebook.py")
        path.write_text(ast.unparse(ast.Module(body, [])) + "\n", encoding="utf-8")
        done = subprocess.run(
            [sys.executable, "-m", "gradfix", "verify", *targets, *options],
            cwd=folder,
            env={**os.environ, "PYTHONPATH": _import_path()},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            encoding="utf-8",
            errors="replace",
            check=False,
        )
    return done.stdout


def _defines(statement: ast.stmt) -> bool:
    """Whether a statement only gives a name a meaning, and runs nothing of the session again."""
    if isinstance(statement, (ast.Import, ast.ImportFrom, ast.FunctionDef, ast.ClassDef)):
        return True
    if isinstance(statement, (ast.Assign, ast.AnnAssign)) and statement.value is not None:
        return not any(isinstance(node, ast.Call) for node in walk(statement.value))
    return False


def _import_path() -> str:
    """Modules beside the notebook can be imported from there."""
    return os.pathsep.join(filter(None, [os.getcwd(), os.environ.get("PYTHONPATH", "")]))
