"""Recorded facts as data: what joins, what is stale, what is refused."""

from __future__ import annotations

import json
from typing import Any

import pytest

from gradfix.errors import ConfigError
from gradfix.recorded import FileFacts, Recording, Seen, digest_of

TEXT = """\
import functools

def plain(a, b):
    return a

class Net:
    @functools.cache
    def method(self, n):
        def inner(x):
            return x
        return inner(n)
"""


def tensor(*shape: int | None, dtype: str | None = "float32", roles: Any = ()) -> Seen:
    return Seen("tensor", shape, dtype, roles=roles)


@pytest.mark.parametrize(
    ("one", "other", "joined", "text"),
    [
        (tensor(3, 4), tensor(3, 4), tensor(3, 4), "float32 [3, 4]"),
        (tensor(3, 4), tensor(5, 4), tensor(None, 4), "float32 [?, 4]"),
        (tensor(3), tensor(3, 1), Seen("tensor", None, "float32"), "float32 [?]"),
        (tensor(3), tensor(3, dtype="int64"), tensor(3, dtype=None), "a tensor [3]"),
        (tensor(roles=("leaf",)), tensor(roles=("tracked",)), None, "float32 []"),
        (Seen("int", value=3), Seen("int", value=3), Seen("int", value=3), "3"),
        (Seen("int", value=3), Seen("int", value=4), Seen("int"), "int"),
        (Seen("int", value=1), Seen("bool", value=True), Seen("several"), "several"),
        (tensor(3), Seen("other"), Seen("several"), "several"),
    ],
)
def test_what_holds_in_all_calls(one: Seen, other: Seen, joined: Seen | None, text: str) -> None:
    found = one.joined(other)
    assert found == other.joined(one)
    assert found == (joined or tensor(roles=("leaf", "tracked")))
    assert found.text() == text


def call(name: str, row: int, **arguments: dict[str, Any]) -> dict[str, Any]:
    return {"name": name, "row": row, "arguments": arguments}


def recording(text: str = TEXT) -> Recording:
    found = Recording()
    found.add(
        "m.py",
        text,
        [
            call("plain", 3, a={"kind": "int", "value": 3}, b={"kind": "other"}),
            call("plain", 3, a={"kind": "int", "value": 3}, b={"kind": "float", "value": 0.5}),
            call("method", 7, n={"kind": "tensor", "shape": [2], "dtype": "int64", "roles": []}),
            call("inner", 9, x={"kind": "bool", "value": True}),
            call("plain", 4, a={"kind": "int", "value": 9}),  # no function begins there
        ],
    )
    return found


def test_calls_are_kept_by_function() -> None:
    facts = recording().files["m.py"]
    assert set(facts.functions) == {"plain", "Net.method", "inner"}
    plain = facts.functions["plain"]
    assert (plain.calls, plain.arguments["a"]) == (2, Seen("int", value=3))
    assert plain.arguments["b"] == Seen("several")
    assert plain.arguments["a"].proves and not plain.arguments["b"].proves
    source = "    def method(self, n):\n        def inner(x):\n            return x\n"
    assert facts.of("Net.method", f"{source}        return inner(n)") is not None
    assert facts.of("Net.method", f"{source}        return inner(m)") is None
    assert facts.of("Net.other", source) is None


def test_a_facts_file_is_read_as_it_was_written() -> None:
    found = recording()
    again = Recording.from_json(found.as_json(), "f.json")
    assert again.files == found.files
    assert again.as_json() == found.as_json()


def test_what_is_known_of_another_text_is_dropped() -> None:
    found = recording()
    found.add("m.py", TEXT, [call("plain", 3, a={"kind": "int", "value": 4})])
    assert found.files["m.py"].functions["plain"].calls == 3
    assert found.files["m.py"].functions["plain"].arguments["a"] == Seen("int")
    changed = TEXT + "\n"
    found.add("m.py", changed, [call("plain", 3, a={"kind": "int", "value": 4})])
    assert found.files["m.py"].digest == digest_of(changed)
    assert set(found.files["m.py"].functions) == {"plain"}
    assert found.files["m.py"].functions["plain"].calls == 1


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "{}",
        '{"version": 2, "files": {}}',
        '{"version": 1}',
        '{"version": 1, "files": []}',
        '{"version": 1, "files": {"m.py": {"sha256": 3, "functions": {}}}}',
        json.dumps(
            {
                "version": 1,
                "files": {
                    "m.py": {
                        "sha256": "",
                        "functions": {
                            "f": {
                                "sha256": "",
                                "calls": 1,
                                "arguments": {"a": {"kind": "tensor", "shape": ["3"]}},
                            }
                        },
                    }
                },
            }
        ),
    ],
)
def test_anything_else_is_refused(text: str) -> None:
    with pytest.raises(ConfigError, match=r"^--facts f\.json: "):
        Recording.from_json(text, "--facts f.json")


def test_empty_facts_prove_nothing() -> None:
    assert FileFacts("x").of("f", "def f(): pass") is None
