"""What the other files of a project do with an attribute of a class, found by its name.

NOTE: who is looked at. A class does not say who uses it, so every file of the project is read, and
those count that name the class or an attribute like it. Where a project is too large to be read as
a whole, the answer is that the attribute may be used.
"""

from __future__ import annotations

import ast
import enum
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from gradfix.flow import classes, counted, strangers
from gradfix.flow.around import files_below, top_of
from gradfix.flow.by_string import COMPUTED, LISTED, Spoken, spoken_of, takes_computed_names
from gradfix.flow.kin import related
from gradfix.flow.nodes import last_name, walk

if TYPE_CHECKING:
    from gradfix.flow.module import ModuleFlow
    from gradfix.flow.project import Project

#: What a statement mentions that registers or trains what it takes from an attribute.
_TRAINS = frozenset(
    """parameters named_parameters state_dict requires_grad requires_grad_ add_param_group params
    add_module register_module register_parameter _modules _parameters setattr __setattr__ optim
    ModuleList ModuleDict ParameterList ParameterDict Sequential SGD Adam AdamW RMSprop Adagrad
    LBFGS""".split()
)
_TRAINS_TEXT = re.compile(r"\b(?:" + "|".join(sorted(_TRAINS)) + r")\b")
#: Goes through all parts of a Module, and meets more of them once they are registered.
_WALKS_TEXT = re.compile(r"\.(?:apply|(?:named_)?(?:children|modules))\(")
_LOOKS = frozenset("len enumerate zip reversed range print".split())
#: What lists and dicts can do, and ModuleList, ModuleDict and ParameterList cannot.
_LACKING = frozenset("sort reverse remove index count copy get setdefault popitem".split())
#: Reads the names under which weights were saved; new ones would be missing there.
_LOADS_TEXT = re.compile(r"(\w*)(?:\([^()\n]*\))?\.load_state_dict\(([^\n]*)")
_CASTS = re.compile(r"\.(?:float|double|half|bfloat16)\(\)|\.to\([^)\n]*dtype|\.type\(")
#: Gives a Module its Parameters by name, and minds those that are not there.
_CALLS_WITH = re.compile(r"\bfunctional_call\([^\n]*\bstrict\s*=\s*True")
#: What has a state of its own that does not depend on which Parameters there are.
_NO_MODULE = r"[^\n]*(?:lr_scheduler|LR\(|Scaler|Scheduler|Sampler)"


class Use(enum.IntEnum):
    """What other files do with an attribute.

    Nothing that matters, anything, what only a list or dict can do, or they train it.
    """

    NONE = 0
    UNCLEAR = 1
    BREAKS = 2
    TRAINED = 3


@dataclass(frozen=True, slots=True)
class Kin:
    """The names of the classes that may share an attribute, and those that this file defines."""

    names: frozenset[str]
    here: frozenset[str]

    def includes(self, node: ast.ClassDef) -> bool:
        """Whether a class of another file is one of them; not where only its name is the same."""
        above = any(last_name(base) in self.names for base in node.bases)
        return above or node.name in self.names - self.here


def use_of(flow: ModuleFlow, facts: classes.ClassFacts, name: str) -> tuple[Use, str]:
    """What other files do with ``.name`` of a class of this file, and which file does it."""
    here = _use_here(flow, name)
    if flow.others is None:
        return here
    project, path = flow.others.session.project, flow.others.path
    kin = _kin_of(flow, facts)
    mentioning = _mentioning(project, path, name, kin.names)
    if mentioning is None:
        return max(here[0], Use.UNCLEAR), here[1]
    found = here
    bound = re.compile(rf"\bself\.{name}\s*(?::[^=\n]+)?=(?!=)")
    # Where no other class has such an attribute, it is this one's that is meant.
    alone = not any(bound.search(project.text(other) or "") for other in mentioning)
    naming = [project.text(other) or "" for other in (path, *mentioning)]
    naming = [text for text in naming if _names(text, kin.names)]
    for other in mentioning:
        met = any(imports_file(text, other) for text in naming)
        use = _use_in(project, other, name, kin, alone=alone, met=met)
        if use > found[0]:
            found = use, project.shown(other)
    return found


