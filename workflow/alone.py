"""Start Snakemake in this folder, over the lock of one that was killed, but not over one that is at work.

`python workflow/alone.py snakemake [arguments]`: a killed Snakemake leaves its lock behind, a living one holds it for a
reason. Two at once would start every run twice.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import psutil


def others(folder: Path) -> list[psutil.Process]:
    """Snakemake processes that were started in `folder`, this one's ancestors left out."""
    own = {os.getpid(), *(process.pid for process in psutil.Process().parents())}
    found = []
    for process in psutil.process_iter():
        try:
            words = [Path(word).name for word in process.cmdline()[:3]]
            if process.pid not in own and "snakemake" in words and Path(process.cwd()) == folder:
                found.append(process)
        except (psutil.Error, OSError):  # gone meanwhile, or somebody else's
            continue
    return found


def main(command: list[str]) -> int:
    """Unlock and run, or say in one line who is at work. Returns: exit code."""
    folder = Path.cwd().resolve()
    if found := others(folder):
        pids = ", ".join(str(process.pid) for process in found)
        sys.stderr.write(
            f"error: Snakemake is at work in {folder} already (process {pids}): wait, or end it by `kill {pids}`\n"
        )
        return 2
    subprocess.run([*command, "--unlock"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=False)
    os.execvp(command[0], command)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
