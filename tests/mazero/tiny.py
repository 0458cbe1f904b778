"""A MAZero small enough that a whole run takes a second."""

import envs
from mazero.config import PRESETS, MAZeroConfig
from mazero.learner import MAZeroLearner
from training.config import apply_overrides, load_preset

TINY = [
    "network.hidden_size=8", "network.mlp_sizes=[8]", "network.head_size=8", "network.attention_heads=2",
    "network.projection_size=8", "network.predictor_size=4", "network.dropout=0.1", "search.num_simulations=6",
    "search.num_sampled_actions=4", "self_play.num_envs=4", "replay.start=40", "targets.unroll_steps=2",
    "targets.reanalyze_ratio=0.5", "targets.target_interval=3", "optimiser.batch_size=8",
    "optimiser.updates_per_env_step=0.1", "network.stacked_observations=2",
]  # fmt: skip


def tiny_config(*overrides):
    return apply_overrides(load_preset(PRESETS, "matrix", MAZeroConfig), [*TINY, *overrides])


def tiny_learner(*overrides, game="matrix_1", seed=0, env_steps=160, eval_episodes=4, device="cpu", **options):
    def make_env(num_envs, observation, seed):
        return envs.make(game, num_envs=num_envs, observation=observation, seed=seed, **options)

    return MAZeroLearner(
        tiny_config(*overrides),
        make_env=make_env,
        seed=seed,
        device=device,
        eval_episodes=eval_episodes,
        env_steps=env_steps,
    )
