"""The loops of other code bases, restated: only their names, nothing of this project but one import each."""

import random
from functools import partial
from types import SimpleNamespace

import gymnasium
import numpy as np

from skirmish import MultiAgentEnv, StarCraft2Env, get_map_params
from skirmish.env.starcraft2.StarCraft2_Env import StarCraft2Env as ForkEnv
from skirmish.env.starcraft2.wrapper import StarCraftCapabilityEnvWrapper
from tests.skirmish.faces.test_mappo import MAZERO, ON_POLICY


def choose(available, rng):
    return np.array([rng.choice(np.flatnonzero(a)) for a in np.asarray(available)])


# PyMARL


def env_fn(env, **kwargs) -> MultiAgentEnv:
    return env(**kwargs)


REGISTRY = {"sc2": partial(env_fn, env=StarCraft2Env)}


class EpisodeRunner:
    """Collects episodes into arrays padded to the limit, and the statistics of the last infos."""

    def __init__(self, name, env_args):
        self.env = REGISTRY[name](**env_args)
        self.episode_limit = self.env.episode_limit
        self.info = self.env.get_env_info()
        self.t_env, self.stats, self.returns = 0, {}, []

    def run(self, rng):
        steps, n = self.episode_limit + 1, self.info["n_agents"]
        batch = {
            "state": np.zeros((steps, self.info["state_shape"])),
            "obs": np.zeros((steps, n, self.info["obs_shape"])),
            "avail_actions": np.zeros((steps, n, self.info["n_actions"])),
            "reward": np.zeros((steps, 1)),
            "terminated": np.zeros((steps, 1)),
        }
        self.env.reset()
        terminated, t = False, 0
        while not terminated:
            self.record(batch, t)
            reward, terminated, env_info = self.env.step(choose(batch["avail_actions"][t], rng))
            batch["reward"][t] = [reward]
            batch["terminated"][t] = [terminated != env_info.get("episode_limit", False)]
            t += 1
        self.record(batch, t)
        self.stats = {k: self.stats.get(k, 0) + env_info.get(k, 0) for k in set(self.stats) | set(env_info)}
        self.t_env += t
        self.returns.append(batch["reward"].sum())
        return batch, t

    def record(self, batch, t):
        batch["state"][t] = self.env.get_state()
        batch["avail_actions"][t] = self.env.get_avail_actions()
        batch["obs"][t] = self.env.get_obs()


def test_episode_runner_of_pymarl():
    params = get_map_params("2s3z")
    args = {"map_name": "2s3z", "seed": 11, "difficulty": "7", "game_version": None, "continuing_episode": False}
    runner = EpisodeRunner("sc2", args)
    assert runner.episode_limit == params["limit"] and runner.info["n_agents"] == params["n_agents"]
    rng = np.random.default_rng(0)
    for _ in range(3):
        batch, t = runner.run(rng)
        assert batch["terminated"].sum() == batch["terminated"][t - 1, 0] == 1
        assert (batch["avail_actions"][: t + 1].sum(2) > 0).all() and not batch["state"][t + 1 :].any()
    assert runner.env.get_stats()["battles_game"] == 3
    assert set(runner.stats) == {"battle_won", "dead_allies", "dead_enemies"}
    assert runner.env._total_steps == runner.t_env
    runner.env.close()


# EPyMARL


class SMACWrapper(MultiAgentEnv):
    """Rewards per agent or in common, gymnasium's five values, over SMAC's environment."""

    def __init__(self, map_name, seed, common_reward, **kwargs):
        self.env = StarCraft2Env(map_name=map_name, seed=seed, **kwargs)
        self.common_reward = common_reward
        self.n_agents, self.episode_limit = self.env.n_agents, self.env.episode_limit

    def step(self, actions):
        reward, done, info = self.env.step(actions)
        truncated = info.get("episode_limit", False)
        if not self.common_reward:
            reward = [reward] * self.n_agents
        return self.env.get_obs(), reward, done and not truncated, truncated, info

    def get_obs_size(self):
        return self.env.get_obs_size()

    def get_state_size(self):
        return self.env.get_state_size()

    def get_total_actions(self):
        return self.env.get_total_actions()

    def get_avail_actions(self):
        return [self.env.get_avail_agent_actions(i) for i in range(self.n_agents)]

    def reset(self, seed=None, options=None):
        if seed is not None:
            self.env._seed = seed
        self.env.reset()
        return self.env.get_obs(), {}

    def close(self):
        self.env.close()


def test_wrapper_of_epymarl():
    env, rng = SMACWrapper("2s_vs_1sc", seed=1, common_reward=False, continuing_episode=True), np.random.default_rng(0)
    obs, info = env.reset(seed=2)
    assert np.shape(obs) == (2, env.get_env_info()["obs_shape"]) and info == {} and env.env.seed() == 2
    done = truncated = False
    steps = 0
    while not (done or truncated):
        obs, reward, done, truncated, info = env.step([1 if a[1] else 0 for a in env.get_avail_actions()])
        assert len(reward) == 2
        steps += 1
    assert (steps, done, truncated) == (300, False, True)
    env.reset()
    env.step(choose(env.get_avail_actions(), rng))
    env.close()


# on-policy


