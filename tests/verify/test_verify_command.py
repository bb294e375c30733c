"""The command: targets, exit codes, formats, cases, configuration, and its error messages."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import jsonschema
import pytest

GOOD = """\
import torch
from torch import nn

class Good(nn.Module):
    def __init__(self):
        super().__init__()
        self.w = nn.Parameter(torch.rand(3))
    def forward(self):
        return self.w * 2
"""
BAD = GOOD.replace("Good", "Bad").replace("self.w * 2", "torch.tensor([self.w[0], self.w[1]])")
ODD = """\
from torch import nn

class Odd(nn.Module):
    def __init__(self, words, width):
        super().__init__()
        if type(words) is not dict or set(words) != {"size"}:
            raise TypeError("unusable")
        self.lin = nn.Linear(words["size"], width)
    def forward(self, x):
        return self.lin(x)
"""
SCHEMA = {
    "type": "object",
    "required": ["version", "summary", "targets", "errors"],
    "properties": {
        "version": {"type": "string"},
        "summary": {
            "type": "object",
            "required": ["passed", "failed", "not_verified", "errors"],
            "additionalProperties": {"type": "integer"},
        },
        "targets": {"type": "array", "items": {"$ref": "#/$defs/target"}},
    },
    "$defs": {
        "target": {
            "type": "object",
            "required": ["target", "status", "reason", "driven_by", "parameters"],
            "properties": {
                "status": {"enum": ["passed", "failed", "not_verified"]},
                "reason": {"type": ["string", "null"]},
                "driven_by": {
                    "enum": ["case", "doc", "call-site", "inferred", "script", None],
                },
                "parameters": {"type": "array", "items": {"$ref": "#/$defs/parameter"}},
            },
        },
        "parameter": {
            "type": "object",
            "required": ["name", "shape", "trainable", "verdict", "confidence", "blame"],
            "properties": {
                "shape": {"type": "array", "items": {"type": "integer"}},
                "trainable": {"type": "boolean"},
                "verdict": {
                    "enum": (
                        "ok severed escaped zero nonfinite wrong unused discarded unregistered "
                        "inplace inconclusive"
                    ).split()
                },
                "confidence": {"enum": ["proven", "likely"]},
                "blame": {"type": "array", "items": {"$ref": "#/$defs/blame"}},
            },
        },
        "blame": {
            "type": "object",
            "required": ["filename", "row", "function", "kind", "message", "code"],
            "properties": {
                "row": {"type": "integer", "minimum": 1},
                "code": {"type": ["string", "null"], "pattern": "^GF[0-9]{3}$"},
            },
        },
    },
}


def gradfix(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "gradfix", "verify", *arguments],
        cwd=folder,
        check=False,
        capture_output=True,
        text=True,
    )


def document(done: subprocess.CompletedProcess[str]) -> dict[str, Any]:
    found = json.loads(done.stdout)
    jsonschema.validate(found, SCHEMA)
    assert isinstance(found, dict)
    return found


@pytest.fixture
def project(tmp_path: Path) -> Path:
    (tmp_path / "pyproject.toml").write_text("[project]\nname = 'x'\n")
    (tmp_path / "pkg").mkdir()
    (tmp_path / "pkg" / "__init__.py").write_text("")
    (tmp_path / "pkg" / "base.py").write_text(GOOD)
    (tmp_path / "pkg" / "bad.py").write_text(BAD)
    (tmp_path / "pkg" / "odd.py").write_text(ODD)
    (tmp_path / "pkg" / "child.py").write_text(
        "from .base import Good\n\nclass Child(Good):\n    pass\n\n"
        "def make():\n    return Child()\n\nclass NoModule(dict):\n    pass\n"
    )
    return tmp_path


def test_a_folder(project: Path) -> None:
    done = gradfix(project, "--output-format", "json", ".")
    found = document(done)
    assert done.returncode == 1
    assert found["summary"] == {"passed": 2, "failed": 1, "not_verified": 1, "errors": 0}
    by_name = {t["target"]: t for t in found["targets"]}
    assert set(by_name) == {
        "pkg/base.py:Good",
        "pkg/bad.py:Bad",
        "pkg/child.py:Child",
        "pkg/odd.py:Odd",
    }
    [w] = by_name["pkg/bad.py:Bad"]["parameters"]
    assert (w["name"], w["shape"], w["verdict"]) == ("w", [3], "severed")
    [blame] = w["blame"]
    assert blame == {
        "filename": "pkg/bad.py",
        "row": 9,
        "function": "Bad.forward",
        "kind": "torch.tensor",
        "message": "torch.tensor(...) copies values, not their gradients",
        "code": "GF301",
    }
    odd = by_name["pkg/odd.py:Odd"]
    assert "TypeError" in odd["reason"]
    assert odd["case"].startswith("def case_Odd():\n    from pkg.odd import Odd\n")


@pytest.mark.parametrize(
    ("target", "code", "names"),
    [
        ("pkg/base.py", 0, ["pkg/base.py:Good"]),
        ("pkg/bad.py:Bad", 1, ["pkg/bad.py:Bad"]),
        ("pkg.child", 0, ["pkg/child.py:Child"]),
        ("pkg.child:make", 0, ["pkg/child.py:make"]),
        ("pkg/odd.py:Odd", 3, ["pkg/odd.py:Odd"]),
        ("pkg/base.py:Missing", 3, ["pkg/base.py:Missing"]),
        ("pkg/__init__.py", 3, ["pkg/__init__.py"]),
    ],
)
def test_targets_and_exit_codes(project: Path, target: str, code: int, names: list[str]) -> None:
    done = gradfix(project, "--output-format", "json", target)
    assert [t["target"] for t in document(done)["targets"]] == names
    assert done.returncode == code, done.stdout + done.stderr


def test_unverified_can_be_allowed(project: Path) -> None:
    assert gradfix(project, "--allow-unverified", "pkg/odd.py").returncode == 0
    assert gradfix(project, "--allow-unverified", "pkg/odd.py", "pkg/bad.py").returncode == 1


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["missing.py"], "no such file, folder or module"),
        (["pkg/base.py:not a name"], "is not the name of a class"),
        (["pkg:Good"], "a folder has no class"),
        (["pyproject.toml"], "not a Python file"),
        (["--timeout", "0", "pkg/base.py"], "--timeout"),
        (["--cases", "missing.py", "pkg/base.py"], "--cases"),
    ],
)
def test_wrong_use(project: Path, arguments: list[str], said: str) -> None:
    done = gradfix(project, *arguments)
    assert (done.returncode, done.stdout) == (2, "")
    assert said in done.stderr


def test_what_cannot_be_parsed_is_an_error_and_the_rest_goes_on(project: Path) -> None:
    (project / "pkg" / "broken.py").write_text("class A(:\n")
    done = gradfix(project, "--output-format", "json", "pkg/broken.py", "pkg/bad.py")
    found = document(done)
    assert done.returncode == 2
    assert found["errors"] == [
        {"filename": "pkg/broken.py", "row": 1, "message": "cannot be parsed: invalid syntax"}
    ]
    assert found["summary"]["failed"] == 1


def test_people_see_the_line_and_the_case(project: Path) -> None:
    done = gradfix(project, "pkg/bad.py", "pkg/odd.py")
    assert "pkg/bad.py:Bad: failed" in done.stdout
    assert "pkg/bad.py:9 in Bad.forward: torch.tensor(...)" in done.stdout
    assert "9 | return torch.tensor([self.w[0], self.w[1]])" in done.stdout
    assert "[GF301]" in done.stdout
    assert "def case_Odd():" in done.stdout
    assert done.stderr == "0 passed, 1 failed, 1 not verified.\n"
    assert gradfix(project, "-q", "pkg/base.py").stderr == ""


def test_concise_and_output_file(project: Path) -> None:
    done = gradfix(
        project, "--output-format", "concise", "-o", "out.txt", "pkg/bad.py", "pkg/base.py"
    )
    assert done.stdout == ""
    assert (project / "out.txt").read_text() == (
        "pkg/bad.py:9: pkg/bad.py:Bad: w: severed: "
        "torch.tensor(...) copies values, not their gradients\n"
    )


# -- cases -------------------------------------------------------------------------------------

CASE = """\
import torch
from pkg.odd import Odd

