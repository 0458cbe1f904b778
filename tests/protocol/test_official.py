"""The real packages on the stand-in see what the simulator's own faces show."""

import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from skirmish.data.maps import map_names
from skirmish.protocol.standin import install_standin
from skirmish.scenarios.draw import RACES, TEAM_SIZES
from tests.protocol.server import ROOT

pytestmark = pytest.mark.starcraft
FLOAT32 = 5e-7  # features lie within a few units; differences of two positions keep their rounding errors
REWARD = 2e-6  # sums over many units of health as float32


def require(*packages: str) -> None:
    """Skip unless these can be imported, which is not tried here: their modules need protobuf's slow choice."""
    for name in packages:
        found = importlib.util.find_spec(name)
        folders = [] if found is None else [Path(p) for p in found.submodule_search_locations or ()]
        # PyPI has another package of the name smac.
        right = [f for f in folders if not name.startswith("smac") or (f / "env" / "starcraft2").is_dir()]
        if not right:
            pytest.skip(f"needs {name}: requirements-starcraft.lock, and SMAC's repositories on PYTHONPATH")


@pytest.fixture(scope="module")
def game(tmp_path_factory):
    require("pysc2", "s2clientprotocol", "websockets")
    return install_standin(tmp_path_factory.mktemp("standin") / "game")


def play(game, *arguments: str) -> dict[str, float]:
    environment = {
        **os.environ,
        "SC2PATH": str(game),
        "PYTHONPATH": os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH", "")])),
        "PROTOCOL_BUFFERS_PYTHON_IMPLEMENTATION": "python",
    }
    command = [sys.executable, "-m", "tests.protocol.play_official", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, cwd=ROOT)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


@pytest.mark.parametrize("name", map_names())
def test_smac_sees_what_the_face_shows(game, name):
    require("smac")
    found = play(game, "smac", name, "11", "3")
    assert max(found["obs"], found["state"]) < FLOAT32 and found["reward"] < REWARD and found["steps"] > 20


@pytest.mark.parametrize("race", RACES)
@pytest.mark.parametrize("sizes", TEAM_SIZES)
def test_smacv2_sees_what_the_drawn_battles_show(game, race, sizes):
    require("smacv2")
    found = play(game, "smacv2", f"{race}_{sizes[0]}_vs_{sizes[1]}", "5", "2")
    assert max(found["obs"], found["state"]) < FLOAT32 and found["reward"] < REWARD
    assert found["steps"] > 20 and found["enemy_rows"] > 50
