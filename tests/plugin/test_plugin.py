"""The pytest plugin, on suites of tests that are right and on tests that pass and should not."""

from __future__ import annotations

import re
import subprocess
import sys
from importlib.metadata import entry_points
from pathlib import Path

import pytest
import torch
from torch import nn

# Imported here also because what runs below must not be the first to do it.
from gradfix.verify.inprocess import Watch

pytest_plugins = ["pytester"]

SUITES = Path(__file__).resolve().parents[2] / "fixtures" / "plugin"
INSTALLED = any(e.name == "gradfix" for e in entry_points(group="pytest11"))
LOAD = () if INSTALLED else ("-p", "gradfix.pytest_plugin")
LOST = """\
import pytest
import torch
from torch import nn

class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.a = nn.Parameter(torch.tensor(0.5))
        self.b = nn.Parameter(torch.tensor(0.5))
    def forward(self, x):
        return torch.tensor([self.a]) * x + self.b

{mark}
def test_net():
    Net()(torch.rand(3)).sum().backward()
"""


def run(pytester: pytest.Pytester, *arguments: str, **files: str) -> pytest.RunResult:
    pytester.makepyfile(**files)
    return pytester.runpytest_inprocess(*LOAD, "-p", "no:cacheprovider", *arguments)


def run_apart(pytester: pytest.Pytester, *arguments: str, **files: str) -> pytest.RunResult:
    """In a process of its own: pytester forgets modules, and torch can import some only once."""
    pytester.makepyfile(**files)
    return pytester.runpytest_subprocess(*LOAD, "-p", "no:cacheprovider", *arguments)


def lost(mark: str = "") -> dict[str, str]:
    return {"test_lost": LOST.format(mark=mark)}


# -- what fails and what does not ------------------------------------------------------------------


def test_what_is_right_or_meant_passes(pytester: pytest.Pytester) -> None:
    text = (SUITES / "right.py").read_text()
    done = run_apart(pytester, "--gradfix", test_right=text)
    done.assert_outcomes(passed=len(re.findall(r"^def test_", text, re.MULTILINE)))
    assert "not watched to the end" not in done.stdout.str()


def test_what_loses_gradients_fails_with_the_line_to_blame(pytester: pytest.Pytester) -> None:
    text = (SUITES / "wrong.py").read_text()
    done = run_apart(pytester, "--gradfix", test_wrong=text)
    tests = re.findall(r"^def (test_\w+)", text, re.MULTILINE)
    done.assert_outcomes(failed=len(tests))
    said = done.stdout.str()
    for row, line in enumerate(text.splitlines(), 1):
        expected = re.search(r"# ([\w., ]+): (GF\d+)$", line)
        if expected is None:
            continue
        for name in expected[1].split(", "):
            shown = re.escape(line.strip())
            pattern = rf"\b{name} \[.*\n +test_wrong.py:{row} in .* \[{expected[2]}\]\n +{row} \| "
            assert re.search(pattern + shown, said), (name, line)
    assert len(re.findall(r"^no right gradient for ", said, re.MULTILINE)) == len(tests)


def test_a_failing_test_keeps_its_own_error_and_is_explained(pytester: pytest.Pytester) -> None:
    text = LOST.format(mark="").replace(" + self.b", "")
    # torch warns once per process, on behalf of the line that calls it: ours, while it is traced.
    done = run(pytester, "--gradfix", "--disable-warnings", test_lost=text)
    done.assert_outcomes(failed=1)
    said = done.stdout.str()
    assert "element 0 of tensors does not require grad" in said
    assert "Captured gradfix call" in said
    assert re.search(r"a \[scalar\] severed: no gradient arrives\n +test_lost.py:11 in Net", said)
    assert "gradfix/verify" not in said  # our own frames are left out


CASE = """\
import unittest

class Test(unittest.TestCase):
    def test_net(self):
        Net()(torch.rand(3)).sum().backward()

    def test_error(self):
        Net()(torch.rand(3)).sum().backward()
        self.assertEqual(1, 2)
"""


def test_unittest_classes_are_watched_too(pytester: pytest.Pytester) -> None:
    text = LOST.format(mark="").partition("\ndef test_net")[0]
    done = run(pytester, "--gradfix", test_lost=f"{text}\n{CASE}")
    done.assert_outcomes(failed=2)
    assert "AssertionError: 1 != 2" in done.stdout.str()
    assert "no right gradient for 1 Parameter of Net" in done.stdout.str()


def train(steps: int) -> list[torch.Tensor]:
    """Weights after some training that draws random numbers."""
    torch.manual_seed(3)
    model = nn.Sequential(nn.Linear(4, 8), nn.Dropout(), nn.Tanh(), nn.Linear(8, 2))
    optimizer = torch.optim.Adam(model.parameters(), 0.1)
    for _ in range(steps):
        optimizer.zero_grad()
        model(torch.randn(5, 4)).pow(2).sum().backward()
        optimizer.step()
    return [p.detach().clone() for p in model.parameters()]