def _kin_of(flow: ModuleFlow, facts: classes.ClassFacts) -> Kin:
    """The classes anywhere in the project that may share the attributes of a class."""
    own = family_of(flow, facts)
    if flow.others is None:
        return Kin(own, own)
    project = flow.others.session.project
    top = top_of(project, flow.others.path)
    return Kin(own if top is None else related(project, top, own), own)


def _names(text: str, family: frozenset[str]) -> bool:
    return any(re.search(rf"\b{word}\b", text) for word in family)


def imports_file(text: str, path: str) -> bool:
    """Whether a text imports a file, or something from it, by the file's name."""
    stem = os.path.basename(path).partition(".")[0]
    return re.search(rf"\bimport\b[^\n]*\b{stem}\b|\b{stem}\s+import\b", text) is not None


def _use_here(flow: ModuleFlow, name: str) -> tuple[Use, str]:
    """What this file does with the attribute without saying ``.name``, and who does it."""
    spoken = spoken_of(flow.text, name, computed=COMPUTED.search(flow.text) is not None)
    if spoken is Spoken.LOOKED_UP:
        return Use.BREAKS, "this file"
    if spoken is Spoken.NAMED or _loads_weights(flow.text) or LISTED.search(flow.text):
        return Use.UNCLEAR, "this file"
    return Use.NONE, ""


def gets_saved_weights(flow: ModuleFlow, facts: classes.ClassFacts, name: str) -> bool:
    """Whether Modules like this, or their optimizers, get what was saved without a new ``name``."""
    if _loads_weights(flow.text) or _CALLS_WITH.search(flow.text) is not None:
        return True
    others = _meeting(flow, facts, name)
    return (
        others is None
        or any(_loads_weights(text, any_module=not names) for _, text, names in others)
        or any(_loads_weights(text, any_module=True) for text in strangers.strangers(flow).values())
    )


def minded_by(
    flow: ModuleFlow,
    facts: classes.ClassFacts,
    name: str,
    *,
    unused: bool = False,
    layers: bool = False,
) -> str:
    """Who minds that Modules like this have more Parameters, as words for the user; or nobody.

    ``unused``: the new ones may be without a gradient. ``layers``: they have new parts, too.
    """
    if any(name in entry.methods for entry in classes.lineage(flow, facts)) or (
        flow.doubts is not None and flow.doubts.defines(flow, facts, name)
    ):
        return f"a class has a property `{name}`"
    if layers and flow.changes_dtypes and _CASTS.search(flow.text_of(facts.node)) is not None:
        return "they would follow the Module to another element type, and the class casts by hand"
    asked = [(counted.minds_more, "takes or changes all Parameters, and would meet the new one")]
    if unused:
        asked.append((counted.needs_gradients, "needs a gradient of each Parameter"))
    grows = counted.of_family(flow, family_of(flow, facts))
    for minds, what in asked:
        place = minds(flow.tree, flow.text, grows)
        if place is not None:
            return f"line {flow.span(place).row} {what}"
    meeting = {path: (text, named) for path, text, named in _meeting(flow, facts, name) or ()}
    meeting |= {p: (t, False) for p, t in strangers.strangers(flow).items() if p not in meeting}
    for other, (text, named) in meeting.items():
        assert flow.others is not None
        project = flow.others.session.project
        if not counted.mentions_parameters(text):
            continue
        met = strangers.read(project, other)
        if met is None:
            return f"{project.shown(other)} cannot be read"
        for minds, what in asked:
            if minds(met.tree, text, (lambda _: True) if named else met.may_be):
                return f"{project.shown(other)} {what}"
    return strangers.meets_parts(flow, layers=layers) or strangers.loads_any(flow)


