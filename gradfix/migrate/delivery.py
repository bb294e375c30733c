"""Delivers what was rewritten, in one step: a branch that was not there before, or a patch file."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from gradfix.migrate.campaign import PATCH
from gradfix.migrate.git import Git, GitError
from gradfix.migrate.result import Result

if TYPE_CHECKING:
    from gradfix.migrate.attempt import Attempt


def deliver(attempt: Attempt, git: Git, tree: str, result: Result) -> None:
    """Deliver a tree as the campaign wants it. Raises GitError where that cannot be done."""
    if attempt.repository.output == PATCH:
        _write_patch(attempt, git, tree, result)
    else:
        _make_branch(attempt, git, tree, result)


def _write_patch(attempt: Attempt, git: Git, tree: str, result: Result) -> None:
    patch = git.diff(result.base, tree, binary=True)
    if git.makes(result.base, patch) != tree:
        raise GitError("the patch does not make what was rewritten")
    replace(attempt.patch, patch)
    result.patch = attempt.patch.relative_to(attempt.folder).as_posix()


def _make_branch(attempt: Attempt, git: Git, tree: str, result: Result) -> None:
    """Make the branch, or move it where it still is what this campaign has made of it."""
    repository = attempt.repository
    branch, source = repository.branch, repository.source
    old = git.branch_at(source, branch, local=repository.local)
    if old is not None and not attempt.store.owns(repository.name, branch, old):
        raise GitError(
            f"the branch {branch!r} exists and is not this campaign's:"
            " rename or remove it, or choose another 'branch'"
        )
    author = repository.author or attempt.author
    commit = git.commit(tree, result.base, attempt.message(result), author)
    attempt.store.intend(repository.name, branch, commit)
    if repository.local:
        git.plant(source, branch, commit, result.base, old)
    else:
        git.push(source, branch, commit, old)
    result.branch, result.commit = branch, commit


def replace(path: Path, data: bytes) -> None:
    """Write a file as one step; its folder is made if need be."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.tmp")
    with temporary.open("wb") as stream:
        stream.write(data)
        stream.flush()
        os.fsync(stream.fileno())
    os.replace(temporary, path)