def test_watching_changes_no_bit() -> None:
    plain = train(4)
    watch = Watch(str(Path(__file__).parent))
    with watch.active():
        watched = train(4)
    assert all(torch.equal(a, b) for a, b in zip(plain, watched, strict=True))
    assert len(list(watch.trained())) == 4
    assert watch.findings() == []
    hooks = torch.nn.modules.module
    assert not hooks._global_forward_hooks and not hooks._global_forward_pre_hooks
    assert torch.autograd.backward.__module__ == "torch.autograd"


# -- how it is asked for ------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "ini", "mark", "fails"),
    [
        ((), "", "", False),
        (("--gradfix",), "", "", True),
        ((), "gradfix = true", "", True),
        ((), "", "@pytest.mark.gradfix", True),
        (("--strict-markers",), "", "@pytest.mark.gradfix", True),
        (("--gradfix",), "", "@pytest.mark.gradfix(False)", False),
        (("--gradfix",), "", "@pytest.mark.gradfix(enabled=False)", False),
        (("--gradfix",), "", "@pytest.mark.gradfix(ignore=['a'])", False),
        (("--gradfix",), "", "@pytest.mark.gradfix(ignore='b')", True),
        (("--gradfix",), "gradfix_ignore =\n    Net.*", "", False),
        (("--gradfix",), "gradfix_ignore =\n    Other.*", "", True),
    ],
)
def test_asking(
    arguments: tuple[str, ...], ini: str, mark: str, fails: bool, pytester: pytest.Pytester
) -> None:
    pytester.makeini(f"[pytest]\n{ini}\n")
    run(pytester, *arguments, **lost(mark)).assert_outcomes(failed=fails, passed=not fails)


def test_a_misspelt_marker_is_an_error(pytester: pytest.Pytester) -> None:
    done = run(pytester, **lost("@pytest.mark.gradfix(ignored=['a'])"))
    done.assert_outcomes(failed=1)
    assert "wrong use of the marker gradfix(enabled=True, ignore=())" in done.stdout.str()


# -- remarks ------------------------------------------------------------

UNUSED = """\
import torch
from torch import nn

class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.a = nn.Linear(3, 3)
        self.b = nn.Linear(3, 3)
    def forward(self, x, deep):
        return self.b(self.a(x)) if deep else self.a(x)

def test_flat():
    Net()(torch.rand(3), False).sum().backward()
"""
DEEP = "\ndef test_deep():\n    Net()(torch.rand(3), True).sum().backward()\n"


def test_what_no_test_trains_is_listed(pytester: pytest.Pytester) -> None:
    done = run(pytester, "--gradfix", test_it=UNUSED)
    done.assert_outcomes(passed=1)
    done.stdout.fnmatch_lines(
        ["*gradfix: no test gives these Parameters a gradient*", "Net.b.weight: unused: *"]
    )


def test_what_some_test_trains_is_not(pytester: pytest.Pytester) -> None:
    done = run(pytester, "--gradfix", test_it=UNUSED + DEEP)
    done.assert_outcomes(passed=2)
    assert "no test gives" not in done.stdout.str()


def test_workers_of_xdist_hand_over_what_they_know(pytester: pytest.Pytester) -> None:
    pytest.importorskip("xdist")
    done = run(pytester, "--gradfix", "-n1", test_it=UNUSED)
    done.assert_outcomes(passed=1)
    done.stdout.fnmatch_lines(["Net.b.bias: unused: nothing computes with it"])


@pytest.mark.parametrize(
    ("limit", "value", "said"),
    [
        ("_LIMIT", 3, "more than 3 operations"),
        ("_MEMORY", 2**-10, "more than * GiB of results"),
    ],
)
def test_a_test_too_large_to_follow_is_said_not_blamed(
    limit: str,
    value: float,
    said: str,
    pytester: pytest.Pytester,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(f"gradfix.verify.live.{limit}", value)
    done = run(pytester, "--gradfix", **lost())
    done.assert_outcomes(passed=1)
    done.stdout.fnmatch_lines([f"not watched to the end: *test_net: {said}"])


# -- torch ------------------------------------------------------------

PROBE = """\
import sys
import pytest

def test_before():
    assert "torch" not in sys.modules

@pytest.mark.gradfix({enabled})
def test_watched():
    pass

def test_after():
    assert "torch" not in sys.modules
"""


@pytest.mark.parametrize(("enabled", "code"), [(False, 0), (True, 1)])
def test_torch_is_imported_by_the_first_watched_test(
    enabled: bool, code: int, tmp_path: Path
) -> None:
    (tmp_path / "test_probe.py").write_text(PROBE.format(enabled=enabled))
    command = [sys.executable, "-m", "pytest", *LOAD, "-p", "no:cacheprovider", "-q"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == code, done.stdout
    assert ("1 failed, 2 passed" if enabled else "3 passed") in done.stdout
