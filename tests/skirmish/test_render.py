"""Pictures and films: pixels whose colours follow from the state, files that can be read back, bad input.

On 3m the terrain is 34 x 20 units with its margin; a frame 680 wide has 20 pixels per unit, and 52 rows above the
battle. Lines of a grid lie on multiples of 4 units: places below avoid them where the ground's colour matters.
"""

import gc
import math
import warnings

import imageio.v3 as iio
import numpy as np
import pytest
from PIL import Image

import envs
from skirmish.data.maps import map_names
from skirmish.data.units import unit_type
from skirmish.physics import tables
from skirmish.pictures import film, gallery
from skirmish.pictures.ground import GROUND_LOW, VOID
from skirmish.pictures.hud import TROUGH
from skirmish.pictures.moments import LASTS
from skirmish.pictures.render import Painter
from skirmish.pictures.sprites import ACID, ALLY, ENEMY, HEAL, SHIELD, WHITE, mix
from skirmish.pictures.watch import Shooting, watch_script
from skirmish.play import main
from skirmish.policies import make_policy

SIZE = 680
ORIGIN = 52  # rows above the battle


def battle(name="3m", **places):
    """A started battle with all units in a corner but those given as `u3=(x, y)`."""
    env = envs.make(name)
    env.reset(0)
    env.units[0, tables.X], env.units[0, tables.Y] = 1.5, 9.5
    for unit, (x, y) in places.items():
        env.units[0, [tables.X, tables.Y], int(unit[1:])] = x, y
    return env


def after(env, loops=1):
    env.clocks[0, tables.LOOPS] += loops
    return env.clocks[0, tables.LOOPS]


def colour(frame, painter, x, y):
    column, row = painter.pixel(x, y)
    return tuple(frame[row, column].tolist())


def far(a, b):
    return max(abs(p - q) for p, q in zip(a, b, strict=True))


def test_units_lie_where_they_are_in_the_colour_of_their_side():
    env = battle(u0=(10.0, 17.0), u3=(20.5, 17.5))
    painter = Painter(env, size=SIZE)
    frame = painter.frame()
    assert frame.shape == (ORIGIN + 400, 680, 3) == painter.shape and frame.dtype == np.uint8
    assert painter.pixel(10.0, 17.0) == (220, ORIGIN + 180)  # 11 units from the left edge, 9 from the upper
    assert tuple(frame[ORIGIN + 180, 220]) == ALLY.body
    assert colour(frame, painter, 20.5, 17.5) == ENEMY.body
    assert colour(frame, painter, 14.2, 14.2) == GROUND_LOW
    assert tuple(frame[ORIGIN, 0]) == VOID == tuple(frame[-1, -1])


def test_discs_have_the_radius_of_the_unit():
    """0.375 for a marine: 15 pixels of 1/40 unit, the last 1.65 of them outline. It looks south, away from here."""
    env = battle(u0=(10.0, 17.0))
    painter = Painter(env, size=2 * SIZE)
    frame = painter.frame()
    assert colour(frame, painter, 10.0, 17.31) == ALLY.body
    assert far(colour(frame, painter, 10.0, 17.36), ALLY.deep) < 40
    assert colour(frame, painter, 10.0, 17.41) == GROUND_LOW


def test_same_state_same_frame():
    frames = [Painter(battle(u0=(10.0, 17.0)), size=SIZE, agent=0).frame() for _ in range(2)]
    np.testing.assert_array_equal(frames[0], frames[1])


def test_the_dead_vanish_and_leave_a_mark_that_fades():
    env = battle(u0=(10.0, 17.0))
    painter = Painter(env, size=SIZE)
    painter.look()
    env.units[0, tables.HEALTH, 0] = env.marks[0, tables.ALIVE, 0] = 0
    after(env)
    frame = painter.frame()
    marked = colour(frame, painter, 10.0, 17.0)
    assert marked not in (ALLY.body, GROUND_LOW) and marked[2] > marked[0]  # bluish
    unseen = Painter(env, size=SIZE).frame()  # by a painter that did not see it happen
    assert colour(unseen, painter, 10.0, 17.0) == GROUND_LOW
    after(env, LASTS["death"])
    assert colour(painter.frame(), painter, 10.0, 17.0) == GROUND_LOW


