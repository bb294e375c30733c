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


def test_a_package_whose_init_fails_is_passed_over(tmp_path: Path) -> None:
    package = tmp_path / "pkg"
    (package / "sub").mkdir(parents=True)
    (package / "__init__.py").write_text("raise RuntimeError('needs a GPU')\n")
    (package / "sub" / "__init__.py").write_text("NAME = 'only here'\n")
    (package / "scale.py").write_text("SCALE = 3.0\n")
    (package / "sub" / "m.py").write_text(
        HEAD + "from pkg.scale import SCALE\n" + net("Net", "self.w * SCALE")
    )
    (package / "sub" / "n.py").write_text(
        HEAD + "from pkg.sub import NAME\n" + net("Net", "self.w * len(NAME)")
    )
    found = results_of(package / "sub" / "m.py", settings=QUICK)
    assert found["Net"].status == "passed"
    found = results_of(package / "sub" / "n.py", settings=QUICK)
    assert found["Net"].status == "not_verified"  # what only an __init__ says is not made up


def test_definitions_behind_try_and_beside_what_fails(tmp_path: Path) -> None:
    (tmp_path / "m.py").write_text(
        "try:\n    import torch\n    from torch import nn\n"
        "except ImportError:\n    raise ImportError('needs torch')\n"
        "print(undefined)\n@undefined.register\nclass Lost: pass\n"
        "class Odd(3): pass\n" + net("Net")
    )
    assert results_of(tmp_path / "m.py", settings=QUICK)["Net"].status == "passed"


def test_a_missing_package_behind_a_friendlier_error(tmp_path: Path) -> None:
    (tmp_path / "m.py").write_text(
        HEAD
        + "try:\n    import no_such_package\nexcept ImportError:\n"
        + "    raise ImportError('please install no_such_package')\n"
        + "if no_such_package.__version__ < '1': pass\nRATE = float('2')\n"
        + net("Net", "self.w * RATE")
        + net("Uses", "no_such_package.scale(self.w)")
    )
    found = results_of(tmp_path / "m.py", settings=QUICK)
    assert found["Net"].status == "passed"
    assert found["Uses"].status == "not_verified"


def test_a_folder_imported_by_its_own_name_without_an_init(tmp_path: Path) -> None:
    package = tmp_path / "mypkg"
    package.mkdir()
    (package / "scale.py").write_text("SCALE = 3.0\n")
    (package / "m.py").write_text(
        HEAD + "from mypkg.scale import SCALE\n" + net("Net", "self.w * SCALE")
    )
    assert results_of(package / "m.py", settings=QUICK)["Net"].status == "passed"


def test_a_checkout_with_an_init_and_a_name_that_is_no_package(tmp_path: Path) -> None:
    package = tmp_path / "my-project" / "mypkg"
    package.mkdir(parents=True)
    for folder in (package.parent, package):
        (folder / "__init__.py").write_text("")
    (package / "scale.py").write_text("SCALE = 3.0\n")
    (package / "m.py").write_text(
        HEAD + "from .scale import SCALE\n" + net("Net", "self.w * SCALE")
    )
    assert results_of(package / "m.py", settings=QUICK)["Net"].status == "passed"


def test_a_stand_in_holds_nothing_and_loops_over_it_end(tmp_path: Path) -> None:
    path = tmp_path / "m.py"
    path.write_text(
        "from no_such_package import TABLE\n"
        + HEAD
        + "for name in TABLE:\n    raise ValueError(name)\n"
        + "if 'a' not in TABLE:\n    TABLE['a'] = len(TABLE)\n"
        + net("Free")
        + net("Reads", "self.w * len(TABLE)")
    )
    found = results_of(path, settings=QUICK)
    assert found["Free"].status == "passed"
    assert found["Reads"].status == "not_verified"


def test_a_module_in_another_folder_of_the_project(tmp_path: Path) -> None:
    (tmp_path / "pyproject.toml").write_text("")
    for folder in ("tools", "first", "second"):
        (tmp_path / folder).mkdir()
    (tmp_path / "tools" / "sizes_of_it.py").write_text("FACTOR = 3\n")
    for folder in ("first", "second"):
        (tmp_path / folder / "which_one.py").write_text("FACTOR = 3\n")
    one, other = tmp_path / "one.py", tmp_path / "other.py"
    one.write_text("from sizes_of_it import FACTOR\n" + HEAD + net("Net", "self.w * FACTOR"))
    other.write_text("from which_one import FACTOR\n" + HEAD + net("Net", "self.w * FACTOR"))
    assert results_of(one, settings=QUICK)["Net"].status == "passed"
    assert results_of(other, settings=QUICK)["Net"].status == "not_verified"


