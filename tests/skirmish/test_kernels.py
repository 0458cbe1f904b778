"""The kernels as such: random numbers, compiled against interpreted, one thread against two."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import envs
from skirmish.physics import draws

ROOT = Path(__file__).parents[2]

EPISODE = """
import os
import sys
import numpy as np
import numba
import envs
from skirmish.slotwise import threads_for

def run(name, num_envs, steps, seed):
    env = envs.make(name, num_envs=num_envs, observation="mazero")
    env.reset(seed)
    rng = np.random.default_rng(seed)
    seen = []
    for _ in range(steps):
        score = rng.random(env.available_actions.shape) * env.available_actions
        score[:, :, 6:] *= 4  # fight rather than wander
        env.step(score.argmax(2))
        seen += [env.obs.copy(), env.state.copy(), env.reward.copy()]
        env.reset_done()
    out = env.snapshot()
    out["seen"] = np.concatenate([s.ravel() for s in seen])
    return out
"""


def run_python(code, arguments, **environment):
    done = subprocess.run(
        [sys.executable, "-W", "error::RuntimeWarning", "-c", EPISODE + code, *arguments],
        cwd=ROOT,
        env=os.environ | {"PYTHONPATH": str(ROOT)} | environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_philox_matches_published_vectors():
    """Known answers of Random123 (kat_vectors, philox4x32-10); the fourth counter word is always 0 here."""
    zero = np.uint64(0)
    assert [int(v) for v in draws.philox(zero, zero, zero, zero, zero)] == [0x6627E8D5, 0xE169C58D]


def test_streams_differ_and_look_uniform():
    def numbers(b, episode, key):
        clock = np.array([0, episode, 0, 0])
        return [draws.uniform(clock, b, np.array(key, np.uint64), 0.0, 1.0) for _ in range(4000)]

    base = numbers(0, 0, (1, 0))
    assert min(base) >= 0
    assert max(base) < 1
    assert np.mean(base) == pytest.approx(0.5, abs=0.02)
    assert np.var(base) == pytest.approx(1 / 12, abs=0.01)
    for other in (numbers(1, 0, (1, 0)), numbers(0, 1, (1, 0)), numbers(0, 0, (2, 0)), numbers(0, 0, (1, 1))):
        assert abs(np.corrcoef(base, other)[0, 1]) < 0.08


def test_compiled_and_interpreted_kernels_agree(tmp_path):
    code = 'np.savez(sys.argv[1], **run("3m", 2, 24, 3))'
    files = [tmp_path / "compiled.npz", tmp_path / "interpreted.npz"]
    for file, disabled in zip(files, "01", strict=True):
        run_python(code, [str(file)], NUMBA_DISABLE_JIT=disabled)
    compiled, interpreted = (np.load(file) for file in files)
    assert compiled["seen"].any()
    for key in compiled.files:
        np.testing.assert_array_equal(compiled[key], interpreted[key], err_msg=key)


@pytest.mark.parametrize("name", ["8m", "terran_5_vs_5_epo"])
def test_result_does_not_depend_on_the_number_of_threads(name):
    code = """
results = []
for threads in (1, 2):
    numba.set_num_threads(threads)
    assert threads_for(61, 5) == threads  # few enough for one thread would prove nothing
    results.append(run(sys.argv[1], 61, 45, 9))
assert results[0]["seen"].any()
for key in results[0]:
    np.testing.assert_array_equal(results[0][key], results[1][key], err_msg=key)
print("same")
"""
    assert run_python(code, [name], NUMBA_NUM_THREADS="2").strip() == "same"


def test_one_battle_starts_no_threads():
    code = """
run("27m_vs_30m", 1, 2, 0)
try:
    numba.threading_layer()
except ValueError:
    print("none")
run("3m", 50, 2, 0)
print(numba.threading_layer())
"""
    none, layer = run_python(code, [], NUMBA_NUM_THREADS="2").split()
    assert none == "none" and layer in ("omp", "tbb", "workqueue")


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork")
@pytest.mark.parametrize("battles", [1, 50])
def test_a_process_that_has_stepped_can_fork(tmp_path, battles):
    """Children play few battles and many, whatever was played before; with GNU OpenMP numba alone would end them."""
    code = """
run("3m", int(sys.argv[1]), 4, 5)
child = os.fork()
if child == 0:
    np.savez(sys.argv[2], few=run("3m", 1, 4, 5)["seen"], many=run("3m", 50, 4, 6)["seen"])
    os._exit(0)
assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
seen = np.load(sys.argv[2])
np.testing.assert_array_equal(seen["few"], run("3m", 1, 4, 5)["seen"])
np.testing.assert_array_equal(seen["many"], run("3m", 50, 4, 6)["seen"])
assert seen["many"].any()
print(threads_for(50, 6))
"""
    assert run_python(code, [str(battles), str(tmp_path / "child.npz")], NUMBA_NUM_THREADS="2").strip() == "2"


def test_the_first_reset_compiles_what_a_step_needs():
    code = """
from skirmish.contract import smac
from skirmish.physics import loop
env = envs.make("3m")
env.reset(0)
kernels = [loop.advance, smac.settle, smac.fill_views]
before = [len(kernel.serial.signatures) for kernel in kernels]
env.step(env.available_actions.argmax(2))
print(before == [len(kernel.serial.signatures) for kernel in kernels] == [1, 1, 1])
"""
    assert run_python(code, []).strip() == "True"


def test_slots_do_not_depend_on_their_neighbours():
    """Slot b of a large batch plays the same episodes as slot b of a small one."""

    def run(num_envs):
        env = envs.make("5m_vs_6m", num_envs=num_envs)
        env.reset(4)
        for _ in range(30):
            last_available = env.info.n_actions - 1 - env.available_actions[:, :, ::-1].argmax(2)
            env.step(last_available)
        return env.units[:2].copy()

    np.testing.assert_array_equal(run(2), run(7))