def _meeting(
    flow: ModuleFlow, facts: classes.ClassFacts, name: str
) -> list[tuple[str, str, bool]] | None:
    """The other files that may meet such Modules, their texts, and whether they name a class.

    None where they cannot be read.
    """
    if flow.others is None:
        return []
    project, path = flow.others.session.project, flow.others.path
    family = _kin_of(flow, facts).names
    mentioning = _mentioning(project, path, name, family)
    if mentioning is None:
        return None
    texts = {other: project.text(other) or "" for other in (path, *mentioning)}
    naming = [text for text in texts.values() if _names(text, family)]
    found = []
    for other in mentioning:
        names = _names(texts[other], family)
        if names or any(imports_file(text, other) for text in naming):
            found.append((other, texts[other], names))
    return found


def _loads_weights(text: str, *, any_module: bool = False) -> bool:
    """Whether a file gives some Module, or optimizer, saved values that all have to be there.

    ``any_module``: only where it is one that a function is given, and so may be of any class.
    """
    if "load_state_dict" not in text:
        return False
    return any(
        "strict=False" not in given.replace(" ", "")
        and strangers.NO_STATE.search(name) is None
        and re.search(rf"\b{name}\s*=(?!=){_NO_MODULE}", text) is None
        and (not any_module or re.search(rf"def \w+\([^)]*\b{name}\b", text) is not None)
        for name, given in _LOADS_TEXT.findall(text)
    )


def family_of(flow: ModuleFlow, facts: classes.ClassFacts) -> frozenset[str]:
    """The names of a class and of those that this file derives from it."""
    entries = (flow.class_facts(n) for n in walk(flow.tree) if isinstance(n, ast.ClassDef))
    return frozenset(
        entry.node.name
        for entry in entries
        if entry is not None and (entry is facts or facts in classes.lineage(flow, entry))
    )


# -- one other file -----------------------------------------------------------------------------


def _use_in(project: Project, path: str, name: str, kin: Kin, *, alone: bool, met: bool) -> Use:
    """What one file does; ``met``: some file that names the class imports it."""
    text = project.text(path) or ""
    names = _names(text, kin.names)
    loads = (names or met) and _loads_weights(text, any_module=not names)
    knows = alone or names
    top = top_of(project, path)
    computed = names and top is not None and takes_computed_names(project, top)
    spoken = spoken_of(text, name, computed=computed)
    if path.endswith(".ipynb"):
        if loads or (names and _WALKS_TEXT.search(text)):
            return Use.UNCLEAR
        lines = [line for line in text.splitlines() if re.search(rf"(?<!\bself)\.{name}\b", line)]
        trained = knows and any(_TRAINS_TEXT.search(line) for line in lines)
        return Use.TRAINED if trained else Use.UNCLEAR if lines or spoken else Use.NONE
    widely = loads or (names and _WALKS_TEXT.search(text) is not None)
    if (
        not names
        and not spoken
        and not widely
        and re.search(rf"(?<!\bself)\.{name}\b", text) is None
    ):
        return Use.NONE  # all such attributes are those of its own classes
    opened = project.opened(path)
    if opened is None:
        return Use.UNCLEAR
    found = Use.UNCLEAR if widely else Use.NONE
    if spoken is not Spoken.NO:
        found = Use.BREAKS if spoken is Spoken.LOOKED_UP and knows else Use.UNCLEAR
    lacking = _lacking_by_name(opened.tree)
    for use in _uses(opened.tree, name, kin, lacking):
        trained = any(_trains(node) for node in use[0])
        kind = use[1] if not trained else Use.TRAINED
        found = max(found, kind if knows else min(kind, Use.UNCLEAR))
    return found


def _uses(
    tree: ast.AST, name: str, kin: Kin, lacking: frozenset[str]
) -> Iterator[tuple[tuple[ast.AST, ...], Use]]:
    """Every use of an attribute of that name on what may be an object of the class.

    Each comes with the syntax around it, innermost first, up to the loop or statement it is in.
    """
    stack: list[tuple[ast.AST, tuple[ast.AST, ...], bool]] = [(tree, (), False)]
    while stack:
        node, around, own = stack.pop()
        if isinstance(node, ast.ClassDef):
            own = kin.includes(node)
        if isinstance(node, ast.Attribute) and node.attr == name:
            is_self = isinstance(node.value, ast.Name) and node.value.id in ("self", "cls")
            if own or not is_self:
                yield _statement(around), _kind(node, around, lacking)
        inner = (node, *around[:12]) if not isinstance(node, ast.mod) else around
        stack += [(child, inner, own) for child in ast.iter_child_nodes(node)]


