"""A program sees what it would see under `python`: arguments, names, streams, exit codes."""

from __future__ import annotations

import json
import signal
from pathlib import Path

import jsonschema
import pytest
from run_helpers import PROGRAMS, Done, Server, python, row_of

from gradfix.verify.results import VERDICTS

PARAMETER = {
    "type": "object",
    "required": ["name", "shape", "trainable", "verdict", "confidence", "blame"],
    "properties": {
        "name": {"type": "string"},
        "shape": {"type": "array", "items": {"type": "integer"}},
        "trainable": {"type": "boolean"},
        "verdict": {"enum": sorted(VERDICTS)},
        "confidence": {"enum": ["proven", "likely"]},
        "blame": {
            "type": "array",
            "items": {
                "type": "object",
                "required": ["filename", "row", "function", "kind", "message", "code"],
                "properties": {"row": {"type": "integer", "minimum": 1}},
            },
        },
    },
}
TARGET = {
    "type": "object",
    "required": ["target", "status", "reason", "driven_by", "parameters"],
    "properties": {
        "status": {"enum": ["passed", "failed", "not_verified"]},
        "driven_by": {"const": "script"},
        "parameters": {"type": "array", "items": PARAMETER},
    },
}
SCHEMA = {
    "type": "object",
    "required": ["version", "summary", "targets"],
    "properties": {
        "summary": {
            "type": "object",
            "required": ["passed", "failed", "not_verified", "errors"],
        },
        "targets": {"type": "array", "items": TARGET, "minItems": 1},
    },
}


def gradfix(*arguments: str, cwd: Path = PROGRAMS) -> Done:
    return python("-m", "gradfix", "run", *arguments, cwd=cwd)


# -- endings -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("how", "code"),
    [
        ("trained", 0),
        ("trained-exit", 3),
        ("trained-message", 1),
        ("trained-raise", 1),
        ("fork", 0),
        ("exit", 3),
        ("raise", 1),
        ("hook", 1),
    ],
)
def test_the_exit_code_is_the_programs_own(server: Server, how: str, code: int) -> None:
    if how == "fork":  # the child ends like the parent, and does not report
        options = ("--allow-unverified", "endings.py", how)
        plain, done = python("endings.py", how), gradfix(*options)
        assert done.err.count("1 not verified") == 1
    else:
        plain, done = server.plain("endings.py", how), server.watched("endings.py", how)
        assert "1 passed" in done.err or "1 not verified" in done.err
    assert plain.code == done.code == code
    if how != "hook":
        assert done.out.splitlines()[2:] == plain.out.splitlines()[2:]


def test_names_and_arguments_are_those_of_python() -> None:
    arguments = ("endings.py", "exit", "--steps", "7", "-m", "x", "-q")
    plain, done = python(*arguments), gradfix("-q", *arguments)
    assert (done.code, done.out) == (plain.code, plain.out)
    assert done.err == "endings.py: not verified\n    it never imported torch in this process\n"


@pytest.mark.parametrize("arguments", [("-m", "package", "--steps", "x"), ("package/part.py",)])
def test_a_package_is_run_as_python_does(arguments: tuple[str, ...]) -> None:
    plain, done = python(*arguments), gradfix("--allow-unverified", *arguments)
    assert (done.code, done.out) == (plain.code, plain.out)


def test_a_folder_with_a_main_is_run_as_python_does(tmp_path: Path) -> None:
    (tmp_path / "__main__.py").write_text(
        "import sys, other\nprint(__name__, repr(__package__), sys.argv, sys.path[0], other.X)\n"
    )
    (tmp_path / "other.py").write_text("X = 1\n")
    plain, done = python(str(tmp_path), "a"), gradfix(str(tmp_path), "a")
    assert done.out == plain.out != ""


def test_a_traceback_shows_the_users_frames_only() -> None:
    plain, done = python("endings.py", "raise"), gradfix("endings.py", "raise")
    assert done.err.startswith(plain.err)
    plain, done = python("whole.py"), gradfix("whole.py")
    assert plain.err in done.err  # also through torch, where the tracer stood between


def test_an_interrupted_program_reports_and_dies_of_it() -> None:
    plain, done = python("endings.py", "interrupt"), gradfix("endings.py", "interrupt")
    assert plain.code == done.code == -signal.SIGINT
    assert plain.out == done.out
    assert "KeyboardInterrupt" in done.err and "1 not verified" in done.err


def test_standard_input_is_the_programs() -> None:
    done = python("-m", "gradfix", "run", "endings.py", "stdin", input="hello\n")
    assert done.out.endswith("HELLO\n\n")