def test_health_above_the_unit_and_in_the_strip():
    env = battle(u0=(10.0, 17.0))
    env.units[0, tables.HEALTH, 0] = 22.5  # half of 45; the team has 5/6 of its health
    frame = Painter(env, size=SIZE).frame()
    painter = Painter(env, size=SIZE)
    fill = mix(ALLY.body, WHITE, 0.3)
    row = 17.0 + 0.375 + 0.16 + 0.05
    assert colour(frame, painter, 9.8, row) == fill  # the bar is 0.8 wide: 9.6 to 10.4, half of it filled
    assert max(colour(frame, painter, 10.2, row)) < 60
    strip, middle = mix(ALLY.body, WHITE, 0.15), round(35 * SIZE / 640)
    unit = SIZE / 640
    longest = 340 - 12 * unit - 60 * unit - 2 * unit
    for part, expected in ((0.1, strip), (0.8, strip), (0.86, TROUGH)):
        assert tuple(frame[middle, round(340 - 2 * unit - part * longest)].tolist()) == expected
    for part in (0.1, 0.98):  # nothing is missing on the other side
        assert tuple(frame[middle, round(340 + 2 * unit + part * longest)].tolist()) == mix(ENEMY.body, WHITE, 0.15)


def test_full_health_shows_no_bar_unless_the_unit_is_chosen():
    env = battle(u0=(10.0, 17.0))
    row = 17.0 + 0.375 + 0.16 + 0.05
    for agent, shown in ((None, False), (0, True)):
        painter = Painter(env, size=SIZE, agent=agent)
        assert (colour(painter.frame(), painter, 9.8, row) == mix(ALLY.body, WHITE, 0.3)) is shown


def test_circles_of_the_chosen_agent():
    env = battle(u1=(16.0, 16.0))
    plain, painter = Painter(env, size=SIZE).frame(), Painter(env, size=SIZE, agent=1)
    frame = painter.frame()
    changed = (frame != plain).any(2)
    # Attack: a full line, though it is thin; sight: dashed; between them: nothing.
    for radius, least, most in ((6.0, 0.85, 1.0), (9.0, 0.4, 0.6), (7.5, 0.0, 0.0)):
        angles = np.linspace(0, math.tau, 720, endpoint=False)
        inside = np.abs(radius * np.sin(angles)) < 8.9
        pixels = [painter.pixel(16 + radius * math.cos(a), 16 + radius * math.sin(a)) for a in angles[inside]]
        assert least <= np.mean([changed[row, column] for column, row in pixels]) <= most
    env.units[0, tables.HEALTH, 1] = env.marks[0, tables.ALIVE, 1] = 0
    np.testing.assert_array_equal(Painter(env, size=SIZE, agent=1).frame(), Painter(env, size=SIZE).frame())


def test_a_shot_is_a_line_for_some_loops_and_a_hit_glows():
    env = battle(u0=(10.0, 17.0), u3=(15.0, 17.0))
    painter = Painter(env, size=SIZE)
    painter.look()
    env.units[0, tables.DEALT, 0] += 6.0
    env.marks[0, tables.SHOT_TARGET, 0] = 3
    env.marks[0, tables.HITS_TAKEN, 3] += 1
    after(env)
    frame = painter.frame()
    for x in (11.0, 12.5, 14.0):
        assert far(colour(frame, painter, x, 17.0), GROUND_LOW) > 20
    assert far(colour(frame, painter, 15.2, 17.0), ENEMY.body) > 20  # glows
    after(env, LASTS["shot"])
    frame = painter.frame()
    assert colour(frame, painter, 12.5, 17.0) == GROUND_LOW
    assert colour(frame, painter, 15.2, 17.0) == ENEMY.body


def test_missiles_fly_and_draw_no_line():
    env = battle("MMM2", u0=(10.0, 17.0), u10=(18.0, 16.0))
    assert env.spec.kinds[env.kinds[0, 0]].name == "marauder"
    env.marks[0, tables.MISSILE_TARGET, 0] = 10
    env.units[0, [tables.MISSILE_X, tables.MISSILE_Y], 0] = 13.5, 16.5
    painter = Painter(env, size=SIZE)
    frame = painter.frame()
    assert far(colour(frame, painter, 13.5, 16.5), ALLY.light) < 30
    assert colour(frame, painter, 15.5, 16.25) == GROUND_LOW


def test_a_tentacle_reaches_from_the_crawler_to_its_tip():
    env = battle("2s_vs_1sc", u0=(12.0, 10.0), u2=(14.0, 20.0))
    env.marks[0, tables.MISSILE_TARGET, 2] = 0
    env.units[0, [tables.MISSILE_X, tables.MISSILE_Y], 2] = 13.0, 15.0
    painter = Painter(env, size=SIZE)
    frame = painter.frame()
    assert far(colour(frame, painter, 13.4, 17.0), ENEMY.body) < 30 and colour(frame, painter, 12.6, 13.0) == GROUND_LOW


def test_heals_link_medivac_and_patient():
    env = battle("MMM2", u9=(10.0, 17.0), u0=(15.0, 17.0))
    assert env.spec.kinds[env.kinds[0, 9]].name == "medivac"
    env.marks[0, tables.HEALING, 9] = 0
    painter = Painter(env, size=SIZE)
    assert far(colour(painter.frame(), painter, 13.0, 17.0), HEAL) < 25


