"""What is found before a game is started, and what an error says where something is missing."""

from __future__ import annotations

import json
import sys
from importlib import util
from importlib.machinery import ModuleSpec, PathFinder
from pathlib import Path
from typing import Any

import pytest

import envs
from envs.starcraft.installation import NotInstalledError
from skirmish.protocol import MARKER
from skirmish.protocol.standin import install_standin


@pytest.fixture
def packages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with hollow packages smac, smacv2, pysc2 and s2clientprotocol."""
    place = tmp_path / "packages"
    for name in ("smac/env/starcraft2", "smacv2/env/starcraft2", "pysc2", "s2clientprotocol"):
        (place / name).mkdir(parents=True)
    for name in ("smac", "smacv2", "pysc2", "s2clientprotocol"):
        (place / name / "__init__.py").write_text("raise AssertionError('nobody may import this')")
    (place / "smac/env/starcraft2/starcraft2.py").write_text("# source")
    find_spec = util.find_spec

    def found(name: str, *more: Any) -> ModuleSpec | None:
        """In that folder only: what this environment has installed does not count."""
        hollow = name in ("smac", "smacv2", "pysc2", "s2clientprotocol")
        return PathFinder.find_spec(name, [str(place)]) if hollow else find_spec(name, *more)

    monkeypatch.setattr(util, "find_spec", found)
    return place


@pytest.fixture
def game(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that looks like StarCraft II in two versions."""
    folder = tmp_path / "StarCraftII"
    for build in (69232, 75689):
        (folder / f"Versions/Base{build}").mkdir(parents=True)
        (folder / f"Versions/Base{build}/SC2_x64").write_text("")
    (folder / "Maps/SMAC_Maps").mkdir(parents=True)
    for name in ("3m", "32x32_flat"):
        (folder / f"Maps/SMAC_Maps/{name}.SC2Map").write_text("")
    monkeypatch.setenv("SC2PATH", str(folder))
    return folder


def test_a_stand_in_whose_python_is_gone_is_made_anew(packages: Path, tmp_path: Path, monkeypatch: Any) -> None:
    folder = tmp_path / "a stand-in"
    install_standin(folder)
    monkeypatch.setenv("SC2PATH", str(folder))
    label = envs.make("3m", backend="smac").info.unit_data
    assert label == "stand-in, not StarCraft II (skirmish 4.10)"
    for launcher in folder.glob("Versions/*/SC2_x64"):
        launcher.write_text(launcher.read_text().replace(sys.executable, str(tmp_path / "gone" / "python")))
    with pytest.raises(NotInstalledError, match=r"gone/python: make it anew with .* install-standin .*a stand-in"):
        envs.make("3m", backend="smac")


def test_a_whole_installation_is_described_without_being_started(packages: Path, game: Path) -> None:
    env = envs.make("3m", backend="smac", num_envs=2, observation="mazero")
    assert (env.info.backend, env.info.unit_data) == ("smac", "StarCraft II 4.10 (build 75689)")
    assert (env.info.obs_size, env.info.n_agents) == (64, 3)
    drawn = envs.make("terran_5_vs_5", backend="smacv2", game_version="4.6.2")
    assert drawn.info.unit_data == "StarCraft II 4.6.2 (build 69232)" and drawn.info.obs_size == 82
    found = envs.provenance("smac", {})
    assert found is not None and found["game"] == "StarCraft II 4.10 (build 75689)" and not found["stand_in"]
    assert set(found) == {"game", "build", "stand_in", "packages", "smac"} and len(found["smac"]["source_sha256"]) == 64
    assert envs.provenance("skirmish", {}) is None
    json.dumps(found)


def test_a_stand_in_is_never_called_starcraft(packages: Path, game: Path) -> None:
    (game / MARKER).write_text("not StarCraft II")
    assert envs.make("3m", backend="smac").info.unit_data == "stand-in, not StarCraft II (skirmish 4.10)"
    found = envs.provenance("smac", {"game_version": "4.6.2"})
    assert found is not None and found["stand_in"] and found["game"] == "stand-in, not StarCraft II (skirmish 4.6.2)"


def test_a_factory_is_no_starcraft_either() -> None:
    env = envs.make("3m", backend="smac", factory="a.b:C")
    assert env.info.unit_data == "no StarCraft II (factory a.b:C)"
    assert envs.provenance("smac", {"factory": "a.b:C"}) == {"game": "no StarCraft II (factory a.b:C)"}
    with pytest.raises(ValueError, match=r"factory must be of the form module:name, got 'a\.b'"):
        envs.make("3m", backend="smac", factory="a.b")


