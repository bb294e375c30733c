"""Training programs behave as without gradfix, to the last bit, and their gradients are judged."""

from __future__ import annotations

import re

import pytest
from run_helpers import Server, python, row_of

RIGHT = [
    ("plain_sgd.py",),
    ("lbfgs.py",),
    ("gan.py",),
    ("scaler.py",),
    ("loader.py",),
    ("checkpointed.py",),
    ("homemade.py",),
    ("homemade.py", "functional"),
    ("teacher.py",),
    ("teacher.py", "log"),
    ("scripted.py",),
    ("penalty.py",),
    ("actor.py",),
]


def failing(parameters: dict[str, dict[str, object]]) -> dict[str, object]:
    """The verdicts that are not ok."""
    return {n: p["verdict"] for n, p in parameters.items() if p["verdict"] != "ok"}


@pytest.mark.parametrize("program", RIGHT, ids=" ".join)
def test_right_programs_pass_and_compute_the_same(server: Server, program: tuple[str, ...]) -> None:
    plain = server.plain(*program)
    done, targets = server.verdicts(*program)
    assert plain.code == done.code == 0
    assert re.search(r"0x1\.\w+p", plain.out), "a program must print its final loss"
    assert done.out == plain.out
    assert {t["status"] for t in targets.values()} == {"passed"}
    assert {t["driven_by"] for t in targets.values()} == {"script"}
    assert all(failing(t["parameters"]) == {} for t in targets.values())


@pytest.mark.parametrize(
    ("program", "target", "verdicts", "marker", "code"),
    [
        ("plain_sgd.py severed", "Net", {"a": "severed", "b": "severed"}, "the cut", "GF301"),
        ("gan.py severed", "Generator", {"scale": "severed"}, "the cut", "GF304"),
        (
            "checkpointed.py severed",
            "Net",
            {"old.gain": "severed", "new.gain": "severed"},
            "the cut",
            "GF304",
        ),
        ("homemade.py escaped", "", {"extra": "escaped"}, "the cut", "GF305"),
    ],
)
def test_the_severed_parameter_and_the_line(
    server: Server, program: str, target: str, verdicts: dict[str, str], marker: str, code: str
) -> None:
    arguments = program.split()
    plain = server.plain(*arguments)
    done, targets = server.verdicts(*arguments)
    assert (plain.code, done.code) == (0, 1)
    assert done.out == plain.out
    found = targets[f"{arguments[0]}:{target}" if target else arguments[0]]
    assert found["status"] == "failed"
    assert failing(found["parameters"]) == verdicts
    for name in verdicts:
        blame = found["parameters"][name]["blame"]
        assert [(b["filename"], b["row"], b["code"]) for b in blame] == [
            (arguments[0], row_of(arguments[0], marker), code)
        ]


def test_every_kind_of_fault_has_its_verdict(server: Server) -> None:
    done, targets = server.verdicts("faults.py")
    parameters = targets["faults.py:Faulty"]["parameters"]
    assert done.code == 1
    assert failing(parameters) == {
        "idle": "unused",
        "thrown.weight": "discarded",
        "thrown.bias": "discarded",
        "rounded": "zero",
        "broken": "nonfinite",
        "number": "escaped",
        "quiet.weight": "severed",
        "quiet.bias": "severed",
        "layers[0].weight": "unregistered",
        "layers[0].bias": "unregistered",
    }
    for name, marker in [
        ("thrown.weight", "discarded"),
        ("rounded", "zero"),
        ("number", "escaped"),
        ("quiet.bias", "severed"),
        ("layers[0].weight", "hidden"),
    ]:
        assert [b["row"] for b in parameters[name]["blame"]] == [row_of("faults.py", marker)]


def test_frozen_parameters_are_not_missing_gradients(server: Server) -> None:
    _, targets = server.verdicts("plain_sgd.py")
    frozen = targets["plain_sgd.py:Net"]["parameters"]["frozen"]
    assert (frozen["trainable"], frozen["verdict"], frozen["message"]) == (False, "ok", "frozen")


def test_what_nobody_trains_is_named_but_not_judged(server: Server) -> None:
    _, targets = server.verdicts("teacher.py")
    assert set(targets) == {"teacher.py:Pair", "teacher.py:Linear"}
    assert "teacher.weight" not in targets["teacher.py:Pair"]["parameters"]
    assert "teacher.weight, teacher.bias (no optimizer" in targets["teacher.py:Pair"]["reason"]


def test_the_generator_is_waited_for(server: Server) -> None:
    """It trains at half the pace: its severed Parameter is not judged by the other's steps."""
    _, targets = server.verdicts("--steps", "1", "gan.py")
    assert {t["status"] for t in targets.values()} == {"passed"}


