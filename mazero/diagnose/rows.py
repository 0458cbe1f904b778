"""The table of a diagnosis: every measure of every set of episodes as a row with its interval."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from mazero.config import MAZeroConfig
from mazero.diagnose import measures
from mazero.diagnose.measures import Estimate, Statistic, estimate, mean, mean_columns, pair_columns, sums_by_episode
from mazero.diagnose.play import Outcome, Recording
from mazero.diagnose.simulated import Lookahead
from mazero.diagnose.unrolled import Unrolled

Row = dict[str, Any]

# name -> (unit, definition); `at` of a row is what its definition says.
MEASURES = {
    "win_rate": ("share", "episodes won"),
    "return": ("reward", "undiscounted team return of an episode"),
    "length": ("steps", "environment steps of an episode"),
    "win_rate_at": ("share", "episodes won by greedy play with search; at: simulations N, 0 is play without search"),
    "return_at": ("reward", "their undiscounted return; at: N"),
    "win_rate_gain": ("share", "win rate with search minus that without, same episode seeds; at: N"),
    "return_gain": ("reward", "the same difference of returns; at: N"),
    "win_rate_gain_simulated": (
        "share",
        "win rate of play that tries K draws of the policy in the simulator minus that without search; at: h",
    ),
    "return_gain_simulated": (
        "reward",
        "the same difference of returns; the policy follows a draw, h steps in all, then the value counts; at: h",
    ),
    "consequence": (
        "correlation",
        "of the model's and the simulator's discounted rewards over k steps, among the draws of one root (their mean "
        "taken away): whether the model knows what one joint action brings and another does not; at: k",
    ),
    "consequence_spread": ("reward", "standard deviation of the simulator's among the draws of one root; at: k"),
    "consequence_spread_model": ("reward", "the same of the model's; at: k"),
    "reward_error": ("reward", "mean |predicted - real reward| of the action at depth k of the model; at: k"),
    "reward_bias": ("reward", "mean predicted - real reward; at: k"),
    "reward_explained": ("share", "1 - mean squared error / variance of the real rewards; at: k"),
    "reward_size": ("reward", "mean |real reward|: the error of a model that predicts 0; at: k"),
    "reward_spread": ("reward", "standard deviation of the real rewards; at: k"),
    "value_drift": ("reward", "mean |value at the predicted state - value at the encoded real one|; at: k"),
    "value_drift_bias": ("reward", "mean of that difference with its sign; at: k"),
    "value_drift_explained": ("share", "1 - its mean square / variance of the value at the encoded state; at: k"),
    "value_spread": ("reward", "standard deviation of the value at the encoded states; at: k"),
    "consistency": ("cosine", "of the projections of predicted and encoded state, as in the loss; at: k"),
    "consistency_still": ("cosine", "the same for the state at the start, as if it had not changed; at: k"),
    "policy_drift": ("nats", "KL(policy at the encoded || at the predicted state), per agent with a choice; at: k"),
    "illegal_share": ("share", "probability on actions that are not available, mean over agents; at: k"),
    "illegal_share_choosing": ("share", "the same, mean over agents with a choice; at: k"),
    "end_value": ("reward", "predicted value behind the last step of an episode, k steps ahead; should be 0; at: k"),
    "end_value_error": ("reward", "its mean absolute value; at: k"),
    "beyond_value_error": ("reward", "mean |value| at depth k beyond the end, random actions; should be 0; at: k"),
    "beyond_reward_error": ("reward", "mean |reward| at depth k beyond the end; should be 0; at: k"),
    "last_reward_error": ("reward", "mean |predicted - real reward| of the last action of an episode; at: k"),
    "last_reward_size": ("reward", "mean |real reward| of the last action; at: k"),
    "late_value_size": ("reward", "mean |predicted value| at the encoded last U states: what an end takes away"),
    "outcome_mean": ("reward", "mean G: discounted return really obtained from a step on"),
    "outcome_spread": ("reward", "standard deviation of G over steps"),
    **{
        f"{name}_{measure}": (unit, f"{definition}; p: {what}")
        for name, what in (
            ("predicted", "value predicted at the root"),
            ("searched", "value V of the search at the root"),
            ("target", "n-step target of the run's td_steps, bootstrapped with the predicted value"),
        )
        for measure, unit, definition in (
            ("bias", "reward", "mean p - G"),
            ("rmse", "reward", "root of the mean squared p - G"),
            ("residual", "reward", "standard deviation of p - G"),
            ("correlation", "correlation", "of p and G"),
            ("explained", "share", "1 - mean squared (p - G) / variance of G"),
        )
    },
    "entropy": ("nats", "of the policy at a root over available actions, per agent with a choice"),
    "entropy_uniform": ("nats", "ln of the number of available actions, per agent with a choice: the most there is"),
    "agents_choosing": ("agents", "agents with more than one available action"),
    "children": ("share", "different joint actions among the K draws, / K"),
    "clean_draws": ("share", "(1 - noise fraction) ** agents with a choice: joint draws that noise is not to touch"),
    "top_draws": ("share", "of the K draws that are the policy's most likely joint action"),
    "top_proposed": ("share", "of the roots at which that joint action is among the children"),
    "top_probability": ("share", "probability of that joint action under the policy"),
    "agreement": ("share", "of the roots at which search visits the policy's most likely joint action most"),
    "agreement_agents": ("share", "of the agents with a choice for which it takes the policy's most likely action"),
    "visits_moved": ("share", "half of sum |visit share - prior| over the children: weight that search moved"),
    "visits_divergence": ("nats", "KL(visit shares || priors) over the children"),
    "child_spread": ("reward", "standard deviation of q (of advantages) among the visited children of a root"),
    "signal_to_noise": ("ratio", "child_spread / searched_residual"),
    "model_child_spread": ("reward", "the same for q without a search below the child: reward + gamma value predicted"),
    **{
        f"{name}_{measure}": ("ratio", f"{definition}; q: {what}")
        for name, what in (
            ("advantage", "of the search"),
            ("model_advantage", "of one step of the model, reward + gamma value predicted"),
        )
        for measure, definition in (
            (
                "true",
                "how much of (q of the child taken minus the mean q by which it was drawn) comes true in (h-step "
                "return, bootstrapped with the predicted value, minus the search's value): 1 if differences among "
                "children are real, 0 if they mean nothing; at: h in steps",
            ),
            ("true_outcome", "the same with the return to the end of the episode"),
        )
    },
}


def outcome_rows(name: str, outcome: Outcome) -> list[Row]:
    """How the episodes of a set ended."""
    columns = {"win_rate": outcome.won, "return": outcome.returns, "length": outcome.length}
    return [row for measure, x in columns.items() for row in _row(name, measure, _over_episodes(x))]


def search_gain_rows(name: str, bare: Outcome, searched: dict[int, Outcome]) -> list[Row]:
    """Play with search against play without it, slot by slot. Args: searched: N -> outcome."""
    rows: list[Row] = []
    for at, outcome in sorted({0: bare, **searched}.items()):
        rows += _row(name, "win_rate_at", _over_episodes(outcome.won), at)
        rows += _row(name, "return_at", _over_episodes(outcome.returns), at)
        if at:
            won = outcome.won.astype(np.float64) - bare.won
            rows += _row(name, "win_rate_gain", _over_episodes(won), at)
            rows += _row(name, "return_gain", _over_episodes(outcome.returns - bare.returns), at)
    return rows


def lookahead_rows(name: str, bare: Outcome, lookaheads: dict[int, Lookahead], *, discount: float) -> list[Row]:
    """Play with the simulator in the model's place against play without search, and what the model missed.

    Args: lookaheads: steps h -> lookahead; of the longest one come the comparisons with the model.
    """
    rows: list[Row] = []
    for at, lookahead in sorted(lookaheads.items()):
        won = lookahead.outcome.won.astype(np.float64) - bare.won
        rows += _row(name, "win_rate_gain_simulated", _over_episodes(won), at)
        rows += _row(name, "return_gain_simulated", _over_episodes(lookahead.outcome.returns - bare.returns), at)
    longest = lookaheads[max(lookaheads)]
    weight = discount ** np.arange(longest.reward.shape[-1])
    predicted, real = ((x * weight).cumsum(axis=-1) for x in (longest.predicted, longest.reward))  # (M, K, D)
    draws = predicted.shape[1]
    episode = np.repeat(longest.episode, draws)
    for d in range(len(weight)):
        model, simulator = (measures.apart(x[:, :, d]).ravel() for x in (predicted, real))
        for measure, columns, statistic in (
            ("consequence", measures.pair_columns(model, simulator), measures.correlation),
            ("consequence_spread", measures.pair_columns(model, simulator), measures.spread),
            ("consequence_spread_model", measures.pair_columns(simulator, model), measures.spread),
        ):
            sums = sums_by_episode(columns, episode, len(bare.length))
            rows += _row(name, measure, estimate(sums, statistic), d + 1)
    return rows


def recording_rows(name: str, recording: Recording, unrolled: Unrolled, config: MAZeroConfig) -> list[Row]:
    """Everything that is measured on the steps of one set.

    Args: name: of the set; `self_play` has noise at the roots, and actions drawn by visit counts.
    """
    table = _Table(name, recording)
    table.model(unrolled, consistency=config.loss.consistency > 0)
    table.end(unrolled, late=config.targets.unroll_steps)
    table.value(config)
    table.root(config)
    return table.rows


class _Table:
    """Rows of one set of episodes, a method for each part of the method."""

    def __init__(self, name: str, recording: Recording) -> None:
        self.name, self.recording = name, recording
        self.rows: list[Row] = []

    def _estimate(self, columns: np.ndarray, statistic: Statistic, where: np.ndarray | None = None) -> Estimate | None:
        episode = self.recording.episode
        if where is not None:
            columns, episode = columns[where], episode[where]
        return estimate(sums_by_episode(columns, episode, self.recording.num_episodes), statistic)

    def _add(self, measure: str, columns: np.ndarray, statistic: Statistic, at: int | None = None,
             where: np.ndarray | None = None) -> None:  # fmt: skip
        self.rows += _row(self.name, measure, self._estimate(columns, statistic, where), at)

    def _mean(self, measure: str, x: np.ndarray, at: int | None = None) -> None:
        """Mean of x (M,) where it is not NaN."""
        self._add(measure, mean_columns(x), mean, at, where=~np.isnan(x))

    def model(self, unrolled: Unrolled, *, consistency: bool) -> None:
        """Reward, value, state and policy at depth k against what came."""
        recording = self.recording
        for d in range(unrolled.value.shape[1]):
            k = d + 1
            taken = np.flatnonzero(unrolled.reached[:, d])
            if taken.size:
                real, predicted = np.zeros(len(recording.reward)), unrolled.reward[:, d]
                real[taken] = recording.reward[taken + d]
                pair = pair_columns(predicted[taken], real[taken])
                self._mean("reward_error", _where(unrolled.reached[:, d], np.abs(predicted - real)), k)
                self._pairs(pair, taken, k, {"reward_bias": measures.bias, "reward_explained": measures.explained,
                                             "reward_spread": measures.spread})  # fmt: skip
                self._mean("reward_size", _where(unrolled.reached[:, d], np.abs(real)), k)
            inside = np.flatnonzero(unrolled.inside[:, d])
            if inside.size:
                encoded = recording.value[unrolled.index[:, d]]
                drift = np.abs(unrolled.value[:, d] - encoded)
                self._mean("value_drift", _where(unrolled.inside[:, d], drift), k)
                pair = pair_columns(unrolled.value[inside, d], encoded[inside])
                self._pairs(pair, inside, k, {"value_drift_bias": measures.bias, "value_spread": measures.spread,
                                              "value_drift_explained": measures.explained})  # fmt: skip
                if consistency:
                    self._mean("consistency", unrolled.cosine[:, d], k)
                    self._mean("consistency_still", unrolled.cosine_still[:, d], k)
                self._mean("policy_drift", unrolled.policy_drift[:, d], k)
                self._mean("illegal_share", unrolled.illegal[:, d], k)
                self._mean("illegal_share_choosing", unrolled.illegal_choosing[:, d], k)

    def _pairs(self, columns: np.ndarray, steps: np.ndarray, at: int | None, statistics: dict[str, Statistic]) -> None:
        """Several statistics of the same pairs. Args: columns: (m, ...) of the steps (m,)."""
        recording = self.recording
        sums = sums_by_episode(columns, recording.episode[steps], recording.num_episodes)
        for measure, statistic in statistics.items():
            self.rows += _row(self.name, measure, estimate(sums, statistic), at)

    def end(self, unrolled: Unrolled, *, late: int) -> None:
        """Values and rewards where the episode has ended."""
        remaining = self.recording.remaining
        for d in range(unrolled.value.shape[1]):
            k, value = d + 1, unrolled.value[:, d]
            self._mean("end_value", _where(remaining == k, value), k)
            self._mean("end_value_error", _where(remaining == k, np.abs(value)), k)
            if len(last := np.flatnonzero(remaining == k)):
                real = np.full(len(value), np.nan)
                real[last] = self.recording.reward[last + d]
                self._mean("last_reward_error", np.abs(unrolled.reward[:, d] - real), k)
                self._mean("last_reward_size", np.abs(real), k)
            self._mean("beyond_value_error", _where(remaining < k, np.abs(value)), k)
            self._mean("beyond_reward_error", _where(remaining < k, np.abs(unrolled.reward[:, d])), k)
        self._mean("late_value_size", _where(remaining <= late, np.abs(self.recording.value)))

    def value(self, config: MAZeroConfig) -> None:
        """Predicted, searched and target value against the return really obtained."""
        recording, discount = self.recording, config.search.discount
        outcome = _outcome(recording, discount)
        self._mean("outcome_mean", outcome)
        self._add("outcome_spread", pair_columns(outcome, outcome), measures.spread)
        every = np.arange(len(outcome))
        estimates = {
            "predicted": recording.value,
            "searched": recording.search_value,
            "target": recording.n_step(config.targets.td_steps, discount=discount),
        }
        for kind, value in estimates.items():
            statistics: dict[str, Statistic] = {
                f"{kind}_bias": measures.bias, f"{kind}_rmse": measures.rmse, f"{kind}_residual": measures.residual,
                f"{kind}_correlation": measures.correlation, f"{kind}_explained": measures.explained,
            }  # fmt: skip
            self._pairs(pair_columns(value, outcome), every, None, statistics)

    def root(self, config: MAZeroConfig) -> None:
        """Policy and search at the roots."""
        recording, explore = self.recording, self.name == "self_play"
        p = measures.legal_policy(recording.logits, recording.available)  # (M, n, A)
        free = measures.choosing(recording.available)  # (M, n)
        best = p.argmax(axis=-1)  # (M, n)
        most = np.where(recording.mask, recording.visit_counts, -1).argmax(axis=1) if explore else recording.child
        searched = np.take_along_axis(recording.joint_actions, most[:, None, None], axis=1)[:, 0]  # (M, n)
        is_best = measures.same_children(recording.joint_actions, recording.mask, best)  # (M, K)
        visits = measures.shares(recording.visit_counts, recording.mask)
        prior = measures.shares(recording.prior, recording.mask)
        self._mean("entropy", measures.mean_where(measures.entropy(p), free))
        self._mean("entropy_uniform", measures.mean_where(np.log(recording.available.sum(axis=2)), free))
        self._mean("agents_choosing", free.sum(axis=-1).astype(np.float64))
        self._mean("children", recording.num_children / config.search.num_sampled_actions)
        if explore:
            fraction = config.search.for_team(recording.available.shape[1]).noise_fraction
            clean = measures.clean_draws(recording.available, noise_fraction=fraction)
            self._mean("clean_draws", clean)
        self._mean("top_draws", np.where(is_best, recording.prior, 0.0).sum(axis=-1))
        self._mean("top_proposed", np.asarray(is_best.any(axis=-1), np.float64))
        self._mean("top_probability", p.max(axis=-1).prod(axis=-1))
        self._mean("agreement", (searched == best).all(axis=-1).astype(np.float64))
        self._mean("agreement_agents", measures.mean_where(searched == best, free))
        self._mean("visits_moved", 0.5 * np.abs(visits - prior).sum(axis=-1))
        self._mean("visits_divergence", measures.divergence(visits, prior))
        self._signal(config, visits, explore=explore)

    def _signal(self, config: MAZeroConfig, visits: np.ndarray, *, explore: bool) -> None:
        """Differences among children against the noise of values, and whether they come true."""
        recording, discount = self.recording, config.search.discount
        outcome = _outcome(recording, discount)
        visited = recording.mask & (recording.visit_counts > 0)
        apart = measures.child_spread(recording.q, visited)
        self._mean("child_spread", apart)
        self._mean("model_child_spread", measures.child_spread(recording.model_q, visited))
        columns = measures.signal_columns(np.nan_to_num(apart), recording.search_value, outcome)
        self._add("signal_to_noise", columns, measures.signal_to_noise, where=~np.isnan(apart))
        if not explore:
            return  # greedy play takes the child that looks best: there is nothing random to learn from
        share = measures.shares(visits ** (1.0 / config.self_play.temperature), recording.mask)
        for name, q in (("advantage", recording.q), ("model_advantage", recording.model_q)):
            for horizon in sorted({1, config.targets.td_steps}):
                came = recording.n_step(horizon, discount=discount) - recording.search_value
                columns = measures.fulfilment_columns(q, share, recording.child, came)
                self._add(f"{name}_true", columns, measures.fulfilment, horizon)
            columns = measures.fulfilment_columns(q, share, recording.child, outcome - recording.search_value)
            self._add(f"{name}_true_outcome", columns, measures.fulfilment)


def _outcome(recording: Recording, discount: float) -> np.ndarray:
    """(M,) discounted returns to the end of the episode."""
    whole = measures.returns_to_go(recording.padded(recording.reward), discount=discount)
    return whole[recording.episode, recording.step]


def _where(mask: np.ndarray, x: np.ndarray) -> np.ndarray:
    """x, NaN outside the mask."""
    return np.where(mask, x, np.nan)


def _over_episodes(x: np.ndarray) -> Estimate | None:
    """Mean over episodes (E,)."""
    return estimate(mean_columns(x.astype(np.float64)), mean)


def _row(name: str, measure: str, found: Estimate | None, at: int | None = None) -> Iterable[Row]:
    """One row, or none where the measure is not defined on these episodes."""
    if found is not None:
        yield {"set": name, "measure": measure, "at": at, "value": found.value, "low": found.low, "high": found.high,
               "count": found.steps, "unit": MEASURES[measure][0]}  # fmt: skip
