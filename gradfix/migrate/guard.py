"""Runs one command, and takes it along when its parent dies. Started as a script, by path.

``guard.py LIFE RESULT COMMAND…``: two file descriptors and a command. The guard and all that the
command starts are one process group. Once the command has ended, its exit code goes to RESULT, and
the guard waits to be killed together with what the command has left behind: while the guard lives,
nobody else can get the group's number. LIFE is a pipe that nobody writes to; it closes when the
parent is gone, whatever ended it.
"""

import json
import os
import signal
import sys
import threading

FAILED = 127


def _follow(life: int) -> None:
    os.read(life, 1)
    os.killpg(0, signal.SIGKILL)


def main() -> None:
    """Run the command of the command line."""
    life, result = int(sys.argv[1]), int(sys.argv[2])
    for fd in (life, result):
        os.set_inheritable(fd, False)
    threading.Thread(target=_follow, args=(life,), daemon=True).start()
    command = sys.argv[3:]
    try:
        child = os.posix_spawnp(command[0], command, os.environ)
        _, status = os.waitpid(child, 0)
        said: dict[str, object] = {"code": os.waitstatus_to_exitcode(status)}
    except OSError as error:
        said = {"code": FAILED, "error": f"{command[0]}: {error.strerror or error}"}
    os.write(result, json.dumps(said).encode())
    os.close(result)
    threading.Event().wait()


if __name__ == "__main__":
    main()
