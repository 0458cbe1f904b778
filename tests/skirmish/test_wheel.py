"""The simulator as others get it: what the wheel holds, and a battle played and filmed with it from another folder."""

import email
import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from PIL import Image

from skirmish.data.units import GAME_VERSIONS

ROOT = Path(__file__).parents[2]

PLAY = """
from skirmish import StarCraft2Env
from skirmish.policies import make_policy

env = StarCraft2Env("3m", seed=1)
env.reset()
script = make_policy("focus_fire", env.simulator)
over, total = False, 0.0
while not over:
    reward, over, info = env.step(script.act()[0])
    total += reward
print(info["battle_won"], total, env.save_replay())
"""

WITHOUT = """
import sys

class Missing:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in ("PIL", "matplotlib", "imageio_ffmpeg"):
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)

sys.meta_path.insert(0, Missing())
"""


def run_python(arguments, folder, **environment):
    return subprocess.run(
        [sys.executable, *arguments],
        cwd=folder,
        env=os.environ | environment,
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    """Built from copies, so that the checkout stays clean, and without the network."""
    folder = tmp_path_factory.mktemp("build")
    shutil.copytree(ROOT / "skirmish", folder / "skirmish", ignore=shutil.ignore_patterns("__pycache__"))
    for room in ("envs", "training", "analysis"):  # what must not get in
        shutil.copytree(ROOT / room, folder / room, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "LICENSE"):
        shutil.copy(ROOT / name, folder)
    done = run_python(["-m", "pip", "wheel", ".", "--no-deps", "--no-build-isolation", "-w", "dist"], folder)
    assert done.returncode == 0, done.stderr
    (file,) = (folder / "dist").glob("*.whl")
    return file


@pytest.mark.slow
def test_the_wheel_holds_the_simulator_and_its_data_and_nothing_else(wheel):
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
        (metadata,) = (name for name in names if name.endswith(".dist-info/METADATA"))
        about = email.message_from_bytes(archive.read(metadata))
    assert {name.partition("/")[0] for name in names} == {"skirmish", metadata.partition("/")[0]}
    wanted = {
        file.relative_to(ROOT).as_posix()
        for file in (ROOT / "skirmish").rglob("*")
        if file.name.endswith((".py", ".json", ".csv", ".csv.gz")) and "__pycache__" not in file.parts
    }
    assert {"skirmish/data/maps.json", *(f"skirmish/data/units_{v}.json" for v in GAME_VERSIONS)} <= wanted <= names
    needs = [need for need in about.get_all("Requires-Dist") if "extra ==" not in need]
    assert [need.partition(">")[0] for need in needs] == ["numpy", "numba"]


@pytest.mark.slow
def test_an_installed_wheel_plays_and_films_from_another_folder(wheel, tmp_path):
    site, folder, home = tmp_path / "site", tmp_path / "elsewhere", tmp_path / "home"
    folder.mkdir()
    home.mkdir()
    done = run_python(["-m", "pip", "install", str(wheel), "--no-deps", "--no-index", "--target", str(site)], folder)
    assert done.returncode == 0, done.stderr
    installed = {"PYTHONPATH": str(site), "NUMBA_CACHE_DIR": "", "SKIRMISH_QUIET": "", "XDG_CACHE_HOME": str(tmp_path)}

    cold = run_python(["-c", PLAY], folder, **installed)
    assert cold.returncode == 0, cold.stderr
    checkout = run_python(["-c", PLAY], home, PYTHONPATH=str(ROOT))
    assert checkout.returncode == 0, checkout.stderr
    assert cold.stdout == checkout.stdout and cold.stdout.split()[2:] == ["3m_0.gif"]
    assert [line.partition(":")[0] for line in cold.stderr.splitlines()] == ["skirmish"] * 2  # it compiles, and says so
    with Image.open(folder / "3m_0.gif") as film:
        assert film.n_frames > 20

    warm = run_python(["-c", PLAY], folder, **installed)
    assert (warm.stdout, warm.stderr) == (cold.stdout, "")

    alone = (
        "import importlib.util as u, skirmish; print(skirmish.__file__, u.find_spec('envs'), u.find_spec('training'))"
    )
    where = run_python(["-c", alone], folder, **installed).stdout.split()
    assert Path(where[0]).is_relative_to(site) and where[1:] == ["None", "None"]


@pytest.mark.parametrize(
    "code",
    [
        "from skirmish.pictures.render import Painter",
        "from skirmish.pictures.film import Films",
        "from skirmish import StarCraft2Env\nenv = StarCraft2Env('3m')\nenv.reset()\nenv.save_replay()",
    ],
)
def test_pictures_without_pillow_say_what_to_install(tmp_path, code):
    done = run_python(["-c", WITHOUT + code], tmp_path, PYTHONPATH=str(ROOT))
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1] == (
        "ImportError: pictures and films need Pillow, got \"No module named 'PIL'\": pip install 'skirmish-smac[films]'"
    )


def test_command_line_without_pillow(tmp_path):
    """What needs no pictures works, and what does ends in one line."""
    code = WITHOUT + "from skirmish.play import main\nsys.exit(main(sys.argv[1:]))"
    maps = run_python(["-c", code, "maps"], tmp_path, PYTHONPATH=str(ROOT))
    assert maps.returncode == 0 and "2c_vs_64zg" in maps.stdout
    for command in (["watch", "--out", "film.gif"], ["gallery", "--out", "maps.png"]):
        done = run_python(["-c", code, *command], tmp_path, PYTHONPATH=str(ROOT))
        assert done.returncode == 2
        (line,) = done.stderr.splitlines()
        assert line.endswith("pip install 'skirmish-smac[films]'")


def test_a_film_without_matplotlib_has_pillows_letters(tmp_path):
    """DejaVu comes with matplotlib, which films do without."""
    code = (
        WITHOUT.replace('"PIL", ', "")
        + "from skirmish.pictures.sprites import font\n"
        + "print(font(20).getname()[0], font(20, bold=True).getlength('3m · focus fire 0123456789') > 100)"
    )
    done = run_python(["-c", code], tmp_path, PYTHONPATH=str(ROOT))
    assert done.stdout.split()[0] != "DejaVu" and done.stdout.split()[-1] == "True", done.stderr
