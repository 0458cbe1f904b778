"""Does the simulator fight as StarCraft II does? The same policy on both, measured, tested and recorded.

`python -m envs compare --map 3m --policy focus_fire --backends smac,skirmish --out DIR`. An application of this suite:
it uses `envs`, `training`, and the loaders of trained runs, and none of these uses it.
"""
