# The table -> figures per group, films -> one report a study, and one of all; and Fig. 1, which needs no run.


rule fig1:
    """The bandit of Fig. 1: behaviour cloning against AWPO, exact."""
    output:
        multiext("<results>/fig1/fig1", ".png", ".pdf", ".svg"),
        "<results>/fig1/curves.csv",
    log:
        "<results>/fig1/fig1.log",
    retries: RETRIES
    conda:
        "../../environment.yml"
    resources:
        mem_mb=growing(2000),
        runtime=growing(30),
    params:
        folder=lambda wc, output: str(Path(output[0]).parent),
    shell:
        "python -m analysis.bandit --out {params.folder:q} > {log:q} 2>&1"


rule figures:
    """Draw every figure of one group."""
    input:
        "<results>/{study}/evaluations.parquet",
        study=study_inputs,
    output:
        report(
            expand("<results>/{{study}}/figures/{{group}}/{figure}.png", figure=FIGURES),
            category="{study}",
            subcategory="{group}",
            caption="../report/figures.rst",
        ),
        expand("<results>/{{study}}/figures/{{group}}/{figure}.{suffix}", figure=FIGURES, suffix=["pdf", "svg"]),
    log:
        "<results>/{study}/logs/figures_{group}.log",
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
        "python -m analysis figures {params.root:q} --group {wildcards.group:q} {params.study} > {log:q} 2>&1"


rule over_paper:
    """Draw a study over the curves of the paper that it reproduces."""
    input:
        "<results>/{study}/evaluations.parquet",
        study=study_inputs,
    output:
        report(
            "<results>/{study}/figures/over_paper.png",
            category="{study}",
            caption="../report/over_paper.rst",
        ),
        multiext("<results>/{study}/figures/over_paper", ".pdf", ".svg"),
    log:
        "<results>/{study}/logs/over_paper.log",
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
        "python -m analysis over_paper {params.root:q} {params.study} > {log:q} 2>&1"


rule all_maps:
    """Take all groups of a study together: Figs. 7 and 8 of the paper."""
    input:
        "<results>/{study}/evaluations.parquet",
        study=study_inputs,
    output:
        report(
            "<results>/{study}/figures/all_maps.png",
            category="{study}",
            caption="../report/all_maps.rst",
        ),
        multiext("<results>/{study}/figures/all_maps", ".pdf", ".svg"),
        multiext("<results>/{study}/tables/all_maps", ".csv", ".md", ".tex"),
    log:
        "<results>/{study}/logs/all_maps.log",
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
        "python -m analysis all_maps {params.root:q} {params.study} > {log:q} 2>&1"


rule agent_costs:
    """Table and draw what the runs of a study took, over the number of agents."""
    input:
        "<results>/{study}/evaluations.parquet",
        study=study_inputs,
    output:
        report(
            "<results>/{study}/figures/agent_costs.png",
            category="{study}",
            caption="../report/agent_costs.rst",
        ),
        multiext("<results>/{study}/figures/agent_costs", ".pdf", ".svg"),
        multiext("<results>/{study}/tables/agent_costs", ".csv", ".md"),
    log:
        "<results>/{study}/logs/agent_costs.log",
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
        "python -m analysis agent_costs {params.root:q} {params.study} > {log:q} 2>&1"


rule films:
    """A battle that MAZero wins and one that it loses, on each map that can be filmed; the list says why others are not."""
    input:
        runs=lambda wc: [f"{place}/done.json" for place in places(STUDIES[wc.study])],
    output:
        "<results>/{study}/films/films.json",
    log:
        "<results>/{study}/logs/films.log",
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
        "NUMBA_NUM_THREADS=1 OMP_NUM_THREADS=1 "
        "python -m analysis films {params.root:q} {params.study} > {log:q} 2>&1"


rule report:
    """One page that shows figures and tables and says what they rest on: Markdown, and HTML with all of it inside."""
    input:
        "<results>/{study}/evaluations.parquet",
        "<results>/{study}/evidence.json",
        "<results>/{study}/films/films.json",
        lambda wc: expand(
            f"{RESULTS}/{wc.study}/figures/{{group}}/{{figure}}.{{suffix}}",
            group=STUDIES[wc.study].groups,
            figure=FIGURES,
            suffix=["png", "svg"],
        ),
        lambda wc: [f"{RESULTS}/{wc.study}/figures/over_paper.svg"] if STUDIES[wc.study].over_paper else [],
        lambda wc: [f"{RESULTS}/{wc.study}/figures/all_maps.svg"] if STUDIES[wc.study].all_maps else [],
        lambda wc: [f"{RESULTS}/{wc.study}/figures/agent_costs.svg"] if STUDIES[wc.study].agent_costs else [],
        expand("<results>/{{study}}/tables/{table}.md", table=TABLES),
        study=study_inputs,
        claims=CLAIMS,
    output:
        "<results>/{study}/report.md",
        report("<results>/{study}/report.html", category="{study}", caption="../report/report.rst"),
    log:
        "<results>/{study}/logs/report.log",
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
        "python -m analysis report {params.root:q} {params.study} --claims {input.claims:q} > {log:q} 2>&1"


rule overview:
    """All studies on one page, the claims first."""
    input:
        [f"{RESULTS}/{study.name}/report.html" for study in STUDIES.values() if study.reproduces],
        rules.fig1.output,
        claims=CLAIMS,
    output:
        report(f"{RESULTS}/{REPORT_NAME}.html", category="claims", caption="../report/overview.rst"),
    log:
        f"{RESULTS}/{REPORT_NAME}.log",
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
    shell:
        "python -m analysis.overview --claims {input.claims:q} --studies {params.studies:q} --results {params.results:q}"
        " --out {output:q} {params.options} > {log:q} 2>&1"
