"""Claims of the paper held against runs: `python -m analysis.claims --results results --out results/claims`.

`workflow/claims.yaml` says who is to be better than whom, in what, where and by how much. A claim is

    reproduced       ahead by the margin, with the 95 % interval of the difference above 0; if it says `no_less`, with
                     the interval above minus the margin
    not reproduced   the interval rules the margin out
    inconclusive     neither, or fewer than three seeds, or the scale `tiny`
    not run          its study is not finished, lacks the algorithms, or ends too early for it

Against several rivals the one that comes closest counts. What is compared: `analysis.claim_scores`.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd
import yaml

from analysis import claim_scores, collect, recorded
from analysis.formats import latex, markdown
from analysis.statistics import Estimate
from analysis.study import Group, Study, StudyError
from analysis.study_files import CLAIMS, STUDIES, load_studies, validate
from analysis.variants import TINY, add_flags, options, variants
from training.files import write_text

SCHEMA = STUDIES.parent / "schemas" / "claims.schema.yaml"
REPRODUCED, NOT_REPRODUCED, INCONCLUSIVE, NOT_RUN = "reproduced", "not reproduced", "inconclusive", "not run"
OPEN = "open question"  # source of a statement that is not the paper's
HOLDS = {REPRODUCED: "holds", NOT_REPRODUCED: "does not hold"}  # verdicts on such a one
LEAST_SEEDS = 3


@dataclass(frozen=True)
class Claim:
    """One statement; `workflow/claims.yaml` says what its fields mean."""

    id: str
    text: str
    source: str
    study: str
    better: str
    than: tuple[str, ...]
    metric: str
    margin: float
    kind: str = "more"
    maps: tuple[str, ...] = ()
    groups: tuple[str, ...] = ()
    at_least: int = 0
    paper_itself: str = ""


@dataclass(frozen=True)
class Verdict:
    """What the runs say of a claim."""

    claim: Claim
    verdict: str
    ours: Estimate | None = None  # difference of scores
    against: str = ""  # label of the rival that comes closest
    paper: float | None = None  # the same difference by the paper's curves
    scope: str = ""  # maps, budgets, seeds, presets, backend; or why there is nothing
    seeds: int = 0

    @property
    def told(self) -> str:
        """The verdict in words: an open question is not reproduced, it holds or does not."""
        return HOLDS.get(self.verdict, self.verdict) if self.claim.source == OPEN else self.verdict


def load(path: Path = CLAIMS) -> list[Claim]:
    """Read and check the claims. Raises: StudyError, one line, for anything that is wrong."""
    try:
        document = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise StudyError(f"{path}: cannot be read: {' '.join(str(error).split())}") from error
    validate(document, SCHEMA, path)
    claims = [
        Claim(
            **{
                **item,
                "than": tuple(item["than"]),
                "maps": tuple(item.get("maps", ())),
                "groups": tuple(item.get("groups", ())),
            }
        )
        for item in document["claims"]
    ]
    names = [claim.id for claim in claims]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise StudyError(f"{path}: claims: {', '.join(twice)} given more than once; each may stand there once")
    return claims


def judge(claim: Claim, study: Study, frame: pd.DataFrame) -> Verdict:
    """Hold a claim against the collected runs of its study. `frame`: as `analysis.collect` returns it."""
    missing = [key for key in (claim.better, *claim.than) if key not in study.algorithms]
    if missing:
        return Verdict(claim, NOT_RUN, scope=f"study {study.name} has no {', '.join(missing)}")
    places = [
        (group, name)
        for group in study.groups.values()
        if {claim.better, *claim.than} <= {*group.algorithms}
        for name in group.maps
        if (not claim.maps or name in claim.maps) and (not claim.groups or group.key in claim.groups)
    ]
    if not places:
        return Verdict(claim, NOT_RUN, scope=f"study {study.name} has none of its maps with all of these algorithms")
    shortest = min(group.env_steps for group, _ in places)
    if shortest < claim.at_least:
        return Verdict(
            claim,
            NOT_RUN,
            scope=f"says something from {claim.at_least:,} steps on; study {study.name} has {shortest:,}",
        )
    pairs = {key: claim_scores.pairs(claim.metric, (claim.better, key), study, frame, places) for key in claim.than}
    if not all(np.isfinite(side).all() for found in pairs.values() for pair in found for side in pair):
        return Verdict(claim, NOT_RUN, scope=f"the runs of study {study.name} do not record what it takes")
    differences = {key: claim_scores.difference(claim.metric, found) for key, found in pairs.items()}
    closest = min(differences, key=lambda key: differences[key].value)
    ours = differences[closest]
    seeds = min(len(group.seeds) for group, _ in places)
    return Verdict(
        claim,
        decide(claim, ours, seeds=seeds),
        ours=ours,
        against=study.algorithms[closest].label,
        paper=claim_scores.published(claim.metric, (claim.better, closest), study, places),
        scope=_scope(claim, study, frame, places),
        seeds=seeds,
    )


def decide(claim: Claim, ours: Estimate, *, seeds: int) -> str:
    """The verdict on a difference with its interval."""
    if seeds < LEAST_SEEDS:
        return INCONCLUSIVE
    if claim.kind == "no_less":
        bar = -claim.margin
        return REPRODUCED if ours.low > bar else NOT_REPRODUCED if ours.high < bar else INCONCLUSIVE
    if ours.low > 0 and ours.value >= claim.margin:
        return REPRODUCED
    return NOT_REPRODUCED if ours.high < claim.margin else INCONCLUSIVE


def table(verdicts: list[Verdict]) -> pd.DataFrame:
    """One row a claim: what it says, its verdict, our difference (with _low, _high), the paper's, scope."""
    return pd.DataFrame(
        [
            {
                "id": verdict.claim.id,
                "claim": verdict.claim.text,
                "source": verdict.claim.source,
                "verdict": verdict.told,
                "metric": verdict.claim.metric,
                "margin": verdict.claim.margin,
                "against": verdict.against,
                "difference": verdict.ours.value if verdict.ours else np.nan,
                "difference_low": verdict.ours.low if verdict.ours else np.nan,
                "difference_high": verdict.ours.high if verdict.ours else np.nan,
                "difference_in_paper": np.nan if verdict.paper is None else verdict.paper,
                "scope": verdict.scope,
                "the_paper_on_itself": verdict.claim.paper_itself,
            }
            for verdict in verdicts
        ]
    )


