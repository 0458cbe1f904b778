# One job is one run. Only done.json is declared: Snakemake deletes the declared outputs of a failed job, and metrics.jsonl and
# checkpoint.pt must survive a kill, because the same command continues from them.


rule warm_up:
    """Compile and cache the kernels once, before many processes would do so side by side.

    It goes first because it has the highest priority and takes all cores. It is no input of `train`: a lost marker would redo
    finished runs.
    """
    output:
        touch("<results>/{study}/.warmup.done"),
    log:
        "<results>/{study}/logs/warmup.log",
    params:
        command=warm_up_command,
    priority: 10**9
    threads: workflow.cores or 1
    shell:
        "NUMBA_NUM_THREADS=1 OMP_NUM_THREADS=1 "
        "{params.command} > {log:q} 2>&1"


rule train:
    """Train one algorithm on one map with one seed; a run that was cut off goes on from its checkpoint."""
    output:
        "<results>/{study}/{backend}/{map}/{algorithm}/seed={seed}/done.json",
    log:
        "<results>/{study}/logs/{backend}/{map}/{algorithm}/seed={seed}.log",
    benchmark:
        "<results>/{study}/benchmarks/{backend}/{map}/{algorithm}/seed={seed}.tsv"
    params:
        command=lambda wc: shlex.join(STUDIES[wc.study].train_arguments(run_of(wc))),
        directory=lambda wc, output: str(Path(output[0]).parent),
        # Presets and defaults are no part of the command: what they resolve to is, and an edited one redoes its runs.
        identity=identity_of,
    # Longest first, so that short runs fill the gaps at the end.
    priority: lambda wc: group_of(wc).env_steps
    threads: lambda wc: STUDIES[wc.study].threads
    resources:
        mem_mb=2000,
        runtime=24 * 60,
    shell:
        "NUMBA_NUM_THREADS={threads} OMP_NUM_THREADS={threads} "
        "python -m {params.command} --out {params.directory:q} --threads {threads} --progress lines $TENSORBOARD"
        " 2>&1 | tee -a {log:q}"
