"""The API of StarCraft II, served by the simulator: the `smac` and `smacv2` packages and pysc2 play on it."""
