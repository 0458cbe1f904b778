"""Memory, chunks, threads, clocks and messages of a search: what stands between the kernels."""

import dataclasses
import itertools
import threading
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from mazero.search import Root, SearchConfig, Workspace, rounds, search
from mazero.search import search as search_function
from mazero.search import tree as trees
from mazero.search.outcome import empty_result
from tests.mazero.search.models import hash_model

module = __import__("sys").modules[search_function.__module__]
CONFIG = SearchConfig(num_simulations=5, num_sampled_actions=4)


def seeds_of(count):
    return np.arange(count, dtype=np.uint64)


def assert_equal(found, expected):
    for field in dataclasses.fields(found):
        np.testing.assert_array_equal(getattr(found, field.name), getattr(expected, field.name), field.name)


def root_of(b=3, n=2, a=4, h=5, dtype=torch.float64, value_dtype=torch.float64, device="cpu"):
    return Root(
        torch.zeros(b, n, h, dtype=dtype, device=device), torch.zeros(b, dtype=value_dtype), torch.zeros(b, n, a)
    )


def test_a_workspace_has_room_for_every_node_of_every_root():
    space = Workspace()
    assert (space.tree, space.roots, space.seconds) == (None, 0, {"inference": 0.0, "tree": 0.0, "glue": 0.0})
    space.prepare(root_of(b=7, dtype=torch.float64, value_dtype=torch.float32), CONFIG)
    for b in (7, 3):
        space.prepare(root_of(b=b, dtype=torch.float64, value_dtype=torch.float32), CONFIG)
        assert {name: (tuple(x.shape), x.dtype) for name, x in vars(space).items() if hasattr(x, "dtype")
                and not name.startswith("_")} == {
            "hidden": ((6 * b, 2, 5), torch.float64), "gathered": ((b, 2, 5), torch.float64),
            "outputs": ((b, 2 + 2 * 4), torch.float32), "selected": ((b * 3,), torch.int64), "status": ((b,), np.int64),
        }  # fmt: skip
        assert [len(field) for field in space.tree] == [b] * 11 + [1] * 5
        assert space.tree.nodes.shape == (b, 6) and space.tree.key.shape == (b, 6, 4, 1)


def memory_of(space):
    return {
        "nodes": space.tree.nodes.__array_interface__["data"][0],
        "hidden": space.hidden.untyped_storage()._cdata and space.hidden.data_ptr(),
        "gathered": space.gathered.data_ptr(),
        "outputs": space.outputs.data_ptr(),
        "selected": space.selected.data_ptr(),
    }


def test_memory_is_used_again_for_fewer_roots_and_made_anew_for_more_or_another_kind():
    space = Workspace()
    space.prepare(root_of(b=5), CONFIG)
    first = memory_of(space)
    for b in (5, 2, 4, 5):
        space.prepare(root_of(b=b), CONFIG)
        assert memory_of(space) == first
    kinds = [
        (root_of(b=6), CONFIG),
        (root_of(b=6, n=3), CONFIG),
        (root_of(b=6, a=3), CONFIG),
        (root_of(b=6, h=4), CONFIG),
        (root_of(b=6), dataclasses.replace(CONFIG, num_simulations=4)),
        (root_of(b=6), dataclasses.replace(CONFIG, num_sampled_actions=3)),
        (root_of(b=6, dtype=torch.float32), CONFIG),
        (root_of(b=6, value_dtype=torch.float32), CONFIG),
        (root_of(b=6, device="meta"), CONFIG),
        (root_of(b=1), CONFIG),
    ]
    held = [(space.tree, space.hidden, space.gathered, space.outputs, space.selected)]  # freed memory may come back
    for root, config in kinds:
        before = memory_of(space)
        space.prepare(root, config)
        assert all(memory_of(space)[name] != before[name] for name in before if name != "meta")
        held.append((space.tree, space.hidden, space.gathered, space.outputs, space.selected))
        again = memory_of(space)
        space.prepare(root, config)
        assert memory_of(space) == again
        held.append((space.tree, space.hidden, space.gathered, space.outputs, space.selected))