def test_workers_started_by_spawn_import_the_script(server: Server) -> None:
    plain, done = server.plain("loader.py"), python("-m", "gradfix", "run", "loader.py", "spawn")
    assert (done.code, done.out) == (0, plain.out)
    assert done.err.count("passed") == 2  # the target and the summary, once each


def test_compiled_code_runs_eagerly_while_it_is_traced_and_compiled_afterwards() -> None:
    plain = python("compiled.py")
    done = python("-m", "gradfix", "run", "--steps", "2", "compiled.py")
    assert plain.code == done.code == 0, done.err
    assert plain.out.splitlines()[0].split() == ["compiled"] * 8
    assert done.out.splitlines()[0].split() == ["eager"] * 2 + ["compiled"] * 6
    assert plain.out.splitlines()[1] == done.out.splitlines()[1]
    assert "compiled.py:Net: passed" in done.err


@pytest.mark.parametrize("how", ["unused", "detached"])
def test_what_is_missing_while_warming_up_may_come_late(server: Server, how: str) -> None:
    """Only what never comes is a fault; more steps are traced on demand."""
    done, targets = server.verdicts("--steps", "2", "late.py", how)
    late = targets["late.py:Net"]["parameters"]["late.weight"]
    assert (done.code, late["verdict"], late["confidence"]) == (0, "ok", "likely")
    assert late["message"].startswith("its first gradient came after the traced steps")
    assert done.out == server.plain("late.py", how).out
    done, targets = server.verdicts("--steps", "5", "late.py", how)
    late = targets["late.py:Net"]["parameters"]["late.weight"]
    assert (done.code, late["verdict"], late["confidence"]) == (0, "ok", "proven")
    done, targets = server.verdicts("--steps", "2", "late.py", how, "never")
    assert done.code == 1
    assert failing(targets["late.py:Net"]["parameters"]) == {
        "late.weight": "severed" if how == "detached" else "unused",
        "late.bias": "severed" if how == "detached" else "unused",
    }


def test_an_overwritten_value_is_named_in_the_traceback_and_in_the_report(server: Server) -> None:
    plain, done = server.plain("inplace.py"), server.watched("inplace.py")
    assert plain.code == done.code == 1
    saved, written = row_of("inplace.py", "saves"), row_of("inplace.py", "overwrites")
    assert f"inplace.py:{written} in Net.forward: overwrites what sigmoid() saved" in done.err
    assert f"inplace.py:{saved} in Net.forward: sigmoid() saves this value" in done.err
    assert "body.weight [3x3] inplace: backward raises RuntimeError" in done.err
    assert done.err.index("Traceback") < done.err.index("inplace.py:Net: failed")


def test_an_expected_error_is_no_failure(server: Server) -> None:
    done, targets = server.verdicts("inplace.py", "caught")
    assert (done.code, done.out) == (3, "caught\n")
    assert targets["inplace.py"]["status"] == "not_verified"
    assert targets["inplace.py"]["reason"] == "no backward succeeded"


def test_a_loss_without_history_is_explained(server: Server) -> None:
    done, targets = server.verdicts("whole.py")
    assert done.code == 1
    assert "does not require grad" in done.err
    weight = targets["whole.py:Net"]["parameters"]["body.weight"]
    assert (weight["verdict"], weight["blame"][0]["row"]) == (
        "severed",
        row_of("whole.py", "the cut"),
    )


def test_every_model_of_a_sweep_is_followed_for_its_first_steps(server: Server) -> None:
    plain = server.plain("sweep.py")
    done, targets = server.verdicts("sweep.py")
    assert (done.code, done.out) == (1, plain.out)
    assert done.out.split()[:4] == ["0", "0", "0", "0"]
    assert {n.partition(":")[2]: failing(t["parameters"]) for n, t in targets.items()} == {
        "First": {},
        "Second": {"gain": "severed"},
        "Third": {},
    }
    (blame,) = targets["sweep.py:Second"]["parameters"]["gain"]["blame"]
    assert (blame["row"], blame["function"]) == (row_of("sweep.py", "the cut"), "Second.scaled")


def test_a_thread_is_not_followed_but_what_arrives_is_seen(server: Server) -> None:
    done, targets = server.verdicts("thread.py")
    assert done.code == 0
    assert failing(targets["thread.py:Linear"]["parameters"]) == {}
    done, targets = server.verdicts("thread.py", "idle")
    assert done.code == 3
    assert failing(targets["thread.py:Linear"]["parameters"]) == {"extra": "inconclusive"}
