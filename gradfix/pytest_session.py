"""One session of the pytest plugin: watches tests and keeps what they showed."""

from __future__ import annotations

import json
from collections.abc import Generator, Sequence
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from gradfix.verify.inprocess import Finding, Watch

_MAX_REMARKS = 20


class Session:
    """What is known over all tests of one process, and in the end over those of all workers."""

    def __init__(self, config: pytest.Config, usage: str) -> None:
        self.config, self.usage = config, usage
        self.always = bool(config.getoption("--gradfix") or config.getini("gradfix"))
        self.ignore: list[str] = list(config.getini("gradfix_ignore"))
        self.trained: set[tuple[str, str]] = set()
        self.remarks: dict[tuple[str, str], str] = {}
        self.untraced: list[str] = []

    # -- one test --------------------------------------------------------------------------------

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_call(self, item: pytest.Item) -> Generator[None, Any, Any]:
        """Watch the test; a gradient that was lost fails a test that passed."""
        asked = self._asked(item)
        if asked is None:
            return (yield)
        watch = self._watch()
        try:
            with watch.active():
                result = yield
        except BaseException:
            # The test's own failure stands (pytest's outcomes are no Exception); what was seen may
            # explain it.
            if text := self._text(self._judged(item, watch, asked)):
                item.add_report_section("call", "gradfix", text)
            raise
        if text := self._text(self._judged(item, watch, asked)):
            pytest.fail(text, pytrace=False)
        return result

    def _asked(self, item: pytest.Item) -> Sequence[str] | None:
        """What to ignore in a test; None for a test that is not watched."""
        mark = item.get_closest_marker("gradfix")
        if mark is None:
            return self.ignore if self.always else None
        unknown = set(mark.kwargs) - {"enabled", "ignore"}
        if unknown or len(mark.args) > 1:
            pytest.fail(f"wrong use of the marker {self.usage}", pytrace=False)
        if not (mark.args[0] if mark.args else mark.kwargs.get("enabled", True)):
            return None
        given = mark.kwargs.get("ignore", ())
        return [*self.ignore, *([given] if isinstance(given, str) else given)]

    def _watch(self) -> Watch:
        try:
            from gradfix.verify.inprocess import Watch
        except ImportError as error:
            pytest.fail(f"gradfix cannot watch this test: {error}", pytrace=False)
        return Watch(str(self.config.rootpath))

    def _judged(self, item: pytest.Item, watch: Watch, ignore: Sequence[str]) -> list[Finding]:
        """The findings that fail the test; the others are kept as remarks."""
        self.trained |= set(watch.trained())
        if watch.tracer.gaps:
            self.untraced.append(f"{item.nodeid}: {watch.tracer.gaps[0]}")
        findings = watch.findings(ignore)
        for finding in findings:
            if not finding.fails:
                result = finding.result
                places = [f" ({blame.filename}:{blame.row})" for blame in result.blame]
                text = f"{result.verdict}: {result.message}{''.join(places[:1])}"
                self.remarks.setdefault((finding.module, result.name), text)
        return [finding for finding in findings if finding.fails]

    def _text(self, findings: Sequence[Finding]) -> str:
        from gradfix.testing import failure_text

        modules = dict.fromkeys(finding.module for finding in findings)
        return "\n".join(
            failure_text(module, (f.result for f in findings if f.module == module))
            for module in modules
        )

    # -- the end of the session --------------------------------------------------------------------

    def pytest_sessionfinish(self) -> None:
        """A worker of pytest-xdist hands over what it knows."""
        output = getattr(self.config, "workeroutput", None)
        if output is not None:
            remarks = [[*key, text] for key, text in self.remarks.items()]
            output["gradfix"] = json.dumps([sorted(self.trained), remarks, self.untraced])

    @pytest.hookimpl(optionalhook=True)
    def pytest_testnodedown(self, node: Any) -> None:
        """The controller of pytest-xdist takes it."""
        trained, remarks, untraced = json.loads(node.workeroutput.get("gradfix", "[[], [], []]"))
        self.trained |= {(module, name) for module, name in trained}
        for module, name, text in remarks:
            self.remarks.setdefault((module, name), text)
        self.untraced += untraced

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        """What no test trained, and what could not be watched."""
        if hasattr(self.config, "workerinput"):
            return
        idle = {key: text for key, text in self.remarks.items() if key not in self.trained}
        if not idle and not self.untraced:
            return
        terminalreporter.section("gradfix: no test gives these Parameters a gradient")
        for (module, name), text in list(idle.items())[:_MAX_REMARKS]:
            terminalreporter.line(f"{module}.{name}: {text}")
        if len(idle) > _MAX_REMARKS:
            terminalreporter.line(f"and {len(idle) - _MAX_REMARKS} more")
        for text in self.untraced:
            terminalreporter.line(f"not watched to the end: {text}")