def test_beams_go_to_both_ends_of_the_sweep():
    env = battle("2c_vs_64zg", u0=(16.0, 15.0))
    env.marks[0, tables.BEAM_AGE, 0] = 0  # the beams begin at opposite ends of the line, 1.25 from its middle
    env.units[0, tables.BEAM_X : tables.BEAM_DY + 1, 0] = 20.5, 10.0, 1.0, 0.0
    painter = Painter(env, size=SIZE)
    frame = painter.frame()
    for x in (20.5 - 1.25, 20.5 + 1.25):
        assert far(colour(frame, painter, x, 10.0), ALLY.light) < 30
    assert far(colour(frame, painter, 20.5, 10.0), ALLY.light) > 30


def test_explosions_show_their_radius():
    env = battle("bane_vs_bane", u0=(16.5, 16.5))
    kind = env.spec.kinds[env.kinds[0, 0]]
    assert kind.name == "baneling" and kind.weapon.burst_radius == 2.2
    painter = Painter(env, size=SIZE)
    painter.look()
    env.marks[0, tables.BURST, 0], env.marks[0, tables.ALIVE, 0], env.units[0, tables.HEALTH, 0] = 1, 0, 0.0
    after(env, 2)
    env.marks[0, tables.BURST, 0] = 2
    painter.look()
    after(env, 2)
    frame = painter.frame()
    assert far(colour(frame, painter, 16.5 + 2.15, 16.5), GROUND_LOW) > 20  # the rim
    inner = colour(frame, painter, 17.5, 17.5)
    assert inner[2] < GROUND_LOW[2] - 15 and far(inner, ACID) < far(GROUND_LOW, ACID)
    assert colour(frame, painter, 16.5 + 2.4, 16.5) == GROUND_LOW


def test_shields_have_their_own_bar():
    env = battle("2s3z", u0=(10.0, 17.0))
    stalker = unit_type("stalker")
    env.units[0, tables.SHIELD, 0] = stalker.shield_max / 2
    painter = Painter(env, size=SIZE)
    frame = painter.frame()
    lowest = 17.0 + stalker.radius + 0.16
    assert colour(frame, painter, 9.7, lowest + 0.05) == mix(ALLY.body, WHITE, 0.3)
    assert colour(frame, painter, 9.7, lowest + 0.2) == SHIELD  # bars are 3 pixels, 0.15, high
    assert max(colour(frame, painter, 10.3, lowest + 0.2)) < 60


@pytest.mark.parametrize("name", ["2s_vs_1sc", "corridor", "27m_vs_30m"])
def test_frames_have_even_sizes_and_show_everybody(name):
    env = envs.make(name)
    env.reset(0)
    painter = Painter(env, size=301)
    height, width, _ = painter.frame().shape
    assert (height % 2, width) == (0, 302) and height <= 1.1 * width
    for x, y in zip(env.units[0, tables.X], env.units[0, tables.Y], strict=True):
        column, row = painter.pixel(x, y)
        assert 0 <= column < width and painter.head <= row < height


def test_slots_are_drawn_apart():
    env = envs.make("3m", num_envs=2)
    env.reset(0)
    env.units[1, tables.X, 0] = 16.0
    first, second = (Painter(env, slot=b, size=320).frame() for b in (0, 1))
    assert (first != second).any()


# Files


