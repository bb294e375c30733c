"""Files that do not simply import: missing packages, work at import, odd names."""

from __future__ import annotations

from pathlib import Path

from verify_helpers import results_of

from gradfix.verify.settings import VerifySettings

QUICK = VerifySettings(timeout=30)
HEAD = "import torch\nfrom torch import nn\n"
NET = """
class {name}({base}):
    def __init__(self):
        super().__init__()
        self.w = nn.Parameter(torch.rand(3))
    def forward(self):
        return {result}
"""


def net(name: str, result: str = "self.w * 2", base: str = "nn.Module") -> str:
    return NET.format(name=name, result=result, base=base)


def test_a_verdict_never_rests_on_a_stand_in(tmp_path: Path) -> None:
    path = tmp_path / "m.py"
    path.write_text(
        "import no_such_package as missing\nfrom no_such_package.deep import helper, Base\n"
        + HEAD
        + "@helper.register('x')\ndef unrelated():\n    return 1\n"
        + net("Untouched")
        + net("Calls", "helper(self.w)")
        + net("Derives", base="Base, nn.Module")
    )
    found = results_of(path, settings=QUICK)
    assert found["Untouched"].status == "passed"
    assert found["Calls"].status == "not_verified"
    assert "no_such_package" in str(found["Calls"].reason)
    assert found["Derives"].status == "not_verified"


def test_definitions_can_be_verified_without_the_work_around_them(tmp_path: Path) -> None:
    path = tmp_path / "train.py"
    path.write_text(
        HEAD
        + "import sys\nRATE = 0.5\nDATA = open('no such file').read()\n"
        + net("Usable", "self.w * RATE")
        + net("NeedsTheWork", "self.w * len(DATA)")
    )
    found = results_of(path, settings=QUICK)
    assert found["Usable"].status == "passed"
    assert found["NeedsTheWork"].status == "not_verified"
    assert "DATA" in str(found["NeedsTheWork"].reason)


def test_names_that_python_has_already(tmp_path: Path) -> None:
    for name in ("random.py", "types.py", "my-model.py"):
        (tmp_path / name).write_text(HEAD + net("Net"))
        assert results_of(tmp_path / name, settings=QUICK)["Net"].status == "passed", name


def test_siblings_and_data_beside_the_file(tmp_path: Path) -> None:
    (tmp_path / "sibling.py").write_text("SCALE = 3.0\n")
    (tmp_path / "table.txt").write_text("1 2 3")
    (tmp_path / "m.py").write_text(
        HEAD
        + "from pathlib import Path\nfrom sibling import SCALE\n"
        + "TABLE = [float(v) for v in Path(__file__).with_name('table.txt').read_text().split()]\n"
        + net("Net", "self.w * SCALE * torch.tensor(TABLE)")
    )
    assert results_of(tmp_path / "m.py", settings=QUICK)["Net"].status == "passed"


def test_a_missing_sibling_is_no_missing_package(tmp_path: Path) -> None:
    (tmp_path / "sibling.py").write_text("import no_such_package_at_all\n")
    (tmp_path / "m.py").write_text(HEAD + "from sibling import thing\n" + net("Net"))
    assert results_of(tmp_path / "m.py", settings=QUICK)["Net"].status == "passed"
