"""`python -m skirmish play --map 3m --policy heuristic --episodes 1000 --seed 0`."""

import sys

if sys.argv[1:2] == ["fidelity"] and "--learning" in sys.argv:  # curves of a study: flags of its own
    from skirmish.fidelity.learning import main as learning

    sys.exit(learning(sys.argv[2:]))

from skirmish.play import main

sys.exit(main())