def counted(verdicts: Sequence[Verdict]) -> str:
    """How often each verdict was reached, in a sentence."""
    order = (REPRODUCED, NOT_REPRODUCED, *HOLDS.values(), INCONCLUSIVE, NOT_RUN)
    counts = {name: sum(verdict.told == name for verdict in verdicts) for name in order}
    return f"{len(verdicts)} claims: {', '.join(f'{count} {name}' for name, count in counts.items() if count)}."


def page(verdicts: list[Verdict]) -> str:
    """The table as Markdown, below what its columns mean and how often each verdict was reached."""
    rows = table(verdicts).drop(columns="id")
    return "\n".join(
        [
            "# Claims",
            "",
            f"{counted(verdicts)} A difference is of win rates, mean over maps, with its 95 % interval over"
            " seeds: of areas (mean height of the curve up to our budget, or over hours until the first of the two"
            " ends), of last evaluations (final; search: with search and without) or of best policies played again"
            " (absolute); ahead: of the shares of pairs of runs that one or the other wins. `difference in paper` is"
            " the same by the paper's figures, up to the same budget. Which verdict is reached when:"
            " `analysis/claims.py`; the claims: `workflow/claims.yaml`.",
            "",
            markdown(rows),
        ]
    )


def _scope(claim: Claim, study: Study, frame: pd.DataFrame, places: list[tuple[Group, str]]) -> str:
    groups = {group.key: group for group, _ in places}.values()
    maps = ", ".join(name for _, name in places)
    budgets = sorted({group.env_steps for group in groups})
    steps = f"{budgets[0]:,}" if len(budgets) == 1 else f"{budgets[0]:,} to {budgets[-1]:,}"
    seeds = " or ".join(str(count) for count in sorted({len(group.seeds) for group in groups}))
    made = ", ".join(dict.fromkeys(collect.made_by(frame, group) for group in groups))
    algorithms = [study.algorithms[key] for key in (claim.better, *claim.than)]
    presets = ", ".join(
        dict.fromkeys(f"{a.family} {a.preset or group.presets[a.family]}" for group in groups for a in algorithms)
    )
    return f"{maps}; {steps} steps; {seeds} seeds; presets: {presets}; {made}"