def read_mp4(path):
    """Frames and rate. The reader leaves pipes open, which is no fault of the film."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)
        frames, facts = iio.imread(path), iio.immeta(path)
        gc.collect()
    return frames, facts["fps"]


def test_a_gif_gives_back_the_frames_it_was_given(tmp_path):
    """Colours that the palette holds, in frames that differ in a part, everywhere, and not at all."""
    first = np.full((6, 8, 3), ALLY.body, np.uint8)
    second = first.copy()
    second[2:4, 3:5] = ENEMY.body
    frames = [first, second, second, np.full((6, 8, 3), WHITE, np.uint8), first]
    path = tmp_path / "new" / "film.gif"
    with film.Films([path], fps=20) as films:
        for frame in frames:
            films.add(frame)
    np.testing.assert_array_equal(iio.imread(path), np.array(frames))
    assert [p.name for p in path.parent.iterdir()] == ["film.gif"]


def test_an_error_leaves_no_film(tmp_path):
    paths = [tmp_path / "film.gif", tmp_path / "film.mp4"]
    with pytest.raises(RuntimeError), film.Films(paths, fps=20) as films:
        films.add(np.zeros((16, 16, 3), np.uint8))
        raise RuntimeError
    assert list(tmp_path.iterdir()) == []


def test_an_episode_as_gif_and_mp4(tmp_path):
    """8 loops a step, a frame every 2, the start before them; the outcome stays 1.2 s: 24 frames or one long one."""
    paths = tmp_path / "film.gif", tmp_path / "film.mp4"
    answer = watch_script("3m", "heuristic", Shooting(out=paths, size=200, seed=3))
    env = envs.make("3m")
    env.reset(3)
    first = Painter(env, size=200, title="3m · heuristic").frame()
    script = make_policy("heuristic", env, 3)
    while not env.finished[0]:
        script.play_step()
    steps = int(env.t[0])
    assert answer.splitlines()[0].endswith(f"{'win' if env.won[0] else 'defeat'} after {steps} steps")
    gif, (mp4, fps) = iio.imread(paths[0]), read_mp4(paths[1])
    assert gif.shape == (1 + 4 * steps + 1, *first.shape) and mp4.shape == (1 + 4 * steps + 24, *first.shape)
    for movie, tolerance in ((gif, 6), (mp4, 6)):  # 255 colours; compression
        assert np.abs(movie[0].astype(int) - first).mean() < tolerance
    with Image.open(paths[0]) as picture:
        durations = []
        for k in range(picture.n_frames):
            picture.seek(k)
            durations.append(picture.info["duration"])
    assert durations == [50] * (1 + 4 * steps) + [1200]
    assert fps == 20


def test_the_same_command_gives_the_same_gif_and_another_seed_another(tmp_path):
    contents = []
    for name, seed in (("a.gif", 0), ("b.gif", 0), ("c.gif", 1)):
        flags = ["--map", "3m", "--policy", "random", "--seed", str(seed), "--size", "160", "--loops-per-frame", "8"]
        assert main(["watch", *flags, "--out", str(tmp_path / name)]) == 0
        contents.append((tmp_path / name).read_bytes())
    assert contents[0] == contents[1] != contents[2]


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--map", "3n"], "did you mean '3m'"),
        (["--policy", "heroic"], "did you mean"),
        (["--out", "film.avi"], "expected a name that ends in .gif or .mp4"),
        (["--out", "old.gif"], "old.gif exists: choose another name, or replace it with --force"),
        (["--out", "film.gif"], "output files must differ"),
        (["--out", "old.gif/film.gif"], "is not a folder that can be written to"),
        (["--agent", "3"], "agent must lie in 0..2, got 3: 3m has 3 agents"),
        (["--agent", "-1"], "agent must lie in 0..2, got -1"),
        (["--episodes", "0"], "episodes must be at least 1, got 0"),
        (["--seed", "-1"], "seed must lie in 0.."),
        (["--size", "10"], "size must lie in 160..1920, got 10"),
        (["--fps", "0"], "fps must lie in 1..50, got 0"),
        (["--loops-per-frame", "0"], "loops-per-frame must be at least 1"),
    ],
)
def test_bad_input_is_one_line_and_writes_nothing(tmp_path, capsys, monkeypatch, flags, message):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "old.gif").write_text("a film")
    assert main(["watch", "--map", "3m", "--out", "film.gif", *flags]) == 2
    error = capsys.readouterr().err
    assert message in error and error.count("\n") == 1
    assert [p.name for p in tmp_path.iterdir()] == ["old.gif"] and (tmp_path / "old.gif").read_text() == "a film"


def test_watch_needs_an_output(capsys):
    assert main(["watch", "--map", "3m"]) == 2
    assert "no output given: name a file with --out" in capsys.readouterr().err


# The gallery


def test_the_gallery_has_a_panel_per_map(tmp_path):
    figure = gallery.gallery(map_names())
    panels = [axes for axes in figure.axes if axes.get_label() in map_names()]
    assert [axes.get_label() for axes in panels if axes.images] and len({a.get_label() for a in panels}) == 23
    assert len(figure.axes) == 23 + 2
    texts = {text.get_text() for axes in figure.axes for text in axes.texts}
    assert {"27m_vs_30m", "27 vs 30 · 180 steps", "spine\ncrawler", "agents"} <= texts
    gallery.save(figure, tmp_path / "maps.png")
    height, width, _ = iio.imread(tmp_path / "maps.png").shape
    assert 1000 <= width <= 1500 and 1000 <= height <= 1500
    assert (tmp_path / "maps.png").stat().st_size < 1_000_000


def test_gallery_refuses_bad_files(tmp_path, capsys):
    (tmp_path / "old.png").touch()
    for name, message in (("maps.bmp", "ends in .png or .svg or .pdf"), ("old.png", "exists")):
        assert main(["gallery", "--out", str(tmp_path / name)]) == 2
        assert message in capsys.readouterr().err
