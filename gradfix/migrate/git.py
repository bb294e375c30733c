"""Git, as far as campaigns need it: one commit in a folder of its own, trees, commits, branches.

NOTE: bytes. The folder is checked out without any conversion (line endings, encodings, filters, as
attributes or the user's configuration would have it), so its files are the blobs, byte for byte,
and what is written down afterwards differs from them by the rewrite alone. In the folder no hook
runs and no configuration but the repository's counts; the user's counts where a repository is
fetched or pushed, since it says how to get there.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path

from gradfix.migrate import process
from gradfix.migrate.process import Ended, Limits

#: What git's own hooks set, which would make every command below work on another repository.
_LOCAL = (
    "GIT_ALTERNATE_OBJECT_DIRECTORIES", "GIT_COMMON_DIR", "GIT_CONFIG", "GIT_CONFIG_COUNT",
    "GIT_CONFIG_PARAMETERS", "GIT_DIR", "GIT_GRAFT_FILE", "GIT_IMPLICIT_WORK_TREE",
    "GIT_INDEX_FILE", "GIT_INTERNAL_SUPER_PREFIX", "GIT_NAMESPACE", "GIT_NO_REPLACE_OBJECTS",
    "GIT_OBJECT_DIRECTORY", "GIT_PREFIX", "GIT_REPLACE_REF_BASE", "GIT_SHALLOW_FILE",
    "GIT_WORK_TREE",
)  # fmt: skip
_ATTRIBUTES = "* -text -eol -crlf -ident -filter -working-tree-encoding\n"
_PLAIN = ("-c", f"core.hooksPath={os.devnull}", "-c", "core.fsmonitor=false", "-c", "gc.auto=0")
_DIFF = ("--no-ext-diff", "--no-textconv", "--no-color", "--no-renames", "--full-index",
         "--src-prefix=a/", "--dst-prefix=b/")  # fmt: skip


class GitError(Exception):
    """Git could not do it; the text is one line."""


def environment() -> dict[str, str]:
    """The environment for commands: this process's, without what points at another repository."""
    return {key: value for key, value in os.environ.items() if key not in _LOCAL}


