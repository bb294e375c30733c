"""Ends what a command has left behind; as a script, also when the parent of the command dies.

Imports nothing of gradfix: the script is started by path, and knows no packages.

``guard.py LIFE RESULT MARK COMMAND…``: two file descriptors, what the environment of all that
belongs to the command holds, and the command. The guard and all that the command starts are one
process group. Once the command has ended, its exit code goes to RESULT, and the guard waits to be
killed together with what the command has left behind: while the guard lives, nobody else can get
the group's number. LIFE is a pipe that nobody writes to; it closes when the
parent is gone, whatever ended it. Then also what has left the group is ended (on Linux).
"""

import contextlib
import json
import os
import signal
import sys
import threading
import time

FAILED = 127
#: Passes in a row that have to find nobody, and the seconds between two of them.
_QUIET, _PAUSE = 3, 0.05


def end_marked(mark: str) -> None:
    """End all other processes that carry a mark in their environment (on Linux).

    They are looked for until several passes find nobody: a process that is just becoming another
    program shows no environment for a moment.
    """
    quiet = 0 if os.path.isdir("/proc/self") else _QUIET
    for _ in range(100):
        if quiet == _QUIET:
            break
        names = [name for name in os.listdir("/proc") if name.isdigit()]
        others = [name for name in names if int(name) != os.getpid()]
        ended = [_end_if_marked(name, os.fsencode(mark)) for name in others]
        quiet = 0 if any(ended) else quiet + 1
        time.sleep(_PAUSE)


def _end_if_marked(name: str, mark: bytes) -> bool:
    # It may have ended, or be somebody else's.
    with contextlib.suppress(OSError), open(f"/proc/{name}/environ", "rb") as stream:
        if mark in stream.read().split(b"\0"):
            os.kill(int(name), signal.SIGKILL)
            return True
    return False


def _follow(life: int, mark: str) -> None:
    os.read(life, 1)
    end_marked(mark)
    os.killpg(0, signal.SIGKILL)


def main() -> None:
    """Run the command of the command line."""
    life, result, mark = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3]
    for fd in (life, result):
        os.set_inheritable(fd, False)
    threading.Thread(target=_follow, args=(life, mark), daemon=True).start()
    command = sys.argv[4:]
    try:
        child = os.posix_spawnp(command[0], command, os.environ)
        _, status = os.waitpid(child, 0)
        said: dict[str, object] = {"code": os.waitstatus_to_exitcode(status)}
    except OSError as error:
        said = {"code": FAILED, "error": f"{command[0]}: {error.strerror or error}"}
    with contextlib.suppress(BrokenPipeError):  # the parent is gone: wait to be killed all the same
        os.write(result, json.dumps(said).encode())
    os.close(result)
    threading.Event().wait()


if __name__ == "__main__":
    main()
