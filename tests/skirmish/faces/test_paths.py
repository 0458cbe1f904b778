"""The registry of maps, the module names of other code bases, and what importing costs and disturbs."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

import skirmish
from skirmish import MultiAgentEnv, StarCraft2Env, get_map_params
from skirmish.data.maps import map_names

ROOT = Path(skirmish.__file__).parents[1]


def run(code, folder, *paths):
    """Output of a script that runs in a folder of its own, since the working directory comes first on the path."""
    env = os.environ | {"PYTHONPATH": os.pathsep.join([*map(str, paths), str(ROOT)])}
    command = [sys.executable, "-c", code]
    return subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, env=env, cwd=folder).stdout


def test_registry():
    assert get_map_params("3s5z_vs_3s6z") == {
        "n_agents": 8,
        "n_enemies": 9,
        "limit": 170,
        "a_race": "P",
        "b_race": "P",
        "unit_type_bits": 2,
        "map_type": "stalkers_and_zealots",
    }
    assert set(skirmish.map_param_registry) == set(map_names()) and len(skirmish.map_param_registry) == 23
    assert skirmish.get_smac_map_registry() is skirmish.map_param_registry
    for name, values in skirmish.map_param_registry.items():
        env = StarCraft2Env(name)
        assert (env.n_agents, env.n_enemies, env.episode_limit) == (
            *(values["n_agents"], values["n_enemies"], values["limit"]),
        )
        assert (env._agent_race, env._bot_race, env.map_type, env.unit_type_bits) == (
            *(values["a_race"], values["b_race"], values["map_type"], values["unit_type_bits"]),
        )


def test_registry_of_drawn_maps():
    params = get_map_params("10gen_zerg")
    assert (params["limit"], params["map_type"], params["unit_type_bits"]) == (200, "zerg_gen", 3)
    assert (params["n_agents"], params["map_name"]) == (10, "32x32_flat")


def test_unknown_map():
    with pytest.raises(KeyError) as caught:
        get_map_params("10gen_teran")
    assert str(caught.value).endswith("did you mean '10gen_terran'?") and isinstance(caught.value, ValueError)


def test_module_names_of_other_code_bases():
    from skirmish.env import MultiAgentEnv as base
    from skirmish.env import StarCraft2Env as env
    from skirmish.env import StarCraftCapabilityEnvWrapper as wrapper
    from skirmish.env import starcraft2
    from skirmish.env.multiagentenv import MultiAgentEnv as base_by_module
    from skirmish.env.pettingzoo import StarCraft2PZEnv
    from skirmish.env.starcraft2.maps import get_map_params as params
    from skirmish.env.starcraft2.maps.smac_maps import get_smac_map_registry, map_param_registry
    from skirmish.env.starcraft2.smac_maps import get_map_params as params_by_module
    from skirmish.env.starcraft2.starcraft2 import Direction
    from skirmish.env.starcraft2.starcraft2 import StarCraft2Env as env_by_module
    from skirmish.env.starcraft2.StarCraft2_Env import StarCraft2Env as fork
    from skirmish.env.starcraft2.wrapper import StarCraftCapabilityEnvWrapper as wrapper_by_module

    assert base is base_by_module is MultiAgentEnv
    assert env is env_by_module is StarCraft2Env and issubclass(env, base)
    assert wrapper is wrapper_by_module is skirmish.StarCraftCapabilityEnvWrapper and issubclass(wrapper, base)
    assert params is params_by_module is get_map_params
    assert get_smac_map_registry() is map_param_registry is skirmish.map_param_registry
    assert fork.__module__ == "skirmish.faces.mappo" and Direction.WEST == 3
    assert StarCraft2PZEnv.smac_parallel_env.__module__ == "skirmish.faces.starcraft2_pz"
    for module in (skirmish, skirmish.env, starcraft2):
        assert [name for name in module.__all__ if not hasattr(module, name)] == []
        with pytest.raises(AttributeError, match="StarCraft3Env"):
            module.StarCraft3Env  # noqa: B018


def test_names_that_need_no_simulator_load_none(tmp_path):
    code = """
import sys
from skirmish import MultiAgentEnv, get_map_params
from skirmish.env import MultiAgentEnv as same
from skirmish.env.starcraft2.maps import get_map_params as also
assert MultiAgentEnv is same and get_map_params("3m") is also("3m")
print("numba" in sys.modules)
"""
    assert run(code, tmp_path).strip() == "False"


def test_a_foreign_package_called_envs_disturbs_nothing(tmp_path):
    """PyMARL's sources lie in a folder with an `envs` of their own at its top."""
    package = tmp_path / "src" / "envs"
    package.mkdir(parents=True)
    registry = (
        "from functools import partial\n"
        "from skirmish.env import MultiAgentEnv, StarCraft2Env\n"
        "def env_fn(env, **kwargs) -> MultiAgentEnv:\n    return env(**kwargs)\n"
        "REGISTRY = {'sc2': partial(env_fn, env=StarCraft2Env)}\n"
    )
    (package / "__init__.py").write_text(registry)
    code = """
import envs, skirmish
env = envs.REGISTRY["sc2"](map_name="3m", seed=1)
env.reset()
assert isinstance(env, skirmish.MultiAgentEnv)
print(envs.__file__, *env.step([1, 1, 1])[:2], env.get_env_info()["state_shape"])
"""
    assert run(code, tmp_path, package.parent).split() == [str(package / "__init__.py"), "0.0", "False", "48"]


def test_interface_without_a_body():
    class Empty(MultiAgentEnv):
        n_agents, episode_limit = 2, 5

        def get_state_size(self):
            return 3

        def get_obs_size(self):
            return 4

        def get_total_actions(self):
            return 6

    env = Empty()
    assert env.get_env_info() == {
        "state_shape": 3,
        "obs_shape": 4,
        "n_actions": 6,
        "n_agents": 2,
        "episode_limit": 5,
    }
    for method in ("get_obs", "get_state", "get_avail_actions", "reset", "render", "close", "seed", "save_replay"):
        with pytest.raises(NotImplementedError, match=rf"Empty must define {method}\(\)"):
            getattr(env, method)()
    for method in ("step", "get_obs_agent", "get_avail_agent_actions"):
        with pytest.raises(NotImplementedError, match=method):
            getattr(env, method)(0)
