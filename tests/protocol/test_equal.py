"""Battles through the protocol are those of the simulator itself, on all maps, by two clients."""

import json
import os
import subprocess
import sys

import numpy as np
import pytest

pytest.importorskip("s2clientprotocol", reason="needs the packages of requirements-starcraft.lock")
pytest.importorskip("websockets", reason="needs the packages of requirements-starcraft.lock")

from skirmish.data.maps import load_map, map_names
from skirmish.protocol.battle import Battle, _same_tags
from skirmish.protocol.orders import _along, wire
from skirmish.protocol.scene import find_scene
from skirmish.protocol.standin import install_standin
from tests.protocol.bookkeeping import largest_difference
from tests.protocol.server import ROOT

RACES = {"T": 1, "Z": 2, "P": 3}
FLOAT32 = 1.6e-5  # half a unit in the last place between 256 and 512: the spine crawler has 300 health
SCRIPT = """
import json, sys
from absl import flags
from pysc2 import run_configs
from s2clientprotocol import common_pb2, debug_pb2, raw_pb2, sc2api_pb2 as sc_pb
from tests.protocol.bookkeeping import largest_difference

class Controller:
    def __init__(self, controller):
        self.controller = controller
    def units(self):
        return self.controller.observe().observation.raw_data.units
    def act(self, orders):
        actions = [sc_pb.Action(action_raw=raw_pb2.ActionRaw(unit_command=order)) for order in orders]
        self.controller.actions(sc_pb.RequestAction(actions=actions))
    def step(self, loops):
        self.controller.step(loops)
    def kill(self, tags):
        self.controller.debug(debug_pb2.DebugCommand(kill_unit=debug_pb2.DebugKillUnit(tag=tags)))

flags.FLAGS(["test"])
found = {}
config = run_configs.get()
with config.start(want_rgb=False) as controller:
    for name in sys.argv[1:]:
        create = sc_pb.RequestCreateGame(random_seed=3)
        create.local_map.map_path = f"SMAC_Maps/{name}.SC2Map"
        create.local_map.map_data = config.map_data(create.local_map.map_path)
        create.player_setup.add(type=sc_pb.Participant)
        create.player_setup.add(type=sc_pb.Computer, race=common_pb2.Terran, difficulty=sc_pb.VeryHard)
        controller.create_game(create)
        options = sc_pb.InterfaceOptions(raw=True, score=False)
        controller.join_game(sc_pb.RequestJoinGame(race=common_pb2.Terran, options=options))
        assert controller.game_info().map_name == name and controller.data().units[48] == "Marine"
        found[name] = largest_difference(Controller(controller), name, 3, 2)
print(json.dumps(found))
"""


class Raw:
    """The bytes' client as `bookkeeping.ByProtocol` wants it."""

    def __init__(self, client) -> None:
        self.client = client

    def units(self):
        return self.client.ask(observation={}).observation.observation.raw_data.units

    def act(self, orders) -> None:
        results = self.client.ask(action={"actions": [{"action_raw": {"unit_command": o}} for o in orders]})
        assert len(results.action.result) == len(orders)

    def step(self, loops) -> None:
        self.client.ask(step={"count": loops})

    def kill(self, tags) -> None:
        self.client.ask(debug={"debug": [{"kill_unit": {"tag": tags}}]})


@pytest.mark.parametrize("name", map_names())
def test_battles_on_all_maps_are_those_of_the_simulator(client, name):
    client.ask(leave_game={})
    client.begin(name, seed=5, race=RACES[load_map(name).ally_race])
    assert largest_difference(Raw(client), name, 5, episodes=2, most_steps=25) < FLOAT32


def test_battles_by_pysc2_are_those_of_the_simulator(tmp_path):
    pytest.importorskip("portpicker", reason="needs pysc2: requirements-starcraft.lock")
    folder = install_standin(tmp_path / "game")
    paths = [str(ROOT), os.environ.get("PYTHONPATH", "")]
    environment = {
        **os.environ,
        "SC2PATH": str(folder),
        "PYTHONPATH": os.pathsep.join(filter(None, paths)),
        "PROTOCOL_BUFFERS_PYTHON_IMPLEMENTATION": "python",
    }
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, "3m", "MMM"], capture_output=True, text=True, env=environment, cwd=tmp_path
    )
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout.splitlines()[-1])
    assert found.keys() == {"3m", "MMM"} and max(found.values()) < FLOAT32


@pytest.mark.parametrize("name", ["bane_vs_bane", "3m"])
def test_a_battle_that_wipes_out_both_sides_gives_the_next_a_head_start(name):
    """The loops that were left, and the two of the reset: as `SkirmishEnv` counts them."""
    import skirmish
    from skirmish.physics.tables import HEAD_START

    battle, env = Battle(find_scene(name), 4), skirmish.make(name, seed=4)
    env.reset()
    battle.touch()
    battle.units[0, 2] = 0.0  # all die in the first of eight loops
    battle.run(8)
    assert battle.filled == 2 and battle.number == 1 and battle.untouched
    env.clocks[0, HEAD_START] = 7
    seen = dict(zip(battle.tags, battle.units[0, :2].T))
    battle.run(2)
    env.reset()
    assert np.array_equal(battle.units, env.units) and np.array_equal(battle.marks, env.marks)
    moved = [np.abs(seen[tag] - battle.units[0, :2, u]).max() for tag, u in battle.index.items()]
    assert max(moved) < 1.0  # who had a tag has it still


def test_tags_follow_units_that_change_places():
    old = np.array([[1.0, 2.0, 5.0], [0.0, 0.0, 0.0]])
    new = np.array([[2.1, 1.1, 5.1], [0.0, 0.0, 0.0]])
    assert _same_tags(old, np.array([0, 0, 1]), [7, 8, 9], new, np.array([0, 0, 1])) == [8, 7, 9]


def test_positions_stay_in_their_cell_on_the_wire():
    assert wire(11.999999999999998) < 12.0 == np.float32(11.999999999999998)
    assert wire(12.0) == 12.0 and wire(0.1) == float(np.float32(0.1)) and wire(-0.0) == 0.0


def test_steps_along_an_axis_are_exact():
    here = 9.123456789012345
    seen = wire(here)
    assert _along(here, seen, float(np.float32(seen + 2.0))) == here + 2.0
    assert _along(here, seen, 11.5) == 11.5  # not from where the unit is: the point itself
