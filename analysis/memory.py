"""How much memory a run takes: that of the program, of what the learner keeps and of one update.

It follows from the sizes of the map's observations (`data/step_sizes.csv`) and the run's settings. Factors are fitted
to peaks of resident memory that were measured here (`tests/analysis/test_memory.py` holds the estimate against them).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from functools import cache
from typing import Any

import pandas as pd

from analysis import expected
from analysis.costs import DATA
from analysis.study import STARCRAFT, Run, Study

SIZES = DATA.with_name("step_sizes.csv")
UNKNOWN_MB = 4000  # a map whose sizes are not in the table
PROGRAM_MB = 500  # interpreter, torch, compiled kernels
SPARE = 4 / 3
FLOAT = 4  # bytes
# Bytes held for each byte of what a learner keeps: arrays grow by copying, and freed memory stays with the process.
RING_FACTOR, REPLAY_FACTOR = 2.6, 1.6
# Floats of one agent and step in an update, beside the observation: hidden layers and their gradients.
MAZERO_FLOATS, VALUE_BASED_FLOATS = 2000, 800
GAME_MB = 1000  # StarCraft II and its worker: assumed, not measured here
STANDIN_MB = 150  # measured: results/reference/protocol/load.csv
EPISODES_AT_ONCE = 32  # trees that are searched side by side in an evaluation
IMAGINED_FACTOR = 5.0  # copies of MAMBA's imagined latent states: 0.8 and 1.4 GB were measured on 3m
ROLLOUT_FACTOR = 4.0  # copies of a MAPPO round in an update of one minibatch


def memory_mb(study: Study, run: Run) -> int:
    """Memory to keep free for a run, MB, in steps of 100: a third more than estimated, `UNKNOWN_MB` for an unknown map.

    Raises: StudyError as `expected.record`.
    """
    record, group = expected.record(study, run), study.groups[run.group]
    games = games_mb(record, group.eval_episodes)
    if run.map not in _sizes():
        return UNKNOWN_MB + games
    return 100 * math.ceil(SPARE * peak_mb(record["config"], run.map, group.env_steps) / 100) + games


def games_mb(record: Mapping[str, Any], eval_episodes: int) -> int:
    """Memory of all games of a run, each with the process that holds it, MB; 0 on backends that have none.

    Args: record: as its config.json will hold it.
    """
    if record["backend"] not in STARCRAFT:
        return 0
    settings = record["config"]
    training = settings["self_play" if "self_play" in settings else "rollout"]["num_envs"]
    return (training + eval_episodes) * (GAME_MB if record["unit_data"].startswith("StarCraft II") else STANDIN_MB)


def peak_mb(settings: Mapping[str, Any], name: str, env_steps: int) -> float:
    """Largest resident memory of a run, MB, as estimated.

    Args: settings: the run's resolved ones (`config` of its record).    name: of a map in `data/step_sizes.csv`.
    """
    size = _sizes()[name]
    if "replay" in settings:
        held = _mazero_bytes(settings, size, env_steps)
    elif "model_learning" in settings:
        held = _mamba_bytes(settings, size, env_steps)
    elif "capacity_episodes" in settings["learning"]:
        held = _value_based_bytes(settings, size, env_steps)
    else:
        held = _policy_gradient_bytes(settings, size)
    return PROGRAM_MB + held / 1e6


def _mazero_bytes(settings: Mapping[str, Any], size: Mapping[str, float], env_steps: int) -> float:
    """A replay of transitions with their searches, a batch of unrolled positions, and the trees of their searches."""
    n, search, replay, network = size["agents"], settings["search"], settings["replay"], settings["network"]
    obs = size[f"obs_{settings['self_play']['observation']}"]
    searches = search["num_sampled_actions"] * (2 * n + 3 * FLOAT)  # joint actions as int16; visits, values and weights
    row = n * (FLOAT * obs + size["actions"] + 2) + searches + 10 * FLOAT
    kept = min(env_steps, replay["capacity"] or env_steps)
    rows = settings["optimiser"]["batch_size"] * (settings["targets"]["unroll_steps"] + 1)
    trees = max(EPISODES_AT_ONCE, settings["targets"]["reanalyze_ratio"] * rows)
    update = rows * (2 * network["stacked_observations"] * obs + MAZERO_FLOATS)  # stacked, and before that
    return REPLAY_FACTOR * kept * row + n * FLOAT * (
        update + trees * (search["num_simulations"] + 1) * network["hidden_size"]
    )


def _value_based_bytes(settings: Mapping[str, Any], size: Mapping[str, float], env_steps: int) -> float:
    """A ring of episodes and a batch of them, of half the longest length."""
    n, learning = size["agents"], settings["learning"]
    obs = size[f"obs_{settings['rollout']['observation']}"]
    row = n * (FLOAT * obs + size["actions"] + 1) + FLOAT * (size["state"] + 1)
    length = size["episode_limit"] / 2
    kept = min(env_steps, learning["capacity_episodes"] * length)
    rows = learning["batch_episodes"] * length
    return RING_FACTOR * kept * row + rows * n * FLOAT * (obs + VALUE_BASED_FLOATS + _predictor_floats(settings, size))


def _predictor_floats(settings: Mapping[str, Any], size: Mapping[str, float]) -> float:
    """Floats of one agent and step for CDS's predictors, which go over a whole batch: inputs, targets and results."""
    if "predictor" not in settings:
        return 0.0
    obs = size[f"obs_{settings['rollout']['observation']}"]
    inputs = settings["agent"]["hidden_size"] + obs + size["actions"]
    return 2 * (inputs + obs) + settings["predictor"]["hidden_size"]


def _mamba_bytes(settings: Mapping[str, Any], size: Mapping[str, float], env_steps: int) -> float:
    """A ring of steps and a batch of imagined ones, as latent states."""
    n, model, learning, behaviour = size["agents"], settings["model"], settings["model_learning"], settings["behaviour"]
    row = n * (FLOAT * size[f"obs_{settings['rollout']['observation']}"] + size["actions"] + 1) + 2 * FLOAT
    rows = behaviour["batch_sequences"] * learning["sequence_length"] * behaviour["horizon"]
    latent = model["categoricals"] * model["classes"] + model["hidden_size"]
    return min(env_steps, learning["capacity_steps"]) * row + IMAGINED_FACTOR * rows * n * FLOAT * latent


def _policy_gradient_bytes(settings: Mapping[str, Any], size: Mapping[str, float]) -> float:
    """One round of steps."""
    rollout = settings["rollout"]
    rows = rollout["num_envs"] * rollout["steps"] * size["agents"]
    seen = size[f"obs_{rollout['observation']}"] + max(size["agent_state"], size["state"] + size["agents"])
    return ROLLOUT_FACTOR * rows * FLOAT * (seen + settings["network"]["hidden_size"])


@cache
def _sizes() -> dict[str, dict[str, float]]:
    """Map -> agents, actions, lengths of an agent's observation by family, of the state, of a critic's input; steps."""
    return pd.read_csv(SIZES).set_index("map").to_dict("index")
