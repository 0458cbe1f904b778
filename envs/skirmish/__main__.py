"""`python -m envs.skirmish play --map 3m --policy heuristic --episodes 1000 --seed 0`."""

import sys

from envs.skirmish.play import main

sys.exit(main())