def test_a_program_may_close_its_streams() -> None:
    done = gradfix("endings.py", "closed")
    assert done.code == 0
    assert "1 passed" in done.err


def test_the_exception_hook_of_the_program_is_asked(server: Server) -> None:
    assert "hooked KeyError" in server.watched("endings.py", "hook").out


# -- what cannot be run --------------------------------------------------------------------------


def test_a_missing_script() -> None:
    done = gradfix("no_such.py")
    assert (done.code, done.out) == (2, "")
    assert done.err == "error: no_such.py: No such file or directory\n"


def test_a_script_that_is_no_python(tmp_path: Path) -> None:
    (tmp_path / "bad.py").write_text("x = 1\ny = = 2\n")
    done = gradfix("bad.py", cwd=tmp_path)
    assert (done.code, done.err) == (2, "error: bad.py:2: invalid syntax\n")


def test_a_missing_module() -> None:
    done = gradfix("-m", "no_such_module")
    assert (done.code, done.err) == (
        2,
        "error: no module named 'no_such_module' that can be run\n",
    )


def test_a_report_that_cannot_be_written_is_told_before_anything_runs(tmp_path: Path) -> None:
    done = gradfix("-o", str(tmp_path / "missing" / "report"), "endings.py", "trained")
    assert (done.code, done.out) == (2, "")
    assert done.err.endswith("report: its folder cannot be written to\n")


def test_no_script() -> None:
    assert gradfix().code == 2


# -- not verified is not passed ------------------------------------------------------------------


def test_a_program_that_never_trains(server: Server) -> None:
    done = server.watched("endings.py", "untrained")
    assert done.code == 3
    assert "endings.py: not verified\n    it never trained: no backward ran" in done.err
    allowed = server.watched("--allow-unverified", "endings.py", "untrained")
    assert allowed.code == 0
    assert "not verified" in allowed.err


def test_a_program_without_torch() -> None:
    done = gradfix("endings.py", "nothing")
    assert done.code == 3
    assert "it never imported torch" in done.err


# -- machine formats -----------------------------------------------------------------------------


@pytest.mark.parametrize("arguments", [("plain_sgd.py", "severed"), ("endings.py", "untrained")])
def test_json_comes_last_on_standard_output(server: Server, arguments: tuple[str, ...]) -> None:
    done = server.watched("--output-format", "json", *arguments)
    said, brace, report = done.out.partition("\n{")
    assert said.splitlines()[-1] == server.plain(*arguments).out.splitlines()[-1]
    jsonschema.validate(json.loads(brace + report), SCHEMA)


def test_json_in_a_file(server: Server, tmp_path: Path) -> None:
    path = tmp_path / "report.json"
    plain = server.plain("plain_sgd.py", "severed")
    options = ("-q", "--output-format", "json", "--output-file", str(path))
    done = server.watched(*options, "plain_sgd.py", "severed")
    assert (done.code, done.out) == (1, plain.out)
    report = json.loads(path.read_text())
    jsonschema.validate(report, SCHEMA)
    assert report["summary"] == {"passed": 0, "failed": 1, "not_verified": 0, "errors": 0}


def test_concise(server: Server) -> None:
    done = server.watched("-q", "--output-format", "concise", "plain_sgd.py", "severed")
    row = row_of("plain_sgd.py", "the cut")
    assert f"plain_sgd.py:{row}: plain_sgd.py:Net: a: severed: torch.tensor(...)" in done.err


# -- tests under the tracer ------------------------------------------------------------------------


def suite(name: str, *options: str) -> Done:
    pytest_options = (
        "-m",
        "pytest",
        "-q",
        "-p",
        "no:cacheprovider",
        "--rootdir=.",
        f"suite/{name}",
    )
    return gradfix(*options, *pytest_options)


def test_good_tests_pass() -> None:
    """One expects backward to raise, and one uses a part of the model: neither is a fault."""
    done = suite("check_good.py")
    assert done.code == 0, done.out + done.err
    assert "....  " in done.out
    assert "net.py:Good: passed" in done.err


def test_a_severed_parameter_fails_green_tests() -> None:
    done = suite("check_bad.py", "--output-format", "concise", "-q")
    assert done.code == 1
    assert "..  " in done.out
    row = row_of("net.py", "the cut")
    assert f"net.py:{row}: net.py:Bad: scale: severed: torch.tensor(...)" in done.err


def test_red_tests_keep_their_exit_code_and_name_the_lines() -> None:
    done = suite("check_red.py")
    assert done.code == 1
    assert "suite/check_red.py:7 in test_an_overwritten_value: overwrites" in done.out
    assert "net.py:Good: passed" in done.err
