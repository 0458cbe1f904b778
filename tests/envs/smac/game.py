"""Run the tests that need a game, as `make test-starcraft` does: `python -m tests.envs.smac.game [pytest arguments]`.

The game is the one in SC2PATH; without one it is a stand-in, made for these tests by `python -m skirmish
install-standin`. Which one it was is said before and after the tests.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile

from envs.starcraft import installation


def main(arguments: list[str]) -> int:
    """Returns: the exit code of pytest; 2 where there is neither a game nor a stand-in."""
    with tempfile.TemporaryDirectory(prefix="mazero-bench-standin-") as folder:
        if not os.environ.get("SC2PATH"):
            made = subprocess.run([sys.executable, "-m", "skirmish", "install-standin", folder])
            if made.returncode != 0:
                sys.stderr.write("error: SC2PATH is not set, and no stand-in could be installed\n")
                return 2
            os.environ["SC2PATH"] = folder
        try:
            label = installation.find_game().label
        except ImportError as error:
            sys.stderr.write(f"error: {error}\n")
            return 2
        told = f"game: {label}, in {os.environ['SC2PATH']}\n"
        sys.stdout.write(told)
        sys.stdout.flush()
        chosen = ["-m", "starcraft and not slow", *arguments]
        code = subprocess.run([sys.executable, "-m", "pytest", "-q", "-rs", *chosen]).returncode
        sys.stdout.write(told)
        return code


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
