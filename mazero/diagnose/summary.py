"""A diagnosis read out: sentences whose every word about size is a number of the table."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

Row = dict[str, Any]
SELF_PLAY, GREEDY, POLICY = "self_play", "greedy", "policy"  # sets of episodes


class Lookup:
    """Rows by set, measure and `at`."""

    def __init__(self, rows: Iterable[Row]) -> None:
        self._rows = {(row["set"], row["measure"], row["at"]): row for row in rows}

    def value(self, measure: str, at: int | None = None, name: str = SELF_PLAY) -> float | None:
        """The measure, or None where it is not defined."""
        row = self._rows.get((name, measure, at))
        return None if row is None else float(row["value"])

    def text(self, measure: str, at: int | None = None, name: str = SELF_PLAY) -> str:
        """`value [low, high]`, or what to say where there is none."""
        row = self._rows.get((name, measure, at))
        if row is None:
            return "not defined"
        return "{} [{}, {}]".format(*(_number(row[key]) for key in ("value", "low", "high")))


def shortfalls(rows: Iterable[Row], *, unroll_steps: int) -> list[dict[str, Any]]:
    """What every part of the method misses on self-play's episodes, largest first.

    Scaled so that 0 misses nothing and 1 is as bad as knowing nothing: a constant instead of a prediction, a state that
    stays where it was, a policy that is uniform, an end that takes nothing away. Errors may exceed 1. Parts whose
    measure is not defined are left out.
    """
    look, u = Lookup(rows), unroll_steps
    found = {
        "reward, depth 1": _missing(look.value("reward_explained", 1)),
        f"reward, depth {u}": _missing(look.value("reward_explained", u)),
        "state, depth 1": _share_missed(look, 1),
        f"state, depth {u}": _share_missed(look, u),
        f"value in the model, depth {u}": _missing(look.value("value_drift_explained", u)),
        "value at the root, predicted": _missing(look.value("predicted_explained")),
        "value at the root, searched": _missing(look.value("searched_explained")),
        "advantage of children, 1 step": _off(look.value("advantage_true", 1)),
        "policy's decision": _ratio(look.value("entropy"), look.value("entropy_uniform")),
        "consequences of actions, 1 step": _missing(look.value("consequence", 1, GREEDY)),
        f"legality, depth {u}": look.value("illegal_share", u),
        f"end of episode, depth {u}": _ratio(look.value("end_value_error", u), look.value("late_value_size")),
    }
    known = [{"part": part, "shortfall": value} for part, value in found.items() if value is not None]
    return sorted(known, key=lambda entry: -entry["shortfall"])


def sentences(table: Mapping[str, Any]) -> list[str]:
    """The summary of a table made by `mazero.diagnose.command`, a line each."""
    look, u, n, k = Lookup(table["rows"]), table["unroll_steps"], table["num_simulations"], table["num_sampled_actions"]
    td = table["td_steps"]
    units = f", unit data {table['unit_data']}" if table["unit_data"] else ""
    horizons = [(f"{h} step{'s' * (h > 1)}", h) for h in sorted({1, td})]
    came_true = {
        kind: ", ".join(f"{look.text(f'{kind}_true', h)} over {text}" for text, h in horizons)
        + f", {look.text(f'{kind}_true_outcome')} to the end"
        for kind in ("advantage", "model_advantage")
    }
    others = [at for at in table["simulations"] if at != n]
    ahead = [f"{look.text('return_gain_simulated', h, GREEDY)} by {text}" for text, h in horizons]
    consequences = [f"{look.text('consequence', h, GREEDY)} over {text}" for text, h in horizons]
    lines = [
        f"{table['map']} ({table['backend']}{units}), seed {table['seed']}: {table['policy']} policy, "
        f"{table['env_steps']} of {table['budget']} environment steps; {table['episodes']} episodes a set, "
        "[95 % intervals over episodes].",
        f"Play: win rate {look.text('win_rate', name=GREEDY)} greedy with search (N = {n}), "
        f"{look.text('win_rate', name=POLICY)} without, {look.text('win_rate')} in self-play; return "
        f"{look.text('return', name=GREEDY)}, {look.text('return', name=POLICY)}, {look.text('return')}.",
        f"Search against no search, same episode seeds: win rate {look.text('win_rate_gain', n, GREEDY)}, return "
        f"{look.text('return_gain', n, GREEDY)}"
        + "".join(f"; N = {at}: return {look.text('return_gain', at, GREEDY)}" for at in others)
        + ".",
        f"The simulator in the model's place (the best of {k} draws of the policy, tried in it; then the value): "
        f"return gain {', '.join(ahead)}, win rate {look.text('win_rate_gain_simulated', td, GREEDY)}. What one draw "
        f"brings more than another, model against simulator: correlation {', '.join(consequences)}.",
        f"Policy at the roots: {look.text('entropy')} of at most {look.text('entropy_uniform')} nats per agent with a "
        f"choice ({look.text('agents_choosing')} agents); its most likely joint action has probability "
        f"{look.text('top_probability')} and is among the K = {k} draws at {look.text('top_proposed')} of the roots "
        f"({look.text('top_proposed', name=GREEDY)} without noise); noise is to leave {look.text('clean_draws')} of "
        f"the draws untouched; {look.text('children')} of the draws differ.",
        f"Search at the roots, greedy: takes the policy's most likely joint action at "
        f"{look.text('agreement', name=GREEDY)} of the roots, {look.text('agreement_agents', name=GREEDY)} by agent; "
        f"moves {look.text('visits_moved', name=GREEDY)} of the prior's weight.",
        f"Signal: q of children differs by {look.text('child_spread')} (standard deviation), "
        f"{look.text('signal_to_noise')} of the root value's residual; of an advantage predicted come true: "
        f"{came_true['advantage']}; of one by one step of the model, without the search below: "
        f"{came_true['model_advantage']}.",
        f"Reward model: error {look.text('reward_error', 1)} at depth 1, {look.text('reward_error', u)} at {u}; "
        f"predicting 0: {look.text('reward_size', 1)}; explained {look.text('reward_explained', 1)}, "
        f"{look.text('reward_explained', u)}.",
        f"State model: cosine {look.text('consistency', 1)} at depth 1 (unmoved state "
        f"{look.text('consistency_still', 1)}), {look.text('consistency', u)} at {u} "
        f"({look.text('consistency_still', u)}); value drifts by {look.text('value_drift', 1)}, "
        f"{look.text('value_drift', u)} (spread {look.text('value_spread', 1)}); policy drifts by "
        f"{look.text('policy_drift', u)} nats at {u}; on unavailable actions {look.text('illegal_share', 1)}, "
        f"{look.text('illegal_share', u)}.",
        *(
            f"Value against the return obtained ({name}): predicted bias {look.text('predicted_bias', name=key)}, "
            f"explained {look.text('predicted_explained', name=key)}; searched bias "
            f"{look.text('searched_bias', name=key)}, explained {look.text('searched_explained', name=key)}; "
            f"{td}-step target bias {look.text('target_bias', name=key)}, explained "
            f"{look.text('target_explained', name=key)}."
            for name, key in (("self-play", SELF_PLAY), ("greedy", GREEDY))
        ),
        f"Ends: |value| behind the last step {look.text('end_value_error', 1)} seen from depth 1, "
        f"{look.text('end_value_error', u)} from {u}; at the last {u} states {look.text('late_value_size')}; reward of "
        f"the last action: error {look.text('last_reward_error', 1)} of {look.text('last_reward_size', 1)}.",
        "Shortfalls, 0: none, 1: as if nothing were known: "
        + ", ".join(f"{entry['part']} {_number(entry['shortfall'])}" for entry in table["shortfalls"])
        + ".",
    ]
    return lines


def _missing(explained: float | None) -> float | None:
    return None if explained is None else 1.0 - explained


def _off(share: float | None) -> float | None:
    return None if share is None else abs(1.0 - share)


def _ratio(part: float | None, whole: float | None) -> float | None:
    return None if part is None or not whole else part / whole


def _share_missed(look: Lookup, depth: int) -> float | None:
    """(1 - cosine) of the predicted state in shares of that of the unmoved one."""
    predicted, still = look.value("consistency", depth), look.value("consistency_still", depth)
    return None if predicted is None or still is None else _ratio(1.0 - predicted, 1.0 - still)


def _number(x: float) -> str:
    """Two digits behind the point, three below a tenth."""
    return f"{x:.3f}" if abs(x) < 0.1 and round(x, 3) else f"{x:.2f}"