def test_of_several_modules_the_one_around_the_file(tmp_path: Path) -> None:
    (tmp_path / "pyproject.toml").write_text("")
    for folder, factor in (("first", "3"), ("second", "missing")):
        (tmp_path / folder / "nets").mkdir(parents=True)
        (tmp_path / folder / "which_one.py").write_text(f"FACTOR = {factor}\n")
        (tmp_path / folder / "loose").mkdir()
        (tmp_path / folder / "loose" / "shift.py").write_text(f"SHIFT = {factor}\n")
    path = tmp_path / "first" / "nets" / "net.py"
    imports = "from which_one import FACTOR\nfrom loose.shift import SHIFT\n"
    path.write_text(imports + HEAD + net("Net", "self.w * FACTOR + SHIFT"))
    assert results_of(path, settings=QUICK)["Net"].status == "passed"


def test_files_of_the_project_that_do_not_import_are_defined_too(tmp_path: Path) -> None:
    package = tmp_path / "pkg"
    package.mkdir()
    (package / "__init__.py").write_text("")
    (package / "base.py").write_text(
        HEAD + "from collections import NoSuchThing\nRATE = 2\n"
        "class Broken(NoSuchThing): pass\ndef scaled(x):\n    return x * RATE\n"
    )
    (package / "net.py").write_text(
        "from .base import *\n" + net("Net", "scaled(self.w)") + net("Bad", "Broken(self.w)")
    )
    found = results_of(package / "net.py", settings=QUICK)
    assert found["Net"].status == "passed"
    assert found["Bad"].status == "not_verified" and "Broken" in str(found["Bad"].reason)


def test_options_of_a_script_that_cannot_be_imported(tmp_path: Path) -> None:
    path = tmp_path / "train.py"
    path.write_text(
        HEAD
        + "import argparse\nparser = argparse.ArgumentParser()\n"
        + "parser.add_argument('--width', type=int, default=3)\nopt = parser.parse_args()\n"
        + "shape = (opt.width,)\ndata = open('no such file').read()\n"
        + net("Net", "self.w.reshape(shape)")
    )
    assert results_of(path, settings=QUICK)["Net"].status == "passed"


def test_the_folder_of_a_project_may_be_the_package(tmp_path: Path) -> None:
    project = tmp_path / "a-project"
    for name, text in {
        "setup.py": "",
        "utils/__init__.py": "def twice(x):\n    return 2 * x\n",
        "models/__init__.py": "",
        "models/net.py": HEAD + "from ..utils import twice\n" + net("Net", "twice(self.w)"),
        "models/lost.py": HEAD + "from ..no_such import twice\n" + net("Lost", "twice(self.w)"),
    }.items():
        (project / name).parent.mkdir(parents=True, exist_ok=True)
        (project / name).write_text(text)
    assert results_of(project / "models/net.py", settings=QUICK)["Net"].status == "passed"
    lost = results_of(project / "models/lost.py", settings=QUICK)["Lost"]
    assert lost.status == "not_verified" and "twice" in str(lost.reason)


def test_of_two_modules_of_one_name_the_one_that_has_what_is_imported(tmp_path: Path) -> None:
    (tmp_path / "pyproject.toml").touch()
    for folder in ("src", "src/utils", "src/net"):
        (tmp_path / folder).mkdir()
    (tmp_path / "src/utils/__init__.py").write_text("SIZE = 3\n")
    (tmp_path / "src/utils/utils.py").write_text("def doubled(x):\n    return 2 * x\n")
    path = tmp_path / "src/net/model.py"
    path.write_text(
        "from torch import nn\nfrom utils import doubled\n\n"
        "class Net(nn.Module):\n"
        "    def __init__(self):\n        super().__init__()\n        self.lin = nn.Linear(3, 2)\n"
        "    def forward(self, x):\n        return doubled(self.lin(x))\n"
    )
    assert results_of(path)["Net"].status == "passed"