@pytest.mark.parametrize("device", ["cpu", "cuda"])
def test_on_a_gpu_hidden_states_lie_there_and_what_is_transferred_is_pinned(monkeypatch, device):
    asked, empty = [], torch.empty

    def recording(size, **how):
        asked.append((size, how))
        return empty(size, dtype=how["dtype"])

    monkeypatch.setattr(module.torch, "empty", recording)
    where, single = torch.device(device), torch.float32
    hidden = SimpleNamespace(shape=(3, 2, 5), dtype=torch.float64, device=where)
    root = SimpleNamespace(hidden=hidden, value=SimpleNamespace(dtype=single), policy_logits=torch.zeros(3, 2, 4))
    Workspace().prepare(root, CONFIG)
    pinned = device == "cuda"
    assert asked == [
        (6 * 3 * 2 * 5, {"dtype": torch.float64, "device": where}),
        ((3, 2, 5), {"dtype": torch.float64, "device": where}),
        ((3, 10), {"dtype": single, "pin_memory": pinned}),
        (9, {"dtype": torch.int64, "pin_memory": pinned}),
    ]


def test_helpers_are_kept_and_share_the_clock():
    space = Workspace()
    assert space.helpers(1) == [space]
    three = space.helpers(3)
    assert three[0] is space and len({*map(id, three)}) == 3
    assert space.helpers(2) == three[:2] and space.helpers(3) == three
    assert all(helper.seconds is space.seconds for helper in three)


class InPlace:
    """The model of `hash_model` in the search's memory, float32; keeps what it was called with."""

    def __init__(self, n, a, *, roots_at_once):
        self.recurrent_fn, self.make = hash_model(n, a)
        self.roots_at_once = roots_at_once
        self.chunks, self.own = [], threading.local()

    def begin(self, hidden):
        self.own.hidden, self.own.steps = hidden, []
        self.chunks.append((threading.get_ident(), hidden.shape, self.own.steps))

    def step_in_place(self, hidden, rows, actions, first, outputs):
        assert hidden is self.own.hidden and hidden.dtype == outputs.dtype == np.float32
        assert rows.dtype == actions.dtype == np.int64 and len({*rows.tolist()}) == len(rows)
        assert (rows < first).all()
        self.own.steps.append((first, rows.shape, actions.shape, outputs.shape))
        before = torch.from_numpy(hidden[rows]), torch.from_numpy(actions)
        following, reward, value, logits = self.recurrent_fn(before[0].double(), before[1])
        hidden[first : first + len(rows)] = following
        outputs[:, 0], outputs[:, 1], outputs[:, 2:] = reward, value, logits.flatten(1)

    def root(self, count):
        root = self.make(count, masked=True)
        return Root(root.hidden.float(), root.value.float(), root.policy_logits.float(), root.available_actions)

    def copying(self, hidden, joint_action):
        """The same as a function."""
        return tuple(x.float() for x in self.recurrent_fn(hidden.double(), joint_action))


@pytest.mark.parametrize("threads", [1, 2, 9])
def test_an_in_place_model_gets_chunks_in_threads_and_finds_what_a_function_of_tensors_finds(threads):
    model = InPlace(3, 4, roots_at_once=5)
    root, space = model.root(12), Workspace()
    found = search(model, root, CONFIG, seeds_of(12), noise=True, workspace=space, threads=threads)
    assert_equal(found, search(model.copying, root, CONFIG, seeds_of(12), noise=True))
    sizes = [(30, 3, 2), (30, 3, 2), (12, 3, 2)]
    assert sorted(shape for _, shape, _ in model.chunks) == sorted(sizes)
    if threads == 1:
        assert [shape for _, shape, _ in model.chunks] == sizes
        assert {thread for thread, _, _ in model.chunks} == {threading.get_ident()}
        assert len(space.tree.nodes) == 2  # those of the last chunk
    else:
        assert threading.get_ident() not in {thread for thread, _, _ in model.chunks}
        assert len(space._helpers) == min(threads, 3) - 1
    for _, (rows, n, _), steps in model.chunks:
        b = rows // 6
        assert steps == [(b * t, (b,), (b, n), (b, 2 + 3 * 4)) for t in range(1, 6)]
    assert space.roots == 12
    search(model, root, CONFIG, seeds_of(12), noise=True, workspace=space)
    assert space.roots == 24


def test_chunks_really_run_at_the_same_time():
    model = InPlace(3, 4, roots_at_once=2)
    together, begin = threading.Barrier(2, timeout=10), model.begin

    def meet(hidden):
        together.wait()
        begin(hidden)

    model.begin = meet
    search(model, model.root(4), CONFIG, seeds_of(4), noise=True, threads=2)
    assert len({thread for thread, _, _ in model.chunks}) == 2


