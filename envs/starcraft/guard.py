"""Runs beside a run that plays StarCraft II, and cleans up after it however it ends: also by SIGKILL.

    python guard.py FOLDER

Standard input is a pipe from the run: lines `+PGID` and `-PGID` say which process groups (a worker and its game) live.
When the pipe ends, the run is gone: what still lives is killed and FOLDER is removed. Standard library only, and run as
a file: it starts in a few hundredths of a second and takes little memory.
"""

from __future__ import annotations

import os
import shutil
import signal
import sys
import time

TRIES = 50  # to remove the folder, while what was killed still writes into it
PAUSE = 0.1  # seconds between them


def main(folder: str) -> None:
    """Wait for the end of the run, then clean up."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    groups: set[int] = set()
    for line in sys.stdin:
        sign, group = line[0], int(line[1:])
        (groups.add if sign == "+" else groups.discard)(group)
    for group in groups:
        try:
            os.killpg(group, signal.SIGKILL)
        except (ProcessLookupError, PermissionError):
            pass
    for _ in range(TRIES):
        shutil.rmtree(folder, ignore_errors=True)
        if not os.path.exists(folder):
            return
        time.sleep(PAUSE)


if __name__ == "__main__":
    main(sys.argv[1])
