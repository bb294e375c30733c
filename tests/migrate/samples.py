"""Results of every kind, for the reports; names and texts try to break out of them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from gradfix.migrate.campaign import Campaign, Repository
from gradfix.migrate.result import Result, TestRun

EVIL = '<script>alert("x")</script>'
LONG = "a_very_long_name_without_any_place_to_break_a_line_" * 6
DIFF = f"""\
diff --git a/{EVIL}.py b/{EVIL}.py
index 1..2 100644
--- a/{EVIL}.py
+++ b/{EVIL}.py
@@ -10,3 +10,3 @@ class Net(nn.Module):
     x = "&amp;"
-    y = '{EVIL}' + {LONG}
+    y = '</td></table></details><img src=http://evil.example/x.png>'
     z = "\u202edrow"
\\ No newline at end of file
diff --git "a/t\\303\\244b\\t.py" "b/t\\303\\244b\\t.py"
--- "a/t\\303\\244b\\t.py"
+++ "b/t\\303\\244b\\t.py"
@@ -1 +1 @@
--- not a header
+++ nor this
"""


def finding(code: str = "GF301", name: str = "tensor-rewrap", **changes: Any) -> dict[str, Any]:
    fix = {"applicability": "safe", "applied": True, "verification": "verified", "title": "stack"}
    found = {
        "code": code,
        "name": name,
        "filename": f"src/{EVIL}.py",
        "cell": None,
        "location": {"row": 11, "column": 5},
        "message": f"`torch.tensor` cuts {EVIL}",
        "fix": fix,
        "not_fixed_reason": None,
    }
    return {**found, **changes}


def results() -> list[Result]:
    left = finding("GF304", "detached-branch", fix=None, not_fixed_reason="a person must decide")
    unsafe = finding("GF302", "fill-assembly")
    unsafe["fix"] = {**unsafe["fix"], "applied": False, "applicability": "unsafe",
                     "doubt": "the list may be empty"}  # fmt: skip
    migrated = Result(
        "zoo", "https://example.org/zoo.git", "migrated", base="a" * 40,
        branch="gradfix/migrate", commit="b" * 40, files=12, changed=["m.py"],
        fixed=[finding(), finding(cell=3)], left=[left], test="pytest -q",
        after=TestRun(0, 3.2, f"..\n{EVIL}\n2 passed\n"), seconds=71.5, diff=DIFF,
        notes=["2 uncommitted changes of the checkout were not looked at"],
    )  # fmt: skip
    rejected = Result(
        LONG[:90], f"/home/{LONG}/{EVIL}", "rejected", f"the tests failed {EVIL}", files=3,
        changed=["m.py"], fixed=[finding()], left=[unsafe], test="make check",
        after=TestRun(2, 1.0, "boom"), before=TestRun(0, 1.0, ""), seconds=5.0, diff=DIFF,
    )  # fmt: skip
    errors = [{"filename": f"{EVIL}.py", "cell": None, "row": 3, "message": "invalid syntax"}]
    return [
        migrated,
        Result("patchy", "/src/patchy", "migrated", patch="patches/patchy.patch", files=2,
               changed=["a.py"], fixed=[finding()], seconds=0.4, diff=DIFF),
        Result("calm", "/src/calm", "unchanged", files=400, errors=errors, seconds=2.0),
        rejected,
        Result("gone", "/src/gone", "failed", "no such folder: /src/gone"),
        Result("later", "git@example.org:x/later.git"),
    ]  # fmt: skip


def campaign(given: list[Result] | None = None) -> Campaign:
    repositories = tuple(Repository(r.name, r.source) for r in given or results())
    return Campaign(Path(f"{EVIL}.toml".replace("/", "_")), Path("/state"), repositories)
