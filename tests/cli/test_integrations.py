"""The pre-commit hooks and the GitHub action call gradfix as it is."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
import pytest
import yaml

from gradfix import cli

from .conftest import FAULTY, MENDED, Result, put

ROOT = Path(__file__).resolve().parent.parent.parent
HOOKS: list[dict[str, Any]] = yaml.safe_load((ROOT / ".pre-commit-hooks.yaml").read_text())
ACTION: dict[str, Any] = yaml.safe_load((ROOT / "action.yml").read_text())
Gradfix = Callable[..., Result]


def flags_of(command: str) -> set[str]:
    """All flags that a command of gradfix knows."""
    with click.Context(cli.main) as context:
        found = cli.main.get_command(context, command)
    assert found is not None
    return {flag for option in found.params for flag in (*option.opts, *option.secondary_opts)}


def unknown_flags(line: str) -> list[str]:
    """What a command line of gradfix asks for that there is not."""
    program, command, *rest = shlex.split(line)
    assert program == "gradfix"
    known = flags_of(command)
    return [word for word in rest if word.startswith("--") and word != "--" and word not in known]


# -- pre-commit -----------------------------------------------------------------------------------


def test_there_are_three_hooks() -> None:
    assert [hook["id"] for hook in HOOKS] == ["gradfix-check", "gradfix-apply", "gradfix-verify"]
    for hook in HOOKS:
        assert {"id", "name", "entry", "language", "description"} <= set(hook)
        assert hook["require_serial"] is True  # one process sees all files, and what they import


def test_only_verify_needs_the_users_environment() -> None:
    assert {hook["id"]: hook["language"] for hook in HOOKS} == {
        "gradfix-check": "python",
        "gradfix-apply": "python",
        "gradfix-verify": "system",
    }


@pytest.mark.parametrize("hook", HOOKS, ids=lambda hook: hook["id"])
def test_hooks_call_what_there_is(hook: dict[str, Any]) -> None:
    assert unknown_flags(shlex.join([*shlex.split(hook["entry"]), *hook.get("args", [])])) == []
    assert unknown_flags("gradfix check --no-such-flag") == ["--no-such-flag"]


def entry(name: str) -> list[str]:
    (hook,) = (hook for hook in HOOKS if hook["id"] == name)
    return shlex.split(hook["entry"])[1:]


def test_the_check_hook_fails_for_findings_and_obeys_exclusions(
    project: Path, gradfix: Gradfix
) -> None:
    put(project, m=FAULTY, n=MENDED)
    assert gradfix(*entry("gradfix-check"), "m.py", "n.py").code == 1
    assert gradfix(*entry("gradfix-check"), "n.py").code == 0
    (project / "gradfix.toml").write_text('extend-exclude = ["m.py"]\n')
    assert gradfix(*entry("gradfix-check"), "m.py", "n.py").code == 0


def test_the_apply_hook_rewrites(project: Path, gradfix: Gradfix) -> None:
    put(project, m=FAULTY)
    assert gradfix(*entry("gradfix-apply"), "m.py").code == 0
    assert (project / "m.py").read_text() == MENDED


def test_the_readme_shows_flags_that_there_are() -> None:
    blocks = re.findall(r"```console\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)
    lines = [line.partition("#")[0] for block in blocks for line in block.splitlines()]
    # What follows the script of `gradfix run` is the script's.
    shown = [line for line in lines if re.match("gradfix (?!run )", line)]
    assert len(shown) > 8
    assert [unknown_flags(line) for line in shown if unknown_flags(line)] == []


# -- the GitHub action ----------------------------------------------------------------------------


def check_step() -> dict[str, Any]:
    (step,) = (step for step in ACTION["runs"]["steps"] if step.get("id") == "check")
    return step


def test_the_action_is_composite_and_its_inputs_are_used() -> None:
    assert ACTION["runs"]["using"] == "composite"
    assert all(step["shell"] == "bash" for step in ACTION["runs"]["steps"])
    text = (ROOT / "action.yml").read_text()
    assert set(re.findall(r"\$\{\{ inputs\.([a-z-]+) \}\}", text)) == set(ACTION["inputs"])
    assert ACTION["inputs"]["output-format"]["default"] in flags_values("--output-format")


def flags_values(flag: str) -> list[str]:
    with click.Context(cli.main) as context:
        command = cli.main.get_command(context, "check")
    assert command is not None
    (option,) = (option for option in command.params if flag in option.opts)
    assert isinstance(option.type, click.Choice)
    return list(option.type.choices)


def test_no_input_is_written_into_a_script() -> None:
    for step in ACTION["runs"]["steps"]:
        assert "${{" not in step["run"]


def run_action(project: Path, **inputs: str) -> tuple[subprocess.CompletedProcess[str], str]:
    """The step as GitHub runs it, with an environment that only holds this gradfix."""
    temp = project / ".runner"
    (temp / "gradfix" / "bin").mkdir(parents=True, exist_ok=True)
    program = temp / "gradfix" / "bin" / "gradfix"
    program.write_text(f'#!/bin/sh\nexec {shlex.quote(sys.executable)} -m gradfix "$@"\n')
    program.chmod(0o755)
    (temp / "gradfix" / "bin" / "activate").write_text(f"PATH={program.parent}:$PATH\n")
    outputs = temp / "outputs"
    outputs.write_text("")
    given = {name: spec["default"] for name, spec in ACTION["inputs"].items()} | inputs
    env = {**os.environ, "RUNNER_TEMP": str(temp), "GITHUB_OUTPUT": str(outputs)}
    for name, value in check_step()["env"].items():
        (wanted,) = re.findall(r"^\$\{\{ inputs\.([a-z-]+) \}\}$", value)
        env[name] = given[wanted]
    done = subprocess.run(
        ["bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", check_step()["run"]],
        cwd=project,
        env=env,
        capture_output=True,
        text=True,
        timeout=120,
    )
    return done, outputs.read_text()


needs_bash = pytest.mark.skipif(shutil.which("bash") is None, reason="needs bash")


@needs_bash
def test_the_action_annotates(project: Path) -> None:
    put(project, m=FAULTY)
    done, outputs = run_action(project)
    assert (done.returncode, outputs) == (1, "")
    assert done.stdout.startswith("::error title=gradfix (GF301),file=m.py,line=12,")


@needs_bash
def test_the_action_writes_sarif_and_passes_arguments_on(project: Path) -> None:
    put(project, m=FAULTY, n=FAULTY)
    done, outputs = run_action(
        project,
        **{"paths": "m.py\nn.py", "output-format": "sarif", "args": "--select GF1,GF3 --no-cache"},
    )
    assert (done.returncode, outputs) == (1, "report=gradfix.sarif\n")
    document = json.loads((project / "gradfix.sarif").read_text())
    assert len(document["runs"][0]["results"]) == 2
    assert not (project / ".gradfix_cache").exists()


@needs_bash
def test_an_input_is_no_code(project: Path) -> None:
    put(project, m=MENDED)
    done, _ = run_action(project, paths="$(touch hacked) ; touch hacked")
    assert done.returncode == 2
    assert not (project / "hacked").exists()
