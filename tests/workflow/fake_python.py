"""Stands in for `python` in workflow tests: `-m PROGRAM train` writes a run directory at once, the rest is real.

Started as an executable whose shebang names the real interpreter, with environment variables
  FAKE_STUDY  study file of the runs        FAKE_CALLS  file that gets one line per training
  FAKE_FAIL   directory; a training whose `algorithm-seed` is a file there stops in the middle with exit code 1
  FAKE_HANG   directory; a training whose `algorithm-seed` is a file there writes its first records and sleeps
"""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from analysis.store import directory
from analysis.study_files import load_study
from tests.analysis.synthetic import make_run


def main(argv: list[str]) -> int:
    program, command = argv[1], argv[2]
    if program.partition(".")[0] == "analysis":
        os.execv(sys.executable, [sys.executable, *argv])
    if command == "warmup":
        with open(os.environ["FAKE_CALLS"], "a", encoding="utf-8") as calls:
            calls.write(f"warmup {' '.join(argv[4::2])}\n")
        return 0
    options = dict(zip(argv[3::2], argv[4::2], strict=True))
    out = Path(options["--out"])
    study = load_study(os.environ["FAKE_STUDY"])
    run = next(run for run in study.runs() if out.as_posix().endswith(directory(study, run).as_posix()))
    name = f"{run.algorithm}-{run.seed}"
    with open(os.environ["FAKE_CALLS"], "a", encoding="utf-8") as calls:
        calls.write(f"{options['--map']} {name} {os.environ['NUMBA_NUM_THREADS']}\n")
    stopped = not (out / "done.json").exists() and (out / "metrics.jsonl").exists()
    for flag in ("FAKE_FAIL", "FAKE_HANG"):
        if (Path(os.environ[flag]) / name).exists():
            out.mkdir(parents=True, exist_ok=True)
            (out / "metrics.jsonl").write_text('{"kind": "train"}\n', encoding="utf-8")
            if flag == "FAKE_HANG":
                time.sleep(300)
            return 1
    sys.stderr.write(f"{options['--map']} {name} {'goes on' if stopped else 'starts'}\n")
    for file in out.glob("*"):
        file.unlink()
    out.rmdir()
    make_run(study, run, out, lambda run, mark: 0.5 if mark else 0.0)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
