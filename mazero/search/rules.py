"""The two rules of a search that a rival may replace, by name: `SearchConfig.proposal` and `SearchConfig.score`.

A rule is one compiled function. Names stand for the functions below; `module:function` names any other, so that a
rival is one file, here or elsewhere. Both get all roots' arrays of a `Tree`, whose fields say what they hold, and deal
with one node of one root b; they may draw from `rng` (`draws.uniform(rng, b)`) and from nothing else.

**proposal**: which joint actions a new node gets, and their priors.

    propose(b, node, key, prior, child, weight, score, draw, rng, num_agents, num_draws, num_actions, bits) -> count

  weight (1, n * A or more): what the joint actions come from, a product over agents; agent i has the (not normalised)
  probabilities weight[0, i * A : (i + 1) * A], at the root with mask and noise. On return,
  count >= 1 different joint actions stand in ascending order in key[b, node, :count] (`Tree` says how they are
  packed), their priors in prior[b, node, :count], which add up to 1 and stand for the product `weight`, and UNVISITED
  in child[b, node, :count]; count <= min(K, A ** n). `weight`, `score` and `draw` are free for use.

**score**: which child a simulation goes to next. The root's children are visited once each before it is asked.

    choose(b, node, nodes, key, prior, child, edge, score, rng, explore, tie_tolerance, low, scale) -> c

  node has nodes[b, node]["num_children"] children, of which below there were m = nodes[b, node]["visits"] - 1 visits.
  `edge` holds something only if m > 0: advantages and prior / (1 + visits). explore[m] is PUCT's factor of the latter;
  (advantage - low) / scale normalises an advantage to [0, 1]. `score` is free for use.

A rule is written with `jit.helper` in this package, whose compiled kernels are kept on disk for its present sources,
or with `numba.njit` elsewhere: kernels with such a rule are compiled once per process.
"""

import inspect
from collections.abc import Callable, Mapping
from importlib import import_module
from pathlib import Path
from typing import Any

PROPOSALS = {
    "policy": "mazero.search.expand:draw_children",  # K draws, duplicates merged (MAZero)
    "gumbel": "mazero.search.gumbel:draw_distinct",  # K different ones, as if drawn without replacement
}
SCORES = {"puct": "mazero.search.select:best_child"}  # MuZero's rule on advantages (MAZero)


def check_name(field: str, name: object, known: Mapping[str, str]) -> None:
    """Raises: ValueError unless `name` is known, or the `module:function` that it names is there."""
    if isinstance(name, str) and name in known:  # these are imported by the first search
        return
    if not isinstance(name, str) or not all(name.partition(":")):
        raise ValueError(f"{field} must be one of {', '.join(known)}, or module:function, got {name!r}")
    try:
        rule = find(name, known)
    except (ImportError, AttributeError) as error:
        raise ValueError(f"{field} must name a function that can be imported, got {name!r}: {error}") from error
    if not callable(rule):
        raise ValueError(f"{field} must name a function, got {name!r}, a {type(rule).__name__}")


def find(name: str, known: Mapping[str, str]) -> Callable[..., Any]:
    """The function of that name. Raises: ImportError or AttributeError if there is none."""
    module, _, function = known.get(name, name).partition(":")
    rule: Callable[..., Any] = getattr(import_module(module), function)
    return rule


def is_ours(rule: Callable[..., Any]) -> bool:
    """Whether a rule belongs to this package, so that a change of its source is noticed on disk."""
    return Path(inspect.getfile(getattr(rule, "py_func", rule))).is_relative_to(Path(__file__).parent)
