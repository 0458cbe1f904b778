"""The API of StarCraft II, served by the simulator: the `smac` and `smacv2` packages and pysc2 play on it."""

MARKER = "THIS-IS-THE-SKIRMISH-STAND-IN.txt"  # in every stand-in's folder, and in no installation of the game
