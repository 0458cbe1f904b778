"""Fig. 1 of the paper, exact: `python -m analysis.bandit --out results/fig1`, behaviour cloning against AWPO.

A bandit of 100 arms with values 0 to 99 and a softmax policy. The search is the better of two draws from the policy,
and the policy moves towards it by gradient descent on the expectation over all pairs of draws, nothing is sampled:
behaviour cloning of the better draw, or the same weighted by exp(advantage / alpha) (AWPO), advantages standardised
over arms.

The paper gives neither the step size nor the initial parameters, but that both methods share them. STEP_SIZE is chosen
so that both readings of its figure (`PAPER`) are met at once.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.figure import Figure
from numpy.typing import NDArray

from analysis import style
from training.files import write_text

ARMS, ALPHA, UPDATES, STEP_SIZE = 100, 1.0, 700, 0.18
SEEDS, SPREAD = 10, 0.1  # initial parameters are drawn from [0, SPREAD)
LABELS = {"awpo": "AWPO", "cloning": "behaviour cloning"}
PAPER = {"awpo": (150, 99.0), "cloning": (700, 93.0)}  # (updates, expected value), read off the figure

Array = NDArray[np.float64]


def better_of_two(policy: Array) -> Array:
    """Probability that the better one of two draws from `policy` (arms in order of value) is each arm, both (A,)."""
    up_to = np.cumsum(policy)
    return up_to**2 - (up_to - policy) ** 2


def weights(policy: Array, values: Array, *, method: str, alpha: float = ALPHA) -> Array:
    """What the log-probability of each arm is weighted with in the loss, (A,)."""
    target = better_of_two(policy)
    if method == "cloning":
        return target
    advantages = (values - values.mean()) / values.std()
    return target * np.exp(advantages / alpha)


def gradient(parameters: Array, values: Array, *, method: str, alpha: float = ALPHA) -> Array:
    """Of -sum_a w(a) log policy(a) by the parameters (A,), the weights w held fixed."""
    policy = softmax(parameters)
    weight = weights(policy, values, method=method, alpha=alpha)
    return policy * weight.sum() - weight


def curve(method: str, *, seed: int, updates: int = UPDATES, step_size: float = STEP_SIZE) -> Array:
    """Expected value of the policy after 0, 1, ..., `updates` updates, (updates + 1,)."""
    values = np.arange(ARMS, dtype=np.float64)
    parameters = np.random.default_rng(seed).uniform(0, SPREAD, ARMS)
    expected = np.empty(updates + 1)
    for update in range(updates + 1):
        expected[update] = softmax(parameters) @ values
        parameters = parameters - step_size * gradient(parameters, values, method=method)
    return expected


def softmax(parameters: Array) -> Array:
    """The policy (A,) of parameters (A,)."""
    raised = np.exp(parameters - parameters.max())
    return raised / raised.sum()


def table() -> pd.DataFrame:
    """One row per method and update: mean, least and greatest expected value over the initial parameters."""
    frames = []
    for method in LABELS:
        curves = np.stack([curve(method, seed=seed) for seed in range(SEEDS)])  # (S, updates + 1)
        rows = {"mean": curves.mean(axis=0), "least": curves.min(axis=0), "greatest": curves.max(axis=0)}
        frames.append(pd.DataFrame({"method": method, "update": range(UPDATES + 1), **rows}))
    return pd.concat(frames, ignore_index=True)


def draw(rows: pd.DataFrame) -> Figure:
    """Mean over initial parameters and their range, and what the paper's figure shows. `rows`: as of `table`."""
    palette = sns.color_palette("colorblind")
    with style.paper_style():
        figure, (axes,) = style.panels(1, height=2.6, legend_rows=2)
        for (method, label), place in zip(LABELS.items(), (0, 7), strict=True):
            own, (update, value) = rows[rows["method"] == method], PAPER[method]
            axes.fill_between(
                own["update"], own["least"], own["greatest"], color=palette[place], alpha=0.2, linewidth=0
            )
            axes.plot(own["update"], own["mean"], color=palette[place], label=label)
            axes.plot(update, value, "o", color=palette[place], markerfacecolor="none", markersize=6)
        axes.plot([], [], "o", color="0.35", markerfacecolor="none", markersize=6, label="read off the paper's figure")
        axes.set(xlabel="Updates", ylabel="Expected value", xlim=(0, 1.02 * UPDATES), ylim=(45, 101))
        figure.legend(frameon=False, loc="outside lower center", ncols=2)
        style.header(
            figure,
            "Bandit, better of two draws (Fig. 1)",
            f"{ARMS} arms, values 0 to {ARMS - 1}; exact expectations, no sampling",
            f"step size {STEP_SIZE}, alpha {ALPHA:g}",
            f"line: mean over {SEEDS} initial parameters, band: their range",
        )
        sns.despine(figure)
    return figure


def main(argv: list[str] | None = None) -> int:
    """The command: OUT/curves.csv, OUT/fig1.png, .pdf and .svg. Returns: exit code."""
    parser = argparse.ArgumentParser(prog="python -m analysis.bandit", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--out", type=Path, required=True, help="folder")
    arguments = parser.parse_args(argv)
    rows = table()
    arguments.out.mkdir(parents=True, exist_ok=True)
    text = rows.to_csv(index=False, float_format="%.6f", lineterminator="\n")
    written = [
        write_text(arguments.out / "curves.csv", text),
        *style.save(draw(rows), arguments.out / "fig1", suffixes=style.ALL),
    ]
    sys.stdout.write("".join(f"{path}\n" for path in written))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
