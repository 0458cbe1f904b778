# The table -> figures per group -> one report; and Fig. 1, which needs no run.


rule fig1:
    """The bandit of Fig. 1: behaviour cloning against AWPO, exact."""
    output:
        multiext("<results>/fig1/fig1", ".png", ".pdf"),
        "<results>/fig1/curves.csv",
    log:
        "<results>/fig1/fig1.log",
    params:
        folder=lambda wc, output: str(Path(output[0]).parent),
    shell:
        "python -m analysis.bandit --out {params.folder:q} > {log:q} 2>&1"


rule figures:
    """Draw every figure of one group."""
    input:
        "<results>/{study}/evaluations.parquet",
        study=lambda wc: STUDY_FILES[wc.study],
    output:
        report(
            expand("<results>/{{study}}/figures/{{group}}/{figure}.png", figure=FIGURES),
            category="{study}",
            subcategory="{group}",
            caption="../report/figures.rst",
        ),
        expand("<results>/{{study}}/figures/{{group}}/{figure}.pdf", figure=FIGURES),
    log:
        "<results>/{study}/logs/figures_{group}.log",
    params:
        study=study_options,
        root=lambda wc: f"{RESULTS}/{wc.study}",
    shell:
        "python -m analysis figures {params.root:q} --group {wildcards.group:q} {params.study} > {log:q} 2>&1"


rule over_paper:
    """Draw a study over the curves of the paper that it reproduces."""
    input:
        "<results>/{study}/evaluations.parquet",
        study=lambda wc: STUDY_FILES[wc.study],
    output:
        report(
            "<results>/{study}/figures/over_paper.png",
            category="{study}",
            caption="../report/over_paper.rst",
        ),
        "<results>/{study}/figures/over_paper.pdf",
    log:
        "<results>/{study}/logs/over_paper.log",
    params:
        study=study_options,
        root=lambda wc: f"{RESULTS}/{wc.study}",
    shell:
        "python -m analysis over_paper {params.root:q} {params.study} > {log:q} 2>&1"


rule report:
    """One Markdown page that shows the figures and tables and says what they rest on."""
    input:
        "<results>/{study}/evaluations.parquet",
        lambda wc: expand(
            f"{RESULTS}/{wc.study}/figures/{{group}}/{{figure}}.png", group=STUDIES[wc.study].groups, figure=FIGURES
        ),
        lambda wc: [f"{RESULTS}/{wc.study}/figures/over_paper.png"] if STUDIES[wc.study].over_paper else [],
        expand("<results>/{{study}}/tables/{table}.md", table=TABLES),
        study=lambda wc: STUDY_FILES[wc.study],
    output:
        "<results>/{study}/report.md",
    log:
        "<results>/{study}/logs/report.log",
    params:
        study=study_options,
        root=lambda wc: f"{RESULTS}/{wc.study}",
    shell:
        "python -m analysis report {params.root:q} {params.study} > {log:q} 2>&1"
