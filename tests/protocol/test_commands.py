"""Flags of the game's binary, and the folder that looks like an installation. Nothing here needs the API's messages."""

import os
import subprocess
import sys

import pytest

from skirmish.data.maps import map_names
from skirmish.play import main
from skirmish.protocol import MARKER
from skirmish.protocol.commands import ServeFlags, install, parse_flags, serve
from skirmish.protocol.standin import install_standin, is_standin
from tests.protocol.server import ROOT

PYSC2 = "-listen 127.0.0.1 -port 5678 -dataDir /g/ -tempDir /tmp/sc-x/ -dataVersion B89B -headlessNoRender".split()
WINDOW = "-displayMode 0 -windowwidth 640 -windowheight 480 -windowx -50 -windowy 50 -eglpath libEGL.so".split()


def test_the_flags_that_pysc2_passes_are_understood():
    assert parse_flags(PYSC2) == ServeFlags(5678, "/tmp/sc-x/")
    assert parse_flags([*PYSC2, *WINDOW, "-verbose", "-unitData", "4.6.2"]) == ServeFlags(
        5678, "/tmp/sc-x/", "4.6.2", True
    )


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        ([], "-port is missing"),
        (["-port"], "-port needs a value"),
        (["-port", "-verbose"], "-port needs a value"),
        (["-port", "many"], r"-port must be an integer in \[0, 65535\], got 'many'"),
        (["-port", "65536"], "-port must be"),
        (["-port", "-1"], "-port must be"),
        (["port", "5000"], "expected a flag"),
        (["-port", "1", "--"], "expected a flag"),
        (["-listen", "0.0.0.0", "-port", "1"], "serves this machine only"),
        (["-unitData", "5.0", "-port", "1"], "-unitData must be one of"),
    ],
)
def test_nonsense_is_refused(flags, message, capsys):
    with pytest.raises(ValueError, match=message):
        parse_flags(flags)
    assert serve(flags) == 2
    assert capsys.readouterr().err.startswith("skirmish serve: ")


def test_the_commands_have_help(capsys):
    assert serve(["--help"]) == 0 and "-port PORT" in capsys.readouterr().out
    assert install(["--help"]) == 0 and "SC2PATH" in capsys.readouterr().out
    with pytest.raises(SystemExit):
        main(["--help"])
    listed = capsys.readouterr().out
    assert "serve" in listed and "install-standin" in listed


def test_what_is_missing_is_named_in_one_line():
    without = (
        "import sys; sys.modules['google.protobuf'] = None; from skirmish.protocol.commands import serve; "
        "sys.exit(serve(['-port', '0']))"
    )
    done = subprocess.run([sys.executable, "-c", without], capture_output=True, text=True, cwd=ROOT)
    assert done.returncode == 2 and done.stderr.count("\n") == 1
    assert "protobuf" in done.stderr and "skirmish-smac[protocol]" in done.stderr


def test_a_standin_looks_like_the_game(tmp_path, capsys):
    folder = tmp_path / "game with space"
    assert install([str(folder)]) == 0
    assert capsys.readouterr().out == f"export SC2PATH={folder}\n"
    assert is_standin(folder) and "not StarCraft II" in (folder / MARKER).read_text()
    binaries = sorted(folder.glob("Versions/Base*/SC2_x64"))
    assert [b.parent.name for b in binaries] == ["Base69232", "Base75689"]
    assert all(os.access(b, os.X_OK) for b in binaries)
    maps = {p.name for p in folder.glob("Maps/SMAC_Maps/*.SC2Map")}
    assert maps >= {f"{name}.SC2Map" for name in (*map_names(), "32x32_flat", "10gen_terran")}
    assert install_standin(folder) == folder  # renewing one is harmless
    done = subprocess.run([binaries[0], "--help"], capture_output=True, text=True, cwd=tmp_path)
    assert done.returncode == 0 and "sc2api" in done.stdout


def test_a_real_installation_is_never_touched(tmp_path, capsys):
    binary = tmp_path / "Versions" / "Base75689" / "SC2_x64"
    binary.parent.mkdir(parents=True)
    binary.write_bytes(b"\x7fELF")
    assert install([str(tmp_path)]) == 2
    assert "looks like a real installation" in capsys.readouterr().err
    assert binary.read_bytes() == b"\x7fELF" and [p.name for p in tmp_path.iterdir()] == ["Versions"]


def test_other_folders_and_files_are_refused(tmp_path):
    (tmp_path / "letter.txt").write_text("dear")
    with pytest.raises(ValueError, match="holds other files"):
        install_standin(tmp_path)
    with pytest.raises(ValueError, match="is a file"):
        install_standin(tmp_path / "letter.txt")
    assert install([]) == install(["-x"]) == 2