def test_one_thread_unless_more_are_asked_for_and_functions_of_tensors_always_have_one():
    model = InPlace(2, 3, roots_at_once=2)
    search(model, model.root(4), CONFIG, seeds_of(4), noise=False)
    assert {thread for thread, _, _ in model.chunks} == {threading.get_ident()}
    seen = []

    def copying(*arguments):
        seen.append((threading.get_ident(), len(arguments[0])))
        return model.copying(*arguments)

    search(copying, model.root(4), CONFIG, seeds_of(4), noise=False, threads=3)
    assert seen == [(threading.get_ident(), 4)] * 5


@pytest.mark.parametrize("threads", [1, 2])
def test_what_fails_in_a_thread_fails_the_search(threads):
    model = InPlace(2, 3, roots_at_once=2)

    def fail(*_):
        raise ZeroDivisionError("in the model")

    model.step_in_place = fail
    with pytest.raises(ZeroDivisionError, match="in the model"):
        search(model, model.root(4), CONFIG, seeds_of(4), noise=False, threads=threads)


def test_an_in_place_model_wants_float32():
    model = InPlace(2, 3, roots_at_once=2)
    root = model.root(4)
    for bad in (
        dataclasses.replace(root, value=root.value.double()),
        dataclasses.replace(root, hidden=root.hidden.double()),
    ):
        with pytest.raises(ValueError) as error:
            search(model, bad, CONFIG, seeds_of(4), noise=False)
        assert str(error.value) == (
            f"an in-place model needs roots in float32 on the CPU, got hidden states in {bad.hidden.dtype} on cpu and "
            f"values in {bad.value.dtype}"
        )


def test_the_clock_tells_inference_trees_and_the_rest(monkeypatch):
    """Every part takes another time on a clock of our own; two searches add up."""
    now, begun = [0.0], []
    monkeypatch.setattr(module.time, "perf_counter", lambda: now[0])

    def taking(seconds, function):
        def timed(*arguments):
            now[0] += seconds
            if seconds == 1000:
                begun.append((*arguments[2:3], arguments[3].copy(), *arguments[4:]))
            return function(*arguments)

        return timed

    monkeypatch.setattr(rounds, "begin", taking(1000, rounds.begin))
    make_descend, make_extend = rounds.make_descend, rounds.make_extend
    monkeypatch.setattr(rounds, "make_descend", lambda *arguments: taking(1, make_descend(*arguments)))
    monkeypatch.setattr(rounds, "make_extend", lambda *arguments: taking(10, make_extend(*arguments)))
    monkeypatch.setattr(module, "read", taking(10_000, module.read))
    recurrent_fn, make_root = hash_model(2, 3)
    root, space = make_root(4), Workspace()
    wide = np.ones((4, 2, 6), bool)
    wide[1, 1, :4] = False
    masked = dataclasses.replace(root, available_actions=wide[:, :, ::2])
    now[0] = 5.0
    for given, noise in ((root, False), (masked, True)):
        search(taking(100, recurrent_fn), given, CONFIG, seeds_of(4), noise=noise, workspace=space)
    assert space.seconds == {"inference": 2 * 5 * 100, "tree": 2 * 5 * 11, "glue": 2 * 11_000}
    for (seeds, outputs, legal, noise, status), mask in zip(begun, (True, masked.available_actions), strict=True):
        assert seeds.tolist() == [0, 1, 2, 3] and status.shape == (4,)
        assert outputs[:, 0].tolist() == [0.0] * 4 and outputs[:, 1].tolist() == root.value.tolist()
        np.testing.assert_array_equal(outputs[:, 2:], root.policy_logits.flatten(1))
        assert legal.flags.c_contiguous and legal.dtype == np.bool_
        np.testing.assert_array_equal(legal, np.broadcast_to(mask, (4, 2, 3)))
        assert noise is (mask is not True)


