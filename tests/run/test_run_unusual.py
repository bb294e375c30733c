"""Unusual ways to train and to end, which are right: nobody is blamed, nothing is changed."""

from __future__ import annotations

import pytest
from run_helpers import Server, python

RIGHT = ["shared", "tied", "subset", "frozen", "rank", "hooks", "targets", "attack"]


@pytest.mark.parametrize("how", RIGHT)
def test_nobody_is_blamed(server: Server, how: str) -> None:
    plain = server.plain("unusual.py", how)
    done, targets = server.verdicts("unusual.py", how)
    assert (plain.code, done.code) == (0, 0), done.err
    assert plain.out and done.out == plain.out
    verdicts = {
        p["verdict"]: name
        for target in targets.values()
        for name, p in target["parameters"].items()
    }
    assert set(verdicts) == {"ok"}


def test_a_group_of_one_process() -> None:
    plain, done = python("unusual.py", "distributed"), None
    done = python("-m", "gradfix", "run", "unusual.py", "distributed")
    assert (plain.code, done.code) == (0, 0), done.err
    assert done.out == plain.out
    assert "unusual.py:Linear: passed" in done.err


def test_an_evaluation_keeps_its_exit_code(server: Server) -> None:
    plain, done = server.plain("unusual.py", "evaluation"), None
    done, targets = server.verdicts("unusual.py", "evaluation")
    assert plain.code == done.code == 5
    assert done.out == plain.out
    assert targets["unusual.py"]["reason"] == "it never trained: no backward ran in this process"


def test_help_is_the_programs_own() -> None:
    plain = python("unusual.py", "--help")
    done = python("-m", "gradfix", "run", "-q", "unusual.py", "--help")
    assert plain.code == done.code - 3 == 0  # it never trained, which is not "passed"
    assert done.out == plain.out
    assert done.out.startswith("usage: unusual.py")


def test_a_traceback_looks_like_pythons_own() -> None:
    plain = python("unusual.py", "error")
    done = python("-m", "gradfix", "run", "-q", "unusual.py", "error")
    assert plain.code == done.code == 1
    assert done.err.startswith(plain.err)
    assert "unusual.py:Linear: passed" in done.err[len(plain.err) :]
