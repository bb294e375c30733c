"""Rewrites that are too long for one codemod file: facts in, a `gradfix.model.Fix` out."""
