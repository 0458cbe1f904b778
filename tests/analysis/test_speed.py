"""The figure of search cost shows the numbers of its record."""

import json

import pytest

from analysis import speed


def row(batch, rate):
    return {
        "n_agents": 3, "num_sampled_actions": 10, "num_simulations": 100, "batch": batch,
        "simulations_per_second": rate, "share": {"inference": 0.5, "tree": 0.3, "glue": 0.2},
    }  # fmt: skip


RECORD = {
    "provenance": {"cpu": "a processor", "threads": 1},
    "inference": {"backend": "auto"},
    "sweep": {
        "base": {"agents": "3m", "num_sampled_actions": 10, "num_simulations": 100, "batch": 64},
        "agents": [row(64, 1e5)],
        "num_sampled_actions": [row(64, 1e5)],
        "num_simulations": [row(64, 1e5)],
        "batch": [row(1, 2e4), row(64, 1e5)],
    },
}


def test_bars_stack_to_the_cost_of_a_simulation():
    panel = speed.draw(RECORD).axes[3]
    bars = [[bar.get_height() for bar in container] for container in panel.containers]
    assert [round(sum(parts), 9) for parts in zip(*bars, strict=True)] == [50.0, 10.0]  # microseconds
    assert bars[0] == [25.0, 5.0]
    assert [tick.get_text() for tick in panel.get_xticklabels()] == ["1", "64"]


def test_command_line(tmp_path, capsys):
    (tmp_path / "bench.json").write_text(json.dumps(RECORD))
    assert speed.main([str(tmp_path / "bench.json"), "--out", str(tmp_path / "cost.png")]) == 0
    assert (tmp_path / "cost.png").stat().st_size > 5000
    (tmp_path / "empty.json").write_text("{}")
    assert speed.main([str(tmp_path / "empty.json"), "--out", str(tmp_path / "no.png")]) == 2
    assert "has no sweep" in capsys.readouterr().err and not (tmp_path / "no.png").exists()


def test_a_record_without_a_sweep():
    with pytest.raises(ValueError, match="mazero bench --only sweep"):
        speed.draw({})
