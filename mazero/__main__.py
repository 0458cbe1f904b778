"""Command line of MAZero; see `mazero.cli`."""

import sys

from mazero.cli import run
from training.cli import main

if __name__ == "__main__":
    sys.exit(main(run))