def _statement(around: tuple[ast.AST, ...]) -> tuple[ast.AST, ...]:
    """The statement that some syntax stands in; without the bodies of what is no loop over it."""
    for place, node in enumerate(around):
        if isinstance(node, (ast.For, ast.AsyncFor)):
            looped = (place > 0 and around[place - 1] is node.iter) or place == 0
            return (node,) if looped else (node.iter,)
        if isinstance(node, ast.stmt):
            return tuple(around[:place]) if hasattr(node, "body") else (node,)
    return around


def _lacking_by_name(tree: ast.AST) -> frozenset[str]:
    """The names in a file that are asked for what only lists and dicts can do."""
    return frozenset(
        node.value.id
        for node in walk(tree)
        if isinstance(node, ast.Attribute) and node.attr in _LACKING
        if isinstance(node.value, ast.Name)
    )


def _is_asked_for_class(call: ast.Call) -> bool:
    """``isinstance(net.heads, list)``: false after the change."""
    asked = {n.id for argument in call.args[1:] for n in walk(argument) if isinstance(n, ast.Name)}
    function = call.func.id if isinstance(call.func, ast.Name) else ""
    return function == "isinstance" and bool(asked & {"list", "tuple", "dict"})


def _kind(node: ast.Attribute, around: tuple[ast.AST, ...], lacking: frozenset[str]) -> Use:
    """Whether a use only looks at the elements, one by one, or may do anything."""
    parent = around[0] if around else None
    if not isinstance(node.ctx, ast.Load):
        return Use.UNCLEAR
    if isinstance(parent, (ast.For, ast.comprehension)) and parent.iter is node:
        return Use.NONE
    if isinstance(parent, ast.Subscript) and isinstance(parent.ctx, ast.Load):
        called = len(around) > 1 and isinstance(around[1], (ast.Call, ast.Attribute))
        return Use.NONE if called and not isinstance(parent.slice, ast.Slice) else Use.UNCLEAR
    if isinstance(parent, ast.Attribute) and parent.attr in _LACKING:
        return Use.BREAKS
    if isinstance(parent, ast.Assign) and parent.value is node:
        names = {target.id for target in parent.targets if isinstance(target, ast.Name)}
        return Use.BREAKS if names & lacking else Use.UNCLEAR
    if isinstance(parent, ast.Call) and _is_asked_for_class(parent):
        return Use.BREAKS
    if isinstance(parent, ast.Call) and isinstance(parent.func, ast.Name):
        return Use.NONE if parent.func.id in _LOOKS else Use.UNCLEAR
    return Use.UNCLEAR


def _trains(node: ast.AST) -> bool:
    return any(
        (isinstance(part, ast.Attribute) and part.attr in _TRAINS)
        or (isinstance(part, ast.Name) and part.id in _TRAINS)
        or (isinstance(part, ast.Constant) and part.value == "params")
        for part in walk(node)
    )


# -- all files ----------------------------------------------------------------------------------


def _mentioning(project: Project, path: str, name: str, family: frozenset[str]) -> list[str] | None:
    """The other files with ``.name``, or the class, in them; None where they cannot be read."""
    top = top_of(project, path)
    if top is None:
        return []
    files = files_below(project, top)
    project.looked_around[path] = top
    if files is None:
        return None
    spoken = rf"(?:\.|[\"']){re.escape(name)}\b"
    words = re.compile(rf"{spoken}|\b(?:{'|'.join(family)}|load_state_dict)\b")
    # Looking for text is faster than the pattern.
    spelled = (f".{name}", f"'{name}", f'"{name}', "load_state_dict", *family)
    found = []
    for other in files:
        text = "" if other == path else project.text(other) or ""
        if any(word in text for word in spelled) and words.search(text) is not None:
            found.append(other)
    return found
