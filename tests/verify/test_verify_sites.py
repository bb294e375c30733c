"""How the project itself uses its classes: its own calls, and the examples of its docstrings."""

from __future__ import annotations

from pathlib import Path

from verify_helpers import results_of

from gradfix.verify.settings import VerifySettings

QUICK = VerifySettings(timeout=30)

EXAMPLES = '''
import torch
from torch import nn

class Shown(nn.Module):
    """Only its example knows that it takes a graph.

    >>> import collections
    >>> from no_such_project import Shown as Alias
    >>> Graph = collections.namedtuple("Graph", "nodes edges")
    >>> net = Alias(sizes={"in": 3, "out": 4})
    >>> graph = Graph(torch.ones(5, 3), torch.zeros(5, 5))
    >>> net(graph).shape
    torch.Size([5, 4])
    """
    def __init__(self, sizes):
        super().__init__()
        self.w = nn.Parameter(torch.rand(sizes["in"], sizes["out"]))
    def forward(self, graph):
        return graph.edges @ graph.nodes @ self.w + graph.nodes @ self.w

class AtOnce(nn.Module):
    def __init__(self, sizes):
        """Build it.

        >>> AtOnce({"in": 3})(dict(x=torch.ones(2, 3)))
        """
        super().__init__()
        self.w = nn.Parameter(torch.rand(sizes["in"]))
    def forward(self, given):
        return given["x"] * self.w

class Prose(nn.Module):
    """>>> this is no (python at all

    >>>nor this
    """
    def __init__(self):
        super().__init__()
        self.w = nn.Parameter(torch.rand(3))
    def forward(self):
        return self.w * 2
'''


def test_examples_of_docstrings_say_how_a_class_is_used(tmp_path: Path) -> None:
    (tmp_path / "m.py").write_text(EXAMPLES)
    found = results_of(tmp_path / "m.py", settings=QUICK)
    assert (found["Shown"].status, found["Shown"].driven_by) == ("passed", "doc")
    assert (found["AtOnce"].status, found["AtOnce"].driven_by) == ("passed", "doc")
    assert (found["Prose"].status, found["Prose"].driven_by) == ("passed", "inferred")
