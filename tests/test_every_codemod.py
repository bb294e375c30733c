"""What holds for every codemod there is, found by the registry and not listed here."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import black
import libcst
import pytest
from libcst.codemod import CodemodContext

from gradfix import engine, registry
from gradfix.codemod import Codemod
from gradfix.config import settings_from
from gradfix.model import Finding, Safety, Source

sys.path.insert(0, str(Path(__file__).parent / "codemods"))

from snippets import SHOWN, run, same

HEADINGS = [
    "What it does",
    "Why is this bad?",
    "Example",
    "Use instead",
    "Fix safety",
    "References",
]
every_codemod = pytest.mark.parametrize("codemod", registry.codemods(), ids=lambda c: c.__name__)
Kind = type[Codemod]


#: Codemods whose pattern works, too, and is only replaced by something better.
MODERNISING = ("GF302", "GF4")


#: The manuals as pages; ``tests/test_rule_docs.py`` keeps them equal to the docstrings.
PAGES = Path(__file__).parents[1] / "docs" / "rules"


def example(codemod: Kind) -> tuple[str, str]:
    """The page's faulty code, and what to use instead."""
    text = (PAGES / f"{codemod.code}.md").read_text(encoding="utf-8")
    before, after = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    return before, after


def findings(codemod: Kind, text: str) -> list[Finding]:
    outcome = engine.check(Source("example.py", text), settings_from(select=[codemod.code]))
    assert not outcome.failures
    return [finding for finding in outcome.findings if finding.code == codemod.code]


def stated_safety(codemod: Kind, text: str) -> Safety:
    """The safety of the example's fix."""
    return max(
        (
            finding.fix.safety if finding.fix else Safety.MANUAL
            for finding in findings(codemod, text)
        ),
        key=list(Safety).index,
    )


def rewritten(codemod: Kind, text: str) -> str:
    unsafe = stated_safety(codemod, text) is Safety.UNSAFE
    settings = settings_from(select=[codemod.code], unsafe_fixes=unsafe)
    outcome = engine.fix(Source("example.py", text), settings)
    assert not outcome.failures
    return outcome.text


def expected(codemod: Kind) -> str:
    """What the codemod makes of its example."""
    before, after = example(codemod)
    return before if stated_safety(codemod, before) is Safety.MANUAL else after


def test_there_are_codemods() -> None:
    assert len(registry.codemods()) >= 8


def test_the_texts_of_the_codemods_say_what_the_classes_say() -> None:
    package = Path(sys.modules[registry.codemods()[0].__module__].__file__ or "").parent
    read = [registry._read(str(path)) for path in package.glob("[a-z]*.py")]
    assert set(read) == set(registry.entries_of(registry.codemods()))


@every_codemod
def test_the_manual_has_its_headings(codemod: Kind) -> None:
    found = re.findall(r"(?m)^(\S.*)\n-{3,}$", codemod.manual())
    assert found == HEADINGS


@every_codemod
def test_the_manual_starts_with_one_sentence(codemod: Kind) -> None:
    summary = codemod.summary()
    assert summary.endswith(".")
    assert len(summary) <= 100
    assert codemod.manual().splitlines()[1] == ""


@every_codemod
def test_the_manual_states_the_safety_of_its_example(codemod: Kind) -> None:
    section = codemod.manual().partition("Fix safety\n")[2].partition("References\n")[0]
    stated = re.findall(r"\b(safe|unsafe|manual)\b", section.lower())
    assert stated
    assert stated_safety(codemod, example(codemod)[0]).value in stated


@every_codemod
def test_the_manual_refers_to_the_documentation(codemod: Kind) -> None:
    section = codemod.manual().partition("References\n")[2]
    assert re.search(r"(?m)^- https://\S+$", section)


@every_codemod
def test_the_name_is_the_same_everywhere(codemod: Kind) -> None:
    module = codemod.__module__.rpartition(".")[2]
    assert codemod.__name__ == "".join(word.capitalize() for word in module.split("_"))
    assert codemod.name() == module.replace("_", "-")
    assert registry.codemod_for(codemod.name()) is codemod
    assert re.fullmatch(r"GF\d{3}", codemod.code)
    document = sys.modules[codemod.__module__].__doc__ or ""
    assert document.startswith(f"{codemod.code}: ")


@every_codemod
def test_the_trigger_matches_the_example(codemod: Kind) -> None:
    assert codemod.trigger.search(example(codemod)[0])


@every_codemod
def test_the_example_is_found(codemod: Kind) -> None:
    before, _ = example(codemod)
    for finding in (seen := findings(codemod, before)):
        assert finding.because, "a finding tells its story"
        assert (finding.fix is None) != (finding.not_fixed_reason is None)
    assert seen


@every_codemod
def test_the_example_becomes_what_to_use_instead(codemod: Kind) -> None:
    """A codemod that only reports leaves it as it is; the reader does the rest."""
    before, _ = example(codemod)
    assert rewritten(codemod, before) == expected(codemod)


@every_codemod
def test_what_to_use_instead_is_clean(codemod: Kind) -> None:
    _, after = example(codemod)
    assert findings(codemod, after) == []
    settings = settings_from(select=[codemod.code], unsafe_fixes=True)
    assert not engine.fix(Source("example.py", after), settings).changed


@every_codemod
def test_the_examples_are_formatted(codemod: Kind) -> None:
    for text in filter(None, example(codemod)):
        assert black.format_str(text, mode=black.Mode()) == text


@every_codemod
def test_the_examples_run_in_torch(codemod: Kind) -> None:
    """Before shows its fault: an error, a missing gradient, or other values than after."""
    before, after = map(run, example(codemod))
    assert after.error is None
    assert None not in after.shown("grad").values()
    faulty = before.error is not None or any(
        not same(value, after.names.get(name)) for name, value in before.shown(*SHOWN).items()
    )
    assert faulty or codemod.code.startswith(MODERNISING) or not after.shown(*SHOWN)


@every_codemod
def test_libcst_can_run_it(codemod: Kind) -> None:
    before, _ = example(codemod)
    unsafe = stated_safety(codemod, before) is Safety.UNSAFE
    command = codemod(CodemodContext(), unsafe_fixes=unsafe)
    result = command.transform_module(libcst.parse_module(before)).code
    assert black.format_str(result, mode=black.Mode()) == expected(codemod)
    assert codemod.DESCRIPTION.startswith(codemod.code)


def test_libcst_runs_it_on_its_own(tmp_path: Path) -> None:
    from gradfix.registry import codemod_for

    codemod = codemod_for("slice-aliasing")
    assert codemod is not None
    before, after = example(codemod)
    file = tmp_path / "net.py"
    file.write_text(before, encoding="utf-8")
    command = [sys.executable, "-m", "libcst.tool", "codemod", "-x", "--no-format", "-j1"]
    command += ["gradfix.codemods.slice_aliasing.SliceAliasing", str(file)]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    assert file.read_text(encoding="utf-8") == after
