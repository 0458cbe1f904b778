"""Are targets the same when a position is searched once per target network, and how many searches does that save?

`python -m tests.benchmarks.bench_search_reuse --run RUN --json OUT.json` plays episodes of a trained run, then searches
some of their positions many times in both ways of `targets.search_reuse` and compares, for each position, the mean
policy target (each agent's visits by action) and its variance over searches.
`... --draw OUT.json --speed END_TO_END.json ... --out FIGURE.png` draws both comparisons beside the searches saved as
replays grow (`python -m mazero bench --end-to-end`).
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import numpy as np
import torch
from matplotlib.figure import Figure

from analysis import style
from mazero import cli
from mazero.replay import Replay
from mazero.search import SearchResult
from mazero.searches import FreshSearches, PeriodSearches
from mazero.selfplay import SelfPlay
from training import provenance
from training.files import write_text


def marginals(found: dict[str, np.ndarray], n_actions: int) -> np.ndarray:
    """(M, n, A) float64: share of each agent's visits, by action."""
    zeros = np.zeros(0)
    fields = {name: zeros for name in SearchResult.__dataclass_fields__}
    fields |= {name: found[name] for name in ("joint_actions", "visit_counts")}
    visits = SearchResult(**fields).marginal_visits(n_actions)
    return visits / visits.sum(axis=-1, keepdims=True)


def compare(run: Path, *, positions: int, repeats: int, steps: int) -> dict:
    """Mean and variance of policy targets in both ways, flat over positions, agents and actions."""
    arguments = cli._parser().parse_args(["evaluate", "--run", str(run)])
    trained = cli._load(arguments, cli._read_run(arguments), num_envs=16)
    config, model, info = trained.config, trained.model, trained.env.info
    rng = np.random.default_rng(0)
    player = SelfPlay(trained.env, config, env_seed=1)
    replay = Replay(priority_alpha=config.replay.priority_alpha)
    while replay.size < steps:
        for episode, _ in player.step(model, explore=False, search_rng=rng, actor_rng=rng):
            replay.add(episode)
    chosen = np.sort(rng.choice(replay.size, positions, replace=False))
    period = PeriodSearches(model, config, seed=1)
    draw = FreshSearches(model, config, rng=np.random.default_rng(2))
    rows = {"period": [], "draw": []}
    for _ in range(repeats):
        rows["period"].append(marginals(period.find(replay, chosen), info.n_actions))
        rows["draw"].append(marginals(draw.find(replay, chosen), info.n_actions))
        period.renew()
    found = {name: np.stack(values) for name, values in rows.items()}
    moments = {name: (x.mean(axis=0), x.var(axis=0, ddof=1)) for name, x in found.items()}
    some = (moments["draw"][1] > 0) | (moments["period"][1] > 0)
    error = np.sqrt((moments["draw"][1] + moments["period"][1]) / repeats)
    z = (moments["draw"][0] - moments["period"][0])[some] / error[some]
    return {
        "run": run.name,
        "map": info.name,
        "positions": positions,
        "repeats": repeats,
        "num_simulations": config.search.num_simulations,
        "mean": {name: moments[name][0][some].tolist() for name in moments},
        "variance": {name: moments[name][1][some].tolist() for name in moments},
        "mean_absolute_difference_of_means": float(np.abs(moments["draw"][0] - moments["period"][0])[some].mean()),
        "expected_of_equal_distributions": float((error[some] * np.sqrt(2 / np.pi)).mean()),
        "standardised_difference_rms": float(np.sqrt((z**2).mean())),
        "mean_variance": {name: float(moments[name][1].mean()) for name in moments},
    }


def draw(record: dict, speeds: list[dict]) -> Figure:
    """Means and variances of both ways against each other; searches saved by the size of the replay."""
    with style.paper_style():
        figure = Figure(figsize=(style.PAGE, 2.4), layout="constrained")
        mean, variance, saved = figure.subplots(1, 3)
        for axes, name, title in (
            (mean, "mean", "Mean policy target"),
            (variance, "variance", "Variance over searches"),
        ):
            x, y = record[name]["draw"], record[name]["period"]
            top = max(*x, *y)
            axes.plot([0, top], [0, top], color="0.7", linewidth=0.8, zorder=0)
            axes.plot(x, y, ".", markersize=2, color="C0", alpha=0.5)
            axes.set(title=title, xlabel="searched at every draw", ylabel="searched once a period")
        for speed in speeds:
            for row in speed["end_to_end"]:
                size = [part["replay_size"] / 1000 for part in row["parts"]]
                share = [part["searches_saved"] for part in row["parts"]]
                saved.plot(size, share, "o-", markersize=3, label=f"{speed['preset']}, {row['map']}")
        saved.set(title="Searches saved", xlabel="transitions, thousands", ylim=(0, 1))
        saved.legend(fontsize=6, frameon=False)
        figure.suptitle(
            f"{record['map']}: {record['positions']} positions of a trained policy, {record['repeats']} searches each "
            f"way, N = {record['num_simulations']}",
            fontsize=7.5, x=0.01, ha="left",
        )  # fmt: skip
    return figure


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--run", type=Path, help="a trained run")
    parser.add_argument("--positions", type=int, default=50)
    parser.add_argument("--repeats", type=int, default=400)
    parser.add_argument("--steps", type=int, default=1500, help="environment steps that positions are chosen from")
    parser.add_argument("--json", type=Path, help="write the comparison here")
    parser.add_argument("--draw", type=Path, help="a comparison to draw")
    parser.add_argument("--speed", type=Path, nargs="+", default=[], help="records of bench --end-to-end")
    parser.add_argument("--out", type=Path, help="figure")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    if arguments.run is not None:
        sizes = {name: getattr(arguments, name) for name in ("positions", "repeats", "steps")}
        record = compare(arguments.run, **sizes)
        record["provenance"] = provenance.collect(
            backend="skirmish", threads=1, device="cpu", command=provenance.command_line("tests.benchmarks")
        )
        write_text(arguments.json, json.dumps(record) + "\n")
        print({name: value for name, value in record.items() if isinstance(value, float)}, record["mean_variance"])
    if arguments.draw is not None:
        speeds = [json.loads(path.read_text(encoding="utf-8")) for path in arguments.speed]
        figure = draw(json.loads(arguments.draw.read_text(encoding="utf-8")), speeds)
        figure.savefig(arguments.out, dpi=style.DPI)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