def test_a_missing_package_says_what_to_install(packages: Path, game: Path, monkeypatch) -> None:
    (packages / "pysc2").rename(packages / "pysc3")
    with pytest.raises(NotInstalledError, match=r"needs the package pysc2, got none: pip install pysc2==4\.0\.0"):
        envs.make("3m", backend="smac")
    (packages / "smac").rename(packages / "smuc")
    with pytest.raises(NotInstalledError, match="needs the StarCraft package 'smac', got none: pip install --no-deps"):
        envs.make("3m", backend="smac")


def test_the_other_package_of_that_name_is_recognised(packages: Path, game: Path) -> None:
    (packages / "smac/env/starcraft2").rename(packages / "smac/facade")
    with pytest.raises(
        NotInstalledError, match=r"got another one at .*smac.* is a tool for AutoML\): pip uninstall smac"
    ):
        envs.make("3m", backend="smac")


def test_a_missing_game_says_where_it_was_looked_for(packages: Path, game: Path, monkeypatch, tmp_path: Path) -> None:
    with pytest.raises(NotInstalledError, match=r"map 8m needs the file .*Maps/SMAC_Maps/8m.SC2Map, got none: unpack"):
        envs.make("8m", backend="smac")
    (game / "Versions/Base75689/SC2_x64").unlink()
    with pytest.raises(NotInstalledError, match=r"4\.10\.0 needs .*/Versions/Base75689, got Base69232: install that"):
        envs.make("3m", backend="smac", game_version="4.10.0")
    (game / "Versions/Base69232/SC2_x64").unlink()
    with pytest.raises(NotInstalledError, match=r"must hold Versions/Base<build>/SC2_x64, got none: set SC2PATH"):
        envs.make("3m", backend="smac")
    monkeypatch.setenv("SC2PATH", str(tmp_path / "nowhere"))
    with pytest.raises(NotInstalledError, match=r"SC2PATH must name a folder, got '.*nowhere'"):
        envs.make("3m", backend="smac")
    monkeypatch.delenv("SC2PATH")
    monkeypatch.setenv("HOME", str(tmp_path))
    (game / "Versions/Base69232/SC2_x64").write_text("")
    assert envs.make("3m", backend="smac").info.unit_data == "StarCraft II 4.6.2 (build 69232)"  # ~/StarCraftII


@pytest.mark.parametrize(
    ("name", "backend", "options", "message"),
    [
        ("3n", "smac", {}, "unknown map '3n'.*did you mean '3m'"),
        ("3m", "smacv2", {}, "unknown map '3m'"),
        ("terran_5_vs_5", "smac", {}, "unknown map 'terran_5_vs_5'"),
        ("3m", "smac", {"obs_last_acton": True}, "did you mean 'obs_last_action'"),
        ("3m", "smac", {"sight_scale": 0.5}, "unknown option 'sight_scale'"),
        ("3m", "smac", {"heuristic_ai": True}, "unknown option 'heuristic_ai'"),
        ("3m", "smac", {"step_mul": 0}, "step_mul must be an integer of at least 1"),
        ("3m", "smac", {"game_version": 4.1}, "game_version must be a text such as '4.10', got 4.1"),
        ("3m", "smac", {"step_timeout": 0}, "step_timeout must be a number of at least 0 and not 0, got 0"),
        ("3m", "smac", {"retries": 1.5}, "retries must be an integer of at least 0, got 1.5"),
        ("3m", "smac", {"starts_at_once": 0}, "starts_at_once must be an integer of at least 1, got 0"),
        ("terran_5_vs_5", "smacv2", {"enemy_memory": "repaired"}, "unknown option 'enemy_memory'"),
    ],
)
def test_bad_input_is_refused_with_the_nearest_name(name, backend, options, message) -> None:
    with pytest.raises(ValueError, match=message):
        envs.make(name, backend=backend, factory="a:B", **options)


def test_names_and_options_are_listed() -> None:
    assert envs.available("smac") == envs.available("skirmish")
    assert {"terran_5_vs_5", "zerg_20_vs_23_epo"} <= set(envs.available("smacv2"))
    options = envs.option_names("3m", backend="smac")
    assert {"obs_last_action", "game_version", "step_timeout", "obs_noise", "factory"} <= set(options)
    assert "conic_fov" in envs.option_names("terran_5_vs_5", backend="smacv2") and "conic_fov" not in options