@pytest.mark.parametrize(
    ("which", "name", "expected", "found"),
    [
        (0, "next hidden", "(3, 2, 2)", "(6, 2, 2)"),
        (1, "reward", "(3,)", "(6,)"),
        (2, "value", "(3,)", "(6,)"),
        (3, "policy_logits", "(3, 2, 4)", "(6, 2, 4)"),
    ],
)
def test_outputs_of_a_wrong_shape_are_named(which, name, expected, found):
    recurrent_fn, make_root = hash_model(2, 4)

    def wrong(*arguments):
        outputs = [*recurrent_fn(*arguments)]
        outputs[which] = torch.cat((outputs[which], outputs[which]))
        return outputs

    config = dataclasses.replace(CONFIG, num_simulations=1)
    with pytest.raises(ValueError) as error:
        search(wrong, make_root(3), config, seeds_of(3), noise=False)
    assert str(error.value) == f"the model must return a {name} of shape {expected}, got {found}"


@pytest.mark.parametrize("seeds", [seeds_of(2), seeds_of(3).astype(np.int64), seeds_of(3)[:, None]])
def test_seeds_are_one_unsigned_number_a_root(seeds):
    recurrent_fn, make_root = hash_model(2, 4)
    with pytest.raises(ValueError) as error:
        search(recurrent_fn, make_root(3), CONFIG, seeds, noise=False)
    assert str(error.value) == (
        f"seeds must be uint64 of shape (3,), got {seeds.dtype} {seeds.shape}: one for each root"
    )
    listed = [np.uint64(i) for i in range(3)]
    expected = search(recurrent_fn, make_root(3), CONFIG, seeds_of(3), noise=False)
    assert_equal(search(recurrent_fn, make_root(3), CONFIG, listed, noise=False), expected)


NAMES = {0: "reward", 1: "value", 2: "policy logits of agent 0", 5: "policy logits of agent 0",
         6: "policy logits of agent 1", 13: "policy logits of agent 2"}  # fmt: skip


@pytest.mark.parametrize(("column", "simulation"), [(c, s) for s in (0, 1, 3) for c in NAMES if c or s])
def test_what_is_not_finite_is_named_with_its_root_and_its_simulation(column, simulation):
    model = InPlace(3, 4, roots_at_once=3)
    root, step, calls = model.root(7), model.step_in_place, itertools.count()

    def breaking(hidden, rows, actions, first, outputs):
        step(hidden, rows, actions, first, outputs)
        if next(calls) == 5 + simulation - 1 and simulation:  # in the second chunk
            outputs[1, column] = -torch.inf
            outputs[2, :] = torch.nan

    model.step_in_place = breaking
    if not simulation:
        for b, bad in ((4, -torch.inf), (5, torch.nan)):
            target = root.value[b : b + 1] if column == 1 else root.policy_logits[b].flatten()[column - 2 :][:1]
            target.fill_(bad)
    with pytest.raises(ValueError) as error:
        search(model, root, CONFIG, seeds_of(7), noise=False)
    when = f"simulation {simulation}" if simulation else "the root itself"
    assert str(error.value) == (
        f"network output is not finite: {NAMES[column]} is -inf for root 4 at {when}; "
        "finite numbers are expected, check the network's weights and inputs"
    )


def test_an_empty_result_is_zero_everywhere():
    result = empty_result(3, 2, CONFIG)
    per_child = {name: ((3, 4), np.float64) for name in
                 ("q", "prior", "importance", "log_beta", "reward", "child_value")}  # fmt: skip
    assert {name: (x.shape, x.dtype) for name, x in vars(result).items()} == {
        "value": ((3,), np.float64), "predicted_value": ((3,), np.float64), "num_children": ((3,), np.int32),
        "joint_actions": ((3, 4, 2), np.int16), "visit_counts": ((3, 4), np.int32), **per_child,
    }  # fmt: skip
    assert not any(x.any() for x in vars(result).values())


def test_every_part_of_a_result_says_what_the_tree_says():
    recurrent_fn, make_root = hash_model(2, 5)
    config = SearchConfig(num_simulations=3, num_sampled_actions=9, discount=0.7)  # more children than simulations
    space, root = Workspace(), make_root(6)
    found = search(recurrent_fn, root, config, seeds_of(6), noise=True, workspace=space)
    tree, nodes = space.tree, space.tree.nodes
    actions = tree.joint_actions(trees.ROOT)
    np.testing.assert_array_equal(found.value, nodes["value"][:, 0])
    np.testing.assert_array_equal(found.predicted_value, root.value)
    np.testing.assert_array_equal(found.num_children, nodes["num_children"][:, 0])
    for b in range(6):
        for c in range(found.num_children[b]):
            child = tree.child[b, 0, c]
            assert found.joint_actions[b, c].tolist() == actions[b, c].tolist()
            assert found.prior[b, c] == tree.prior[b, 0, c]
            assert (found.importance[b, c], found.log_beta[b, c]) == (tree.importance[b, c], tree.log_beta[b, c])
            told = found.visit_counts[b, c], found.reward[b, c], found.child_value[b, c], found.q[b, c]
            if child == trees.UNVISITED:
                assert told == (0, 0.0, 0.0, root.value[b])
            else:
                node = nodes[b, child]
                q = node["reward"] + 0.7 * node["value"]
                assert told == (node["visits"], node["reward"], node["predicted"], pytest.approx(q, abs=1e-12))
    assert 1 < found.num_children.max() and (found.visit_counts[found.mask] == 0).any()