def case_Odd():
    return Odd({"size": 3}, 2), torch.randn(4, 3)

def case_Odd__with_keywords():
    return Odd({"size": 5}, 1), (), {"x": torch.randn(2, 5)}

def case_Odd__loss():
    return Odd({"size": 2}, 2), lambda m: m(torch.ones(1, 2)).pow(2).sum()
"""


def test_cases_beside_the_code(project: Path) -> None:
    (project / "gradfix_cases.py").write_text(CASE)
    found = document(gradfix(project, "--output-format", "json", "pkg/odd.py"))
    [odd] = found["targets"]
    assert (odd["status"], odd["driven_by"]) == ("passed", "case")
    assert odd["call"] == "case_Odd(); case_Odd__with_keywords(); case_Odd__loss()"


def test_cases_from_a_file_elsewhere(project: Path, tmp_path: Path) -> None:
    (project / "mine.py").write_text(CASE)
    assert gradfix(project, "--cases", "mine.py", "pkg/odd.py").returncode == 0


@pytest.mark.parametrize("key", ["pkg/odd.py:Odd", "Odd", "*/odd.py:Odd"])
def test_a_case_in_the_configuration(project: Path, key: str) -> None:
    (project / "pyproject.toml").write_text(
        f'[tool.gradfix.verify]\ncases."{key}" = {{init = "Odd(dict(size=3), 2)", '
        'inputs = ["torch.randn(4, 3)"]}\n'
    )
    done = gradfix(project, "--output-format", "json", "pkg/odd.py")
    [odd] = document(done)["targets"]
    assert (done.returncode, odd["driven_by"]) == (0, "case")
    assert odd["call"] == "Odd(dict(size=3), 2)(torch.randn(4, 3))"
    assert gradfix(project, "--isolated", "pkg/odd.py").returncode == 3


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("def case_Odd():\n    return 5\n", "must return a module"),
        ("def case_Odd():\n    raise OSError('no data here')\n", "OSError: no data here"),
        ("import nothing_of_that_name\n", "gradfix_cases.py cannot be imported"),
    ],
)
def test_a_broken_case_is_said_and_nothing_stands_in_for_it(
    project: Path, text: str, said: str
) -> None:
    (project / "gradfix_cases.py").write_text(text)
    done = gradfix(project, "pkg/odd.py")
    assert done.returncode == 3
    assert said in done.stdout


def test_init_writes_cases_for_what_could_not_be_run(project: Path) -> None:
    (project / "pkg" / "gone.py").write_text(
        ODD.replace("    def __init__", "    x = 1 / 0\n    def __init__")
    )
    done = gradfix(project, "--init", ".")
    assert done.returncode == 0, done.stderr
    assert "wrote gradfix_cases.py: 1 case to fill in (Odd)" in done.stderr
    assert "no case helps: pkg/gone.py:Odd: cannot be imported: " in done.stderr
    path = project / "gradfix_cases.py"
    text = path.read_text()
    compile(text, "gradfix_cases.py", "exec")
    assert re.search(r"# Odd \(pkg/odd.py\): Odd\(.*\) raises TypeError: ", text)
    assert "Good" not in text and "Bad" not in text
    # It is all comments: nothing changes until somebody fills it in.
    assert gradfix(project, "pkg/base.py", "pkg/odd.py").returncode == 3
    case = re.search(r"# (def case_Odd\(\):\n(#.*\n)+)", text)
    assert case is not None
    filled = re.sub(r"^# ?", "", case[1], flags=re.MULTILINE)
    filled = re.sub(r"return .*", "return Odd({'size': 3}, 2), torch.rand(4, 3)", filled)
    path.write_text(text.replace(case[0], filled))
    assert gradfix(project, "pkg/odd.py").returncode == 0


def test_init_adds_to_what_exists_and_overwrites_nothing(project: Path) -> None:
    path = project / "gradfix_cases.py"
    mine = "def case_Odd__mine():\n    raise ValueError"  # no newline at the end
    path.write_text(mine)
    done = gradfix(project, "--init", "pkg/odd.py")
    assert "gradfix_cases.py has a case for each of them already; nothing" in done.stderr
    assert path.read_text() == mine
    (project / "pkg" / "more.py").write_text(ODD.replace("Odd", "More"))
    done = gradfix(project, "--init", "pkg")
    assert "added to gradfix_cases.py: 1 case to fill in (More)" in done.stderr
    text = path.read_text()
    assert text.startswith(mine + "\n\nimport torch\n\n\n# More (pkg/more.py): ")
    compile(text, "gradfix_cases.py", "exec")
    assert not (project / "pkg" / "gradfix_cases.py").exists()


def test_init_has_nothing_to_write_where_everything_runs(project: Path) -> None:
    done = gradfix(project, "--init", "pkg/base.py", "pkg/bad.py")
    assert done.stderr == "everything could be run: no cases are needed\n"
    assert [*project.rglob("gradfix_cases.py")] == []


def test_init_reports_what_cannot_be_read(project: Path) -> None:
    (project / "pkg" / "broken.py").write_text("class A(:\n")
    done = gradfix(project, "--init", "pkg")
    assert done.returncode == 2
    assert "pkg/broken.py:1: error: cannot be parsed" in done.stderr
    assert "wrote pkg/gradfix_cases.py: 1 case to fill in (Odd)" in done.stderr


def test_init_without_torch_goes_by_the_signatures(project: Path) -> None:
    hidden = (
        "import importlib.util, sys\nfrom gradfix.cli import run\n"
        "find = importlib.util.find_spec\n"
        "importlib.util.find_spec = lambda name: None if name == 'torch' else find(name)\n"
        "sys.exit(run(['verify', '--init', 'pkg/odd.py']))"
    )
    done = subprocess.run([sys.executable, "-c", hidden], cwd=project, check=True)
    assert done.returncode == 0
    text = (project / "pkg" / "gradfix_cases.py").read_text()
    compile(text, "gradfix_cases.py", "exec")
    assert "#     return Odd(words=..., width=...), (\n#         torch.randn(...),  # x\n" in text


def test_limits_come_from_the_configuration_under_the_flags(project: Path) -> None:
    (project / "slow.py").write_text(GOOD + "\nimport time\ntime.sleep(60)\n")
    (project / "pyproject.toml").write_text("[tool.gradfix.verify]\ntimeout = 3\n")
    done = gradfix(project, "slow.py")
    assert done.returncode == 0, done.stdout  # its definitions alone can be verified
    (project / "pyproject.toml").write_text("[tool.gradfix.verify]\nmemory = 100\n")
    done = gradfix(project, "pkg/base.py")
    assert done.returncode == 2
    assert "did not start" in done.stderr
    assert gradfix(project, "--memory", "8000", "pkg/base.py").returncode == 0


def test_the_parent_never_imports_torch(project: Path) -> None:
    probe = (
        "import sys\nfrom gradfix.cli import run\ncode = run(sys.argv[1:])\n"
        "assert 'torch' not in sys.modules and 'pkg' not in sys.modules\nsys.exit(code)"
    )
    done = subprocess.run(
        [sys.executable, "-c", probe, "verify", "pkg/base.py"],
        cwd=project,
        check=False,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