class ShareDummyVecEnv:
    """Steps its environments one after another and resets those that are done."""

    def __init__(self, env_fns):
        self.envs = [fn() for fn in env_fns]
        first = self.envs[0]
        self.observation_space, self.share_observation_space = first.observation_space, first.share_observation_space
        self.action_space = first.action_space

    def reset(self):
        return tuple(map(np.array, zip(*[env.reset() for env in self.envs])))

    def step(self, actions):
        results = [env.step(a) for a, env in zip(actions, self.envs)]
        obs, share_obs, rewards, dones, infos, available = map(np.array, zip(*results))
        for i, done in enumerate(dones):
            if np.all(done):
                obs[i], share_obs[i], available[i] = self.envs[i].reset()
        return obs, share_obs, rewards, dones, infos, available


def collect(envs, steps, rng):
    """on-policy's rollout: what its buffer stores, checked as it is stored."""
    n, threads = len(envs.action_space), len(envs.envs)
    obs, share_obs, available = envs.reset()
    games = np.zeros(threads)
    for _ in range(steps):
        assert obs.shape == (threads, n, envs.observation_space[0][0])
        assert share_obs.shape == (threads, n, envs.share_observation_space[0][0])
        assert available.shape == (threads, n, envs.action_space[0].n)
        actions = np.array([choose(a, rng) for a in available])[:, :, None]
        obs, share_obs, rewards, dones, infos, available = envs.step(actions)
        assert rewards.shape == (threads, n, 1) and (rewards == rewards[:, :1]).all()
        over = np.all(dones, axis=1)
        bad = np.array([[info[i]["bad_transition"] for i in range(n)] for info in infos])
        assert not bad[~over].any()
        games += over
        assert games.tolist() == [info[0]["battles_game"] for info in infos]
    return games


def test_runner_of_on_policy():
    args = SimpleNamespace(map_name="3m", **ON_POLICY)

    def get_env_fn(rank):
        def init_env():
            env = ForkEnv(args)
            env.seed(1 + rank * 1000)
            return env

        return init_env

    envs = ShareDummyVecEnv([get_env_fn(i) for i in range(2)])
    games = collect(envs, 80, np.random.default_rng(0))
    assert (games >= 1).all()  # the limit is 60
    assert [env._seed for env in envs.envs] == [2, 1002]  # one launch each


class SMACv2(StarCraftCapabilityEnvWrapper):
    """on-policy's class over SMACv2's wrapper."""

    def __init__(self, **kwargs):
        super().__init__(obs_last_action=False, **kwargs)
        n = self.n_agents = self.env.n_agents
        self.action_space = [gymnasium.spaces.Discrete(self.env.n_actions) for _ in range(n)]
        self.observation_space = [[self.env.get_obs_size()]] * n
        self.share_observation_space = [[self.env.get_state_size()]] * n

    def seed(self, seed):
        random.seed(seed)
        np.random.seed(seed)

    def reset(self):
        obs, state = super().reset()
        return obs, [state] * self.n_agents, [self.get_avail_agent_actions(i) for i in range(self.n_agents)]

    def step(self, actions):
        reward, terminated, info = super().step(actions)
        n = self.n_agents
        infos = [info] * n
        for entry in infos:
            entry["bad_transition"] = self.env._episode_steps >= self.env.episode_limit
            entry["battles_won"], entry["battles_game"] = self.env.battles_won, self.env.battles_game
            entry["battles_draw"], entry["restarts"] = self.env.timeouts, self.env.force_restarts
            entry["won"] = self.env.win_counted
        available = [self.get_avail_agent_actions(i) for i in range(n)]
        return self.get_obs(), [self.get_state()] * n, [[reward]] * n, [terminated] * n, infos, available


def test_runner_of_on_policy_on_smacv2():
    config = {
        "n_units": 5,
        "n_enemies": 5,
        "start_positions": {"dist_type": "surrounded_and_reflect", "p": 0.5, "map_x": 32, "map_y": 32},
        "team_gen": {
            "dist_type": "weighted_teams",
            "unit_types": ["zergling", "baneling", "hydralisk"],
            "weights": [0.45, 0.1, 0.45],
            "observe": True,
        },
    }
    envs = ShareDummyVecEnv([lambda: SMACv2(capability_config=config, map_name="10gen_zerg") for _ in range(2)])
    assert (envs.envs[0].observation_space[0], envs.envs[0].share_observation_space[0]) == ([80], [120])
    assert collect(envs, 60, np.random.default_rng(0)).sum() > 0


# MAZero


def test_wrapper_of_mazero(tmp_path):
    args = type("Config", (object,), {"map_name": "3m", **MAZERO})
    env = ForkEnv(args, seed=3, replay_dir=str(tmp_path))
    size = env.get_obs_size()[0]
    env.observation_space = gymnasium.spaces.Box(-np.inf, np.inf, shape=(size, 1, 1), dtype=np.float64)
    env.action_space = gymnasium.spaces.Discrete(env.n_actions)
    rng, done, steps = np.random.default_rng(0), False, 0
    local_obs, _, _ = env.reset()
    while not done:
        observation = np.asarray(local_obs)[:, :, None, None]
        assert observation.shape == (3, 64, 1, 1) and observation.dtype == np.float32
        local_obs, _, rewards, dones, infos, _ = env.step(choose(env.get_avail_actions(), rng).tolist())
        done, steps = np.all(dones), steps + 1
        assert abs(np.mean(rewards) - env.reward) < 1e-12
    assert steps <= env.episode_limit and infos[0]["won"] == env.win_counted
    env.close()
