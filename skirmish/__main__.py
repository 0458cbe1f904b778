"""`python -m skirmish play --map 3m --policy heuristic --episodes 1000 --seed 0`."""

import sys

if sys.argv[1:2] == ["fidelity"] and "--learning" in sys.argv:  # curves of a study: flags of its own
    from skirmish.fidelity.learning import main as learning

    sys.exit(learning(sys.argv[2:]))

if sys.argv[1:2] == ["serve"]:  # flags of the game's binary, and a socket that opens before anything slow is loaded
    from skirmish.protocol.commands import serve

    sys.exit(serve(sys.argv[2:]))
if sys.argv[1:2] == ["install-standin"]:
    from skirmish.protocol.commands import install

    sys.exit(install(sys.argv[2:]))

from skirmish.play import main

sys.exit(main())
