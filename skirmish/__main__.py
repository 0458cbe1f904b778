"""`python -m skirmish play --map 3m --policy heuristic --episodes 1000 --seed 0`."""

import sys

from skirmish.play import main

sys.exit(main())