class Git:
    """Commands in one folder. Every method may raise GitError, Stopped or TimedOut."""

    def __init__(self, folder: Path, limits: Limits) -> None:
        self.folder = folder
        self._limits = limits
        if shutil.which("git") is None:
            raise GitError("git is not installed, or not on the PATH")

    # -- elsewhere ------------------------------------------------------------------------------

    def head(self, source: str, ref: str) -> str:
        """The object that a ref of a repository elsewhere names now. Raises GitError without one.

        A whole commit id names itself; nobody is asked.
        """
        if len(ref) == 40 and all(c in "0123456789abcdef" for c in ref):
            return ref
        listed = self._abroad("ls-remote", "--", source, ref).decode("utf-8", "replace")
        found = {name: oid for oid, _, name in (li.partition("\t") for li in listed.splitlines())}
        for name in (ref, f"refs/heads/{ref}", f"refs/tags/{ref}"):
            if name in found:
                return found[name]
        if ref == "HEAD":
            raise GitError("its HEAD names no commit: it is empty, or needs a 'ref'")
        raise GitError(f"the repository has no branch or tag {ref!r}")

    def fetch(self, source: str, ref: str) -> str:
        """One commit of a repository elsewhere into this folder, checked out; its id."""
        self._here("init", "-q", "--template=", ".")
        info = self.folder / ".git" / "info"
        info.mkdir(exist_ok=True)
        (info / "attributes").write_text(_ATTRIBUTES, encoding="ascii")
        self._abroad("fetch", "-q", "--depth=1", "--no-tags", "--no-recurse-submodules",
                     "--", source, ref)  # fmt: skip
        base = self._here("rev-parse", "FETCH_HEAD^{commit}").decode().strip()
        self._here("checkout", "-q", "--detach", base)
        return base

    def uncommitted(self, checkout: str) -> int:
        """How many changes of a checkout elsewhere are in no commit; nothing is refreshed there."""
        done = self._run(("--no-optional-locks", "-C", checkout, "status", "--porcelain", "-z"), {})
        return done.out.count(b"\0") if done.code == 0 else 0

    # -- in the folder --------------------------------------------------------------------------

    def links_outside(self) -> list[Path]:
        """Links of the checkout that lead out of it, or nowhere."""
        top = self.folder.resolve()
        found = []
        for entry in self._here("ls-files", "-s", "-z").split(b"\0"):
            if entry.startswith(b"120000 "):
                path = self.folder / os.fsdecode(entry.partition(b"\t")[2])
                if path.is_symlink() and not path.resolve().is_relative_to(top):
                    found.append(path)
        return found

    def changed(self) -> list[str]:
        """Files whose content is not that of the commit any more."""
        listed = self._here("diff", "--name-only", "-z", "--diff-filter=M", "--no-ext-diff")
        return [os.fsdecode(name) for name in listed.split(b"\0") if name]

    def tree(self, paths: Sequence[str]) -> str:
        """The tree of the commit with these files as they are now."""
        names = b"".join(os.fsencode(path) + b"\0" for path in paths)
        self._here("update-index", "-z", "--stdin", given=names)
        return self._here("write-tree").decode().strip()

    def clean(self, base: str) -> None:
        """The checkout as if nothing had ever happened in it."""
        self._here("read-tree", base)
        self._here("clean", "-q", "-ffdx")
        self._here("checkout", "-q", "-f", "--detach", base)

    def diff(self, base: str, tree: str, *, binary: bool) -> bytes:
        """What a tree changes, for ``git apply`` (``binary``) or for people."""
        return self._here("diff", *_DIFF, "--binary" if binary else "--text", base, tree)

    def makes(self, base: str, patch: bytes) -> str:
        """The tree that a patch makes of a commit, applied as users would."""
        index = {"GIT_INDEX_FILE": str(self.folder / ".git" / "patched")}
        self._here("read-tree", base, more=index)
        self._here("apply", "--cached", "-", given=patch, more=index)
        return self._here("write-tree", more=index).decode().strip()

    def commit(self, tree: str, base: str, message: str, author: str) -> str:
        """A commit of a tree on top of the base; ``author`` is ``Name <mail>``."""
        name, _, mail = author.rpartition(" <")
        who = {
            f"GIT_{role}_{key}": value
            for role in ("AUTHOR", "COMMITTER")
            for key, value in (("NAME", name), ("EMAIL", mail.rstrip(">")))
        }
        made = self._here("commit-tree", tree, "-p", base, given=message.encode(), more=who)
        return made.decode().strip()

    # -- delivering -----------------------------------------------------------------------------

    def branch_at(self, source: str, branch: str, *, local: bool) -> str | None:
        """The commit that a branch elsewhere is at, None where there is no such branch."""
        if local:
            done = self._run(
                ("-C", source, "rev-parse", "-q", "--verify", f"refs/heads/{branch}"), {}
            )
            return done.out.decode().strip() if done.code == 0 else None
        listed = self._abroad("ls-remote", "--", source, f"refs/heads/{branch}").decode()
        return listed.partition("\t")[0] or None

    def plant(self, source: str, branch: str, commit: str, base: str, old: str | None) -> None:
        """Make a branch in a repository on this machine, or move it from ``old``, in one step.

        The new objects go over as they are: no gc, no hook and no fetch runs there, and nothing but
        objects and this one ref is written.
        """
        if old is not None and self._checked_out(source, branch):
            raise GitError(f"the branch {branch!r} is checked out there")
        wanted = f"{commit}\n^{base}\n".encode()
        pack = self._here("pack-objects", "-q", "--revs", "--stdout", given=wanted)
        self._there(source, "unpack-objects", "-q", given=pack)
        note = ("-m", "gradfix migrate")
        self._there(source, "update-ref", *note, f"refs/heads/{branch}", commit, old or "0" * 40)

    def push(self, source: str, branch: str, commit: str, old: str | None) -> None:
        """Make a branch in a repository elsewhere, or move it from ``old``, in one step."""
        ref = f"refs/heads/{branch}"
        self._abroad("push", "-q", "--no-verify", f"--force-with-lease={ref}:{old or ''}",
                     "--", source, f"{commit}:{ref}")  # fmt: skip

    def _checked_out(self, source: str, branch: str) -> bool:
        listed = self._there(source, "worktree", "list", "--porcelain")
        return f"\nbranch refs/heads/{branch}\n".encode() in listed

    # -- running --------------------------------------------------------------------------------

    def _here(
        self, *arguments: str, given: bytes = b"", more: Mapping[str, str] | None = None
    ) -> bytes:
        alone = {"GIT_CONFIG_NOSYSTEM": "1", "GIT_CONFIG_GLOBAL": os.devnull, **(more or {})}
        return self._checked(arguments, alone, given)

    def _abroad(self, *arguments: str) -> bytes:
        return self._checked(arguments, {})

    def _there(self, source: str, *arguments: str, given: bytes = b"") -> bytes:
        return self._checked(("-C", source, *arguments), {}, given)

    def _checked(
        self, arguments: Sequence[str], more: Mapping[str, str], given: bytes = b""
    ) -> bytes:
        done = self._run(arguments, more, given)
        if done.code:
            raise GitError(_complaint(done, arguments))
        return done.out

    def _run(self, arguments: Sequence[str], more: Mapping[str, str], given: bytes = b"") -> Ended:
        quiet = {"GIT_TERMINAL_PROMPT": "0", "SSH_ASKPASS_REQUIRE": "never", "LC_ALL": "C"}
        try:
            return process.run(
                ("git", *_PLAIN, *arguments),
                self.folder,
                self._limits,
                environment={**environment(), **quiet, **more},
                given=given,
            )
        except process.NotStarted as error:
            raise GitError(str(error)) from error


def identity(folder: Path) -> str:
    """Who git says the user is, as ``Name <mail>``. Raises GitError where it does not know."""
    limits = Limits(deadline=float("inf"))
    said = Git(folder, limits)._checked(("var", "GIT_AUTHOR_IDENT"), {})
    return said.decode("utf-8", "replace").strip().rpartition(" ")[0].rpartition(" ")[0]


def _complaint(done: Ended, arguments: Sequence[str]) -> str:
    """Git's own words in one line: the first that says what is wrong."""
    lines = [line.strip() for line in done.err.decode("utf-8", "replace").splitlines()]
    for mark in ("remote: fatal: ", "remote: error: ", "fatal: ", "error: ", "! "):
        for line in lines:
            if mark in line:
                return f"git: {line.rpartition(mark)[2] if mark != '! ' else line}"
    command = next((a for a in arguments if not a.startswith("-")), "")
    return f"git {command}: {next(filter(None, lines), f'exit code {done.code}')}"
