# mazero-bench: every study of workflow/studies/ is a target.
#
#   snakemake quickstart --cores all --profile workflow/profiles/default      (or: make reproduce)
#   snakemake reference_3m ...    snakemake matrix ...    add --config backend=smac to run on StarCraft II
#
# train (one job per run) -> collect (one table) -> figures, tables -> report:  results/<study>/report.md
# workflow/README.md tells how to add a study and what happens after a kill.

from snakemake.utils import min_version

min_version("9.0")


include: "workflow/rules/common.smk"
include: "workflow/rules/train.smk"
include: "workflow/rules/aggregate.smk"
include: "workflow/rules/figures.smk"


# Here and not in a file of rules: what is included cannot name the target of a bare `snakemake`.
DEFAULT = "quickstart" if "quickstart" in FILES else next(iter(FILES))

for stem, study in FILES.items():

    rule:
        name: stem
        default_target: stem == DEFAULT
        input:
            f"{RESULTS}/{study.name}/report.md",
