"""The official packages as they are, in worker processes. `make test-starcraft` says which game plays them."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

import envs
from envs.smac import SmacEnv
from envs.starcraft import installation
from envs.starcraft.options import FACTORIES, MAP_FILE_V2, describe, names_of
from tests.envs.smac.left import alive, children, open_files

pytestmark = pytest.mark.starcraft

# Prints the sizes of environments built with our options, one JSON list; no game is started by that.
SIZES = """
import importlib, json, sys
module, _, name = sys.argv[1].partition(":")
kind, found = getattr(importlib.import_module(module), name), []
for options in json.load(sys.stdin):
    env = kind(**options, seed=1)
    info = env.get_env_info()
    found.append([info[key] for key in ("n_agents", "n_actions", "obs_shape", "state_shape", "episode_limit")])
print(json.dumps(found))
"""


def require(backend: str, map_file: str | None = None) -> None:
    """Skip, and say why, without the package or (with a map) without a game."""
    try:
        installation.require_package(backend)
        if map_file is not None:
            installation.require_map(installation.find_game().folder, map_file)
    except ImportError as error:
        pytest.skip(str(error))


@pytest.mark.parametrize("backend", ["smac", "smacv2"])
def test_our_options_are_the_packages_and_the_sizes_too(backend: str) -> None:
    require(backend)
    battles = [describe(name, backend, family, {}) for name in names_of(backend) for family in ("smac", "mazero")]
    changed = {"obs_last_action": True, "obs_pathing_grid": True, "state_timestep_number": True, "step_mul": 4}
    battles.append(describe(names_of(backend)[0], backend, "smac", changed))
    found = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", SIZES, FACTORIES[backend]],
        input=json.dumps([dict(battle.options) for battle in battles]),
        env={**os.environ, "PROTOCOL_BUFFERS_PYTHON_IMPLEMENTATION": "python"},
        capture_output=True,
        text=True,
        check=True,
    )
    for battle, sizes in zip(battles, json.loads(found.stdout.splitlines()[-1]), strict=True):
        layout = battle.package_layout
        ours = [layout.n, layout.n_actions, layout.obs_size, layout.state_size, layout.episode_limit]
        assert ours == sizes, battle.name


def play(env: SmacEnv, episodes: int) -> tuple[int, int]:
    """Random available actions. Returns: whole and lost episodes."""
    rng, whole, lost = np.random.default_rng(0), 0, 0
    while whole + lost < episodes:
        env.step(np.array([[rng.choice(np.flatnonzero(a)) for a in slot] for slot in env.available_actions]))
        assert np.isfinite(env.obs).all() and env.available_actions.any(-1).all()
        whole += int((env.finished & ~env.discarded).sum())
        lost += int(env.discarded.sum())
        env.reset_done()
    return whole, lost


@pytest.mark.parametrize(
    ("name", "backend"), [("3m", "smac"), ("2s3z", "smac"), ("MMM", "smac"), ("terran_5_vs_5", "smacv2")]
)
@pytest.mark.parametrize("observation", ["smac", "mazero"])
def test_episodes_are_played_and_nothing_is_left(name: str, backend: str, observation: str) -> None:
    require(backend, name if backend == "smac" else MAP_FILE_V2)
    files, processes = open_files(), children()
    env = envs.make(name, backend=backend, num_envs=2, observation=observation)
    assert isinstance(env, SmacEnv)
    env.reset()
    groups = [pid for pid in env.processes if pid is not None]
    games = {game for pid in groups for game in children(pid)}
    assert games  # every worker has started one
    assert play(env, 6)[1] == 0 and env.faults.total == 0
    env.close()
    assert children() == processes and open_files() == files and not [pid for pid in games if alive(pid)]


def test_a_killed_game_costs_its_episode() -> None:
    require("smac", "3m")
    env = envs.make("3m", backend="smac", num_envs=2)
    assert isinstance(env, SmacEnv)
    try:
        env.reset()
        worker = env.processes[0]
        assert worker is not None
        for game in children(worker):
            os.kill(game, signal.SIGKILL)
        time.sleep(0.2)
        whole, lost = play(env, 6)
        assert lost == env.faults.by_kind["game"] == env.faults.total == 1 and whole >= 5
    finally:
        env.close()


def test_the_mazero_family_is_that_of_the_units() -> None:
    """Entries that both families have are equal: the package's and those our contract makes of the unit states."""
    require("smac", "2s3z")
    mazero = envs.make("2s3z", backend="smac", observation="mazero", seed=3)
    assert isinstance(mazero, SmacEnv)
    try:
        mazero.reset()
        rng = np.random.default_rng(0)
        n, m, a = 5, 5, mazero.info.n_actions
        ally, enemy = 8, 8  # features of a row: 4, health, shield, two type bits
        for _ in range(40):
            told = mazero._told[0]  # what the package showed in the same moment
            rows = mazero.obs[0]
            allies = rows[:, : (n - 1) * (ally + a)].reshape(n, n - 1, ally + a)[..., :ally]
            at = (n - 1) * (ally + a)
            np.testing.assert_array_equal(told[:, :4], rows[:, at + m * enemy : at + m * enemy + 4])
            np.testing.assert_array_equal(told[:, 4 : 4 + m * enemy], rows[:, at : at + m * enemy])
            told_allies = told[:, 4 + m * enemy : 4 + m * enemy + (n - 1) * ally].reshape(n, n - 1, ally)
            np.testing.assert_array_equal(told_allies, allies)
            mazero.step(np.array([[rng.choice(np.flatnonzero(x)) for x in mazero.available_actions[0]]]))
            mazero.reset_done()
    finally:
        mazero.close()


def test_a_game_that_stands_still_counts_as_hung() -> None:
    require("smac", "3m")
    env = envs.make("3m", backend="smac", num_envs=2, step_timeout=5.0)
    assert isinstance(env, SmacEnv)
    try:
        env.reset()
        worker = env.processes[1]
        assert worker is not None
        stopped = children(worker)
        for game in stopped:
            os.kill(game, signal.SIGSTOP)
        _, lost = play(env, 6)
        assert lost == env.faults.by_kind["hang"] == env.faults.total == 1
        assert not [game for game in stopped if alive(game)]
    finally:
        env.close()


KILLED = """
import time
import envs
env = envs.make("3m", backend="smac", num_envs=2)
env.reset()
print(*env.processes, env._crew._guard._process.pid, env._crew._guard.folder, flush=True)
time.sleep(1000)
"""


def test_games_die_with_a_run_that_is_killed() -> None:
    require("smac", "3m")
    run = subprocess.Popen([sys.executable, "-c", KILLED], stdout=subprocess.PIPE, text=True)
    assert run.stdout is not None
    *pids, folder = run.stdout.readline().split()
    everybody = {int(pid) for pid in pids} | {game for pid in pids[:2] for game in children(int(pid))}
    assert len(everybody) == 5
    run.kill()
    run.wait()
    run.stdout.close()
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline and (any(alive(pid) for pid in everybody) or os.path.exists(folder)):
        time.sleep(0.05)
    assert not [pid for pid in everybody if alive(pid)] and not os.path.exists(folder)
