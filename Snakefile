# mazero-bench: `snakemake --cores all` is the reproduction. What it does, takes and can be told: config/README.md.
include: "workflow/Snakefile"


workflow.default_target = "all"  # what is included does not set the target of a bare `snakemake`
