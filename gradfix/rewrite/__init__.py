"""Applying fixes: the only part of gradfix that changes code, losslessly, with LibCST."""

from gradfix.rewrite.apply import apply_edits, apply_to_tree

__all__ = ["apply_edits", "apply_to_tree"]