def evaluate(
    claims: list[Claim], studies: Mapping[str, Study], results: Path, *, scale: str = "laptop"
) -> list[Verdict]:
    """Every claim against what is finished below `results`. `studies`: by the stems of their files, at `scale`."""
    verdicts = []
    for claim in claims:
        study = studies.get(claim.study)
        if study is None:
            verdicts.append(Verdict(claim, NOT_RUN, scope=f"there is no study {claim.study}"))
            continue
        path = recorded.holding(results / study.name)
        if path is None:
            verdicts.append(Verdict(claim, NOT_RUN, scope=f"study {study.name} is not finished"))
            continue
        verdicts.append(_at_scale(judge(claim, study, collect.read(path, study)), scale))
    return verdicts


def of_study(claims: list[Claim], stem: str, study: Study, frame: pd.DataFrame, *, scale: str) -> list[Verdict]:
    """The claims that rest on one study, `stem` the name of its file, held against its runs."""
    return [_at_scale(judge(claim, study, frame), scale) for claim in claims if claim.study == stem]


def _at_scale(verdict: Verdict, scale: str) -> Verdict:
    """The tiny scale settles nothing, however many seeds: it tests the machinery."""
    return replace(verdict, verdict=INCONCLUSIVE) if scale == TINY and verdict.verdict != NOT_RUN else verdict


def write(verdicts: list[Verdict], out: Path) -> list[Path]:
    """OUT.md, OUT.csv and OUT.tex. Returns: the files."""
    rows = table(verdicts)
    return [
        write_text(out.with_suffix(".md"), page(verdicts)),
        write_text(out.with_suffix(".csv"), rows.to_csv(index=False, lineterminator="\n")),
        write_text(out.with_suffix(".tex"), latex(rows.drop(columns="id"))),
    ]


def add_inputs(parser: argparse.ArgumentParser) -> None:
    """Flags of commands about the claims and all studies; `judged` reads them."""
    parser.add_argument("--claims", type=Path, default=CLAIMS, help="file of claims")
    parser.add_argument("--studies", type=Path, default=STUDIES, help="folder of study files")
    parser.add_argument("--results", type=Path, default=Path("results"), help="folder of all results")
    parser.add_argument("--partial", action="store_true", help="of studies not finished, the parts that were collected")
    add_flags(parser)


def judged(arguments: argparse.Namespace) -> tuple[dict[str, Study], list[Verdict]]:
    """The studies by the stems of their files, as the flags of `add_inputs` ask for them, and all verdicts."""
    studies, _ = variants(load_studies(arguments.studies)[0], **options(arguments))
    if arguments.partial:
        studies = {stem: recorded.partly(item, arguments.results, arguments.studies) for stem, item in studies.items()}
    return studies, evaluate(load(arguments.claims), studies, arguments.results, scale=arguments.scale)


def main(argv: list[str] | None = None) -> int:
    """The command. Returns: exit code."""
    parser = argparse.ArgumentParser(prog="python -m analysis.claims", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--out", type=Path, required=True, help="OUT.md, .csv and .tex are written")
    add_inputs(parser)
    arguments = parser.parse_args(argv)
    try:
        _, verdicts = judged(arguments)
    except StudyError as error:
        sys.stderr.write(f"error: {error}\n")
        return 2
    written = write(verdicts, arguments.out)
    sys.stdout.write("".join(f"{path}\n" for path in written))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
