"""Command line of the environments: `python -m envs compare`."""

import logging
import sys

from envs.compare.cli import run
from training.cli import main

if __name__ == "__main__":
    logging.getLogger("fontTools").setLevel(logging.WARNING)  # matplotlib's, of PDF files; `main` shows our own lines
    sys.exit(main(run))
