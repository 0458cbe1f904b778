# Runs -> one checked table -> tables of the report; all tables -> what they say of the claims.


rule collect:
    """Hold every run against the study; write one tidy table and what it rests on."""
    input:
        runs=lambda wc: [f"{place}/done.json" for place in places(STUDIES[wc.study])],
        study=study_inputs,
        warm_up=ancient("<results>/{study}/.warmup.done"),
    output:
        csv="<results>/{study}/evaluations.csv",
        parquet="<results>/{study}/evaluations.parquet",
        evidence="<results>/{study}/evidence.json",
        variant="<results>/{study}/variant.json",
    log:
        "<results>/{study}/logs/collect.log",
    retries: RETRIES
    conda:
        "../../environment.yml"
    resources:
        mem_mb=growing(2000),
        runtime=growing(30),
    params:
        study=study_options,
        root=lambda wc: f"{RESULTS}/{wc.study}",
    shell:
        "python -m analysis collect {params.root:q} {params.study} > {log:q} 2>&1"


rule tables:
    """Final and area-under-curve scores, aggregates, comparisons: CSV, Markdown and LaTeX."""
    input:
        "<results>/{study}/evaluations.parquet",
        study=study_inputs,
    output:
        expand("<results>/{{study}}/tables/{table}.{suffix}", table=TABLES, suffix=["csv", "md", "tex"]),
    log:
        "<results>/{study}/logs/tables.log",
    retries: RETRIES
    conda:
        "../../environment.yml"
    resources:
        mem_mb=growing(2000),
        runtime=growing(30),
    params:
        study=study_options,
        root=lambda wc: f"{RESULTS}/{wc.study}",
    shell:
        "python -m analysis tables {params.root:q} {params.study} > {log:q} 2>&1"


rule export:
    """The exchange format of marl-eval, one file a group."""
    input:
        "<results>/{study}/evaluations.parquet",
        study=study_inputs,
    output:
        "<results>/{study}/marl_eval/{group}.json",
    log:
        "<results>/{study}/logs/export_{group}.log",
    retries: RETRIES
    conda:
        "../../environment.yml"
    resources:
        mem_mb=growing(2000),
        runtime=growing(30),
    params:
        study=study_options,
        root=lambda wc: f"{RESULTS}/{wc.study}",
    shell:
        "python -m analysis export {params.root:q} {params.study} --group {wildcards.group:q} > {log:q} 2>&1"


rule claims:
    """What the studies that reproduce the paper say of its claims."""
    input:
        tables=[f"{RESULTS}/{study.name}/evaluations.parquet" for study in STUDIES.values() if study.reproduces],
        claims=CLAIMS,
    output:
        multiext(f"{RESULTS}/{CLAIMS_NAME}", ".csv", ".tex"),
        report(f"{RESULTS}/{CLAIMS_NAME}.md", category="claims", caption="../report/claims.rst"),
    log:
        f"{RESULTS}/{CLAIMS_NAME}.log",
    retries: RETRIES
    conda:
        "../../environment.yml"
    resources:
        mem_mb=growing(2000),
        runtime=growing(30),
    params:
        options=all_options(),
        studies=STUDIES_DIRECTORY,
        results=lambda wc, output: str(Path(output[0]).parent),
        out=lambda wc, output: str(Path(output[0]).with_suffix("")),
    shell:
        "python -m analysis.claims --claims {input.claims:q} --studies {params.studies:q} --results {params.results:q}"
        " --out {params.out:q} {params.options} > {log:q} 2>&1"
