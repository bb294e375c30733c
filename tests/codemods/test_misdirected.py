"""GF307: an optimizer that is built over the model of another one."""

from __future__ import annotations

from harness import check_noop, fixed, found, table
from snippets import Case, cases, run

CODE = "GF307"

HEAD = """
import torch
from torch import nn


def build():
    return nn.Linear(2, 1)


policy = build()
value = build()
judge = build()
judge.train()
"""
START = """

start = judge.state_dict()["weight"].clone()
"""
END = """
moves = not torch.equal(start, judge.state_dict()["weight"])
"""
#: What shows ``moves``: whether the step changes the model; only ``after`` does so.
FAULTS = {
    "in one function": """
criterion = nn.BCEWithLogitsLoss()


def update(x):
    optim_judge.zero_grad()
    one = judge(x.detach())
    loss = criterion(one, torch.zeros(1, 1)) + 0.1 * torch.sigmoid(one).mean()
    loss.backward()
    optim_judge.step()


update(torch.ones(1, 2))
""",
    "of a detached sample": """
real, fake = torch.ones(1, 2), policy(torch.ones(1, 2)).detach()
optim_judge.zero_grad()
loss = judge(real).mean() - judge(fake.expand(1, 2)).mean()
loss.backward()
optim_judge.step()
""",
}
OPTIMIZERS = """optim_policy = torch.optim.SGD(policy.parameters(), lr=0.1)
optim_value = torch.optim.SGD(value.parameters(), lr=0.1)
optim_judge = torch.optim.SGD({}.parameters(), lr=0.1)
"""


def program(model: str, body: str, optimizers: str = OPTIMIZERS) -> str:
    return HEAD.lstrip() + optimizers.format(model) + START + body + END


CHANGE = [
    Case(name, frozenset(), program("value", body), program("judge", body))
    for name, body in FAULTS.items()
]

STEP = FAULTS["in one function"]
LEAVE = cases(
    "".join(
        f"=== {name}\n{text}"
        for name, text in {
            "the right one": program("judge", STEP),
            "one optimizer after the other for the same model": program(
                "value",
                """
x = torch.ones(1, 2)
for optimizer in (optim_value, optim_judge):
    optimizer.zero_grad()
    (value(x) - judge(x).detach()).pow(2).mean().backward()
    optimizer.step()
optim_judge.zero_grad()
loss = value(x).pow(2).mean()
loss.backward()
optim_judge.step()
""",
            ),
            "the loss depends on both": program(
                "value",
                """
optim_judge.zero_grad()
loss = (value(torch.ones(1, 2)) + judge(torch.ones(1, 2))).mean()
loss.backward()
optim_judge.step()
""",
            ),
            "through the other model": program(
                "value",
                """
encode = nn.Linear(1, 2)
optim_judge.zero_grad()
loss = judge(encode(value(torch.ones(1, 2)))).mean()
loss.backward()
optim_judge.step()
""",
            ),
            "the other model is held as well": program("value", STEP)
            + "held = torch.optim.SGD(judge.parameters(), lr=0.1)\n",
            "the other model is handed on": program("value", STEP)
            + "def train(model):\n    return list(model.parameters())\n\n\ntrain(judge)\n",
            "a model made of the other": program("value", STEP)
            .replace("judge = build()", "judge = nn.Sequential(value)")
            .replace('["weight"]', '["0.weight"]'),
            "no other optimizer has the model": program(
                "value", STEP, OPTIMIZERS.replace("(value.", "(policy.")
            ),
        }.items()
    )
)


@table(CHANGE)
def test_rewritten(case: Case) -> None:
    assert found(case.before, CODE)
    assert fixed(case.before, CODE).text == case.before, "not safe, but applied by default"
    assert fixed(case.before, CODE, unsafe=True).text == case.after
    assert fixed(case.after, CODE, unsafe=True).text == case.after
    assert run(case.before).names["moves"] is False
    assert run(case.after).names["moves"] is True


@table(LEAVE)
def test_left_alone(case: Case) -> None:
    check_noop(case, CODE)