@pytest.mark.parametrize(
    ("n", "a", "c", "words", "weight"),
    [
        (3, 9, 10, 1, 32),  # 4 bits: 15 agents a word; 27 weights
        (40, 30, 10, 4, 1200),  # 5 bits: 12 agents a word
        (1, 2, 2, 1, 16),  # 1 bit; two joint actions
        (2, 17, 10, 1, 48),  # 34 weights
        (64, 2, 10, 2, 128),  # 63 agents a word
    ],
)
def test_the_arrays_of_a_tree(n, a, c, words, weight):
    """B = 2 roots, N = 7 simulations: 8 nodes, 36 cells; K = 10."""
    tree = trees.allocate(2, n, a, SearchConfig(num_simulations=7, num_sampled_actions=10))
    real, integer = np.float64, np.int64
    assert {name: (x.shape, x.dtype) for name, x in tree._asdict().items()} == {
        "nodes": ((2, 8), trees.NODE), "advantage": ((2, 8), real), "key": ((2, 8, c, words), integer),
        "prior": ((2, 8, c), real), "child": ((2, 8, c), np.int32), "edge": ((2, 8, 2, c), real),
        "filed": ((2, 36), real), "level": ((2, 36), trees.LEVEL), "importance": ((2, c), real),
        "log_beta": ((2, c), real), "rng": ((2,), np.uint64), "policy": ((1, n, a), real), "beta": ((1, n, a), real),
        "weight": ((1, weight), real), "score": ((1, 16), real), "draw": ((1, words + 2, 16), integer),
    }  # fmt: skip
    assert not tree.weight.any() and not tree.draw.any()  # vector instructions read beyond what is used


def test_the_numbers_of_a_search_by_hand():
    config = SearchConfig(
        num_simulations=3, num_sampled_actions=6, discount=0.9, rho=0.5, lam=0.5, pb_c_init=2.0, pb_c_base=10.0,
        dirichlet_alpha=0.4, noise_fraction=0.125, min_max_floor=0.02, tie_tolerance=1e-3,
    )  # fmt: skip
    const = trees.constants(config)
    assert const.rule[:2] == (0.02, 1e-3)
    explore = [np.sqrt(m) * (2.0 + np.log((m + 11) / 10)) for m in range(4)]
    np.testing.assert_allclose(const.rule.explore, explore, rtol=1e-15)
    assert const[1:5] == (6, 0.9, 0.4, 0.125) and [*map(type, const[1:5])] == [int, float, float, float]
    assert const.kept.tolist() == [1, 1, 1, 2, 2] and const.kept.dtype == np.int64
    assert const.weight.tolist() == [1.0, 0.5, 0.25, 0.125] and const.weight.dtype == np.float64
    mean = trees.constants(dataclasses.replace(config, os_lambda=False))
    assert mean.kept.tolist() == [1, 1, 2, 3, 4] and mean.weight.tolist() == [1.0] * 4
    typed = trees.constants(dataclasses.replace(config, discount=1, min_max_floor=1, tie_tolerance=0, noise_fraction=0))
    assert [type(x) for x in (typed.rule[0], typed.rule[1], typed.discount, typed.noise_fraction)] == [float] * 4


def test_exploration_grows_with_visits():
    assert trees.exploration(0, 1.25, 19652.0) == 0.0
    assert trees.exploration(4, 1.25, 1.0) == pytest.approx(2 * (1.25 + np.log(6)))


@pytest.mark.parametrize(("actions", "bits"), [(1, 1), (2, 1), (3, 2), (4, 2), (5, 3), (9, 4), (16, 4), (17, 5)])
def test_bits_hold_the_largest_action(actions, bits):
    assert trees.bits_of(actions) == bits
