"""The loop every learner runs in: evaluation at marks, the absolute metric, checkpoints, clean stops, exact resume."""

from __future__ import annotations

import contextlib
import logging
import math
import signal
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import FrameType
from typing import Any, Protocol

from training import checkpoint
from training.errors import Diverged
from training.evaluation import pooled
from training.metrics import ABSOLUTE_TIMES, Kept, MetricsWriter
from training.progress import Reporter
from training.rows import RowFiles
from training.run import RunDirectory
from training.seeding import absolute_seed, evaluation_seed

logger = logging.getLogger(__name__)

EXIT_DIVERGED = 3
MOST_MARKS = 100_000  # evaluations of a run; far more than anybody wants, few enough to list
SAVING_SHARE = 0.05  # most of a run's time that goes into checkpoints: a large replay takes many seconds to write


class Learner(Protocol):
    """What the loop needs of an algorithm."""

    env_steps: int
    updates: int
    episodes: int

    def advance(self) -> None:
        """The smallest unit of work: some environment steps and the updates they call for."""

    def evaluate(self, seed: int) -> dict[str, float]:
        """Episodes of the policy, with this seed, through `training.evaluation.evaluate`; may add further floats."""

    def policy_state(self) -> dict[str, Any]:
        """A copy of that part of `state_dict` which `evaluate` plays with."""

    def load_policy_state(self, state: dict[str, Any]) -> None:
        """Put back what `policy_state` returned: `evaluate` plays with it from now on."""

    def drain_metrics(self) -> dict[str, float]:
        """Means of losses and throughput since the last call."""

    def state_dict(self) -> dict[str, Any]:
        """Everything needed to go on exactly, random states included."""

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Put back what `state_dict` returned."""


@dataclass(frozen=True)
class Schedule:
    """When to evaluate, to save and to stop."""

    env_steps: int
    """Budget in environment steps."""
    eval_every: int
    """Environment steps between evaluations; one more comes before the first step."""
    checkpoint_seconds: float = 60.0
    """Least wall time between checkpoints; `SAVING_SHARE` may stretch it. Has no influence on results."""
    stop_at: int | None = None
    """Save and leave once this many environment steps are done, though the budget is larger (to go on later)."""

    def __post_init__(self) -> None:
        if self.env_steps < 1:
            raise ValueError(f"env_steps must be at least 1, got {self.env_steps}: give a budget in environment steps")
        if not 1 <= self.eval_every <= self.env_steps:
            raise ValueError(
                f"eval_every must lie in 1..env_steps ({self.env_steps}), got {self.eval_every}: "
                f"give the environment steps between evaluations"
            )
        if self.env_steps // self.eval_every > MOST_MARKS:
            raise ValueError(
                f"env_steps / eval_every must be at most {MOST_MARKS}, got {self.env_steps} / {self.eval_every}: "
                f"evaluate less often"
            )
        if not 0 < self.checkpoint_seconds < math.inf:
            raise ValueError(f"checkpoint_seconds must be positive and finite, got {self.checkpoint_seconds}")
        if self.stop_at is not None and self.stop_at < 0:
            raise ValueError(f"stop_at must not be negative, got {self.stop_at}: give environment steps")

    @property
    def marks(self) -> list[int]:
        """Evaluation points: 0, eval_every, 2 eval_every, ..., and the budget."""
        inner = list(range(0, self.env_steps, self.eval_every))
        return [*inner, self.env_steps]


class StopSignal:
    """Turns SIGTERM, SIGINT and SIGHUP into a request to save and leave; restores the old handlers on exit.

    A SIGHUP that is ignored stays so: `nohup` means that the run goes on after its terminal.
    """

    def __init__(self) -> None:
        self.received: int | None = None
        self._old: dict[int, Any] = {}

    def __enter__(self) -> StopSignal:
        hang_up = () if signal.getsignal(signal.SIGHUP) is signal.SIG_IGN else (signal.SIGHUP,)
        for number in (signal.SIGTERM, signal.SIGINT, *hang_up):
            self._old[number] = signal.signal(number, self._receive)
        return self

    def __exit__(self, *exception: object) -> None:
        for number, handler in self._old.items():
            signal.signal(number, handler)

    def _receive(self, number: int, frame: FrameType | None) -> None:
        self.received = number


def train(
    learner: Learner,
    run: RunDirectory,
    schedule: Schedule,
    report: Callable[[int], Sequence[Reporter]] = lambda _: (),
    losses: Callable[[], Mapping[str, int]] = dict,
) -> int:
    """Run `learner` up to its budget, or from its last checkpoint on.

    Args:
      run: claimed.    report: makes the reporters, told after how many environment steps the run goes on.
      losses: what the environments have lost since this call (`VectorEnv.losses`); eval records, absolute record and
        done.json say what the run has lost so far, all its sessions together.
    Returns: 0 when the budget is done or `stop_at` was reached, 128 + number after a signal, EXIT_DIVERGED where the
      learner's numbers are no longer finite.
    A run that is finished already is left as it is, but for rows that a kill left behind.
    Raises: UserError, and nothing is changed, if checkpoint or metrics are not those of this run.
    """
    if run.finished:
        logger.info("%s is finished already", run.path)
        RowFiles(run.rows_path).remove()  # left behind by a kill right after the end
        return 0
    state, rows = _Progress(schedule, losses), RowFiles(run.rows_path)
    kept = _resume(learner, run, state, rows) if run.checkpoint_path.exists() else None
    with contextlib.closing(MetricsWriter(run.metrics_path, kept=kept)) as writer:
        if kept is None:
            writer.write({"kind": "run", **run.key})
        reporters = report(learner.env_steps)
        try:
            return _run(learner, run, schedule, reporters, state, writer, rows)
        except Diverged as error:
            logger.error(
                "error: %s diverged after %d environment steps and %d updates (%s): its last checkpoint is kept; "
                "try a smaller learning rate, in another --out",
                *(run.path, learner.env_steps, learner.updates, error),
            )
            return EXIT_DIVERGED
        finally:
            for reporter in reporters:
                reporter.close()


def _resume(learner: Learner, run: RunDirectory, state: _Progress, rows: RowFiles) -> Kept:
    """Put back what the checkpoint holds. Returns: what it vouches for of the metrics."""
    saved = checkpoint.load(run.checkpoint_path, run=run.key, rows=rows)
    learner.load_state_dict(saved["learner"])
    state.load_state_dict(saved["progress"])
    logger.info("resuming %s at %d environment steps", run.path, learner.env_steps)
    return Kept(*saved["metrics"])


def _run(
    learner: Learner,
    run: RunDirectory,
    schedule: Schedule,
    reporters: Sequence[Reporter],
    state: _Progress,
    writer: MetricsWriter,
    rows: RowFiles,
) -> int:
    def emit(record: dict[str, Any]) -> None:
        writer.write(record)
        for reporter in reporters:
            reporter.record(record)

    def save() -> None:
        # The metrics go to disk first: a checkpoint must never point behind the end of the file.
        kept = writer.sync()
        state.touch()
        checkpoint.save(
            run.checkpoint_path,
            {
                "run": run.key,
                "learner": learner.state_dict(),
                "progress": state.state_dict(),
                "metrics": tuple(kept),
            },
            rows=rows,
        )

    run_seed = run.key["seed"]
    with StopSignal() as stop:
        next_save = time.monotonic() + schedule.checkpoint_seconds
        while True:
            while state.pending and learner.env_steps >= state.pending[0]:
                seed = evaluation_seed(run_seed, state.pending[0])
                state.last_eval = _evaluate(learner, state, emit, seed)
                state.keep_best(learner)
            if not state.pending:
                break
            asked_to_pause = schedule.stop_at is not None and learner.env_steps >= schedule.stop_at
            if stop.received is not None or asked_to_pause:
                save()
                logger.info("stopped at %d environment steps; the same command goes on", learner.env_steps)
                return 0 if stop.received is None else 128 + stop.received
            if (before := time.monotonic()) >= next_save:
                save()
                after = time.monotonic()
                next_save = after + max(schedule.checkpoint_seconds, (after - before) / SAVING_SHARE)
            learner.advance()
            for reporter in reporters:
                reporter.advance(learner.env_steps)
    save()  # the last one: a kill from here on costs no more than the evaluation of the best policy
    absolute = _evaluate_best(learner, state, emit, run_seed)
    run.finish(
        {
            "env_steps": learner.env_steps,
            "updates": learner.updates,
            "episodes": learner.episodes,
            "wall_seconds": round(state.wall_seconds(), 3),
            "final": state.last_eval,
            "absolute": absolute,
            **state.losses(),
            "metrics_sha256": writer.sync().sha256,
        }
    )
    rows.remove()
    return 0


class _Progress:
    """Marks still to come, the last evaluation, the best one; wall time and losses, summed over a run's sessions."""

    def __init__(self, schedule: Schedule, losses: Callable[[], Mapping[str, int]]) -> None:
        self.pending = schedule.marks
        self.last_eval: dict[str, Any] | None = None
        self.best: dict[str, Any] = {}  # mark, score and policy of the best evaluation
        self._before = 0.0
        self._since = time.monotonic()
        self._lost_before: dict[str, int] = {}
        self._lost_now = losses

    def losses(self) -> dict[str, int]:
        now = self._lost_now()
        return {name: self._lost_before.get(name, 0) + count for name, count in now.items()}

    def wall_seconds(self) -> float:
        return self._before + time.monotonic() - self._since

    def touch(self) -> None:
        """Fold the time of this session into the saved total."""
        self._before, self._since = self.wall_seconds(), time.monotonic()

    def keep_best(self, learner: Learner) -> None:
        """Keep the policy of the last evaluation if it is the best: by win rate, then return, then the later one."""
        assert self.last_eval is not None
        score = [self.last_eval["win_rate"], self.last_eval["return_mean"]]
        if not self.best or score >= self.best["score"]:
            self.best = {"mark": self.last_eval["mark"], "score": score, "policy": learner.policy_state()}

    def state_dict(self) -> dict[str, Any]:
        return {
            "pending": list(self.pending),
            "last_eval": self.last_eval,
            "best": self.best,
            "wall_seconds": self._before,
            "losses": self.losses(),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.pending, self.last_eval, self.best = list(state["pending"]), state["last_eval"], state["best"]
        self._before, self._since = state["wall_seconds"], time.monotonic()
        self._lost_before = dict(state.get("losses", {}))


def _evaluate(learner: Learner, state: _Progress, emit: Any, seed: int) -> dict[str, Any]:
    """Write a train record (if there is anything to say) and the eval record of the next mark."""
    counts = {"env_steps": learner.env_steps, "updates": learner.updates, "episodes": learner.episodes}
    means = learner.drain_metrics()
    if means:
        emit({"kind": "train", **counts, "wall_seconds": round(state.wall_seconds(), 3), **means})
    result = learner.evaluate(seed)
    record = {
        "kind": "eval",
        "mark": state.pending.pop(0),
        **counts,
        "wall_seconds": round(state.wall_seconds(), 3),
        **result,
        **state.losses(),
    }
    emit(record)
    return record


def _evaluate_best(learner: Learner, state: _Progress, emit: Any, run_seed: int) -> dict[str, Any]:
    """The absolute metric: the policy of the best evaluation plays again, many more episodes on seeds of their own."""
    learner.load_policy_state(state.best["policy"])
    results = [learner.evaluate(absolute_seed(run_seed, turn)) for turn in range(ABSOLUTE_TIMES)]
    record = {
        "kind": "absolute",
        "mark": state.best["mark"],
        "wall_seconds": round(state.wall_seconds(), 3),
        **pooled(results),
        **state.losses(),
    }
    emit(record)
    return record
