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
    priority: 10**9
    retries: RETRIES
    conda:
        "../../environment.yml"
    threads: workflow.cores or 1
    resources:
        mem_mb=growing(2000),
        runtime=growing(30),
    params:
        command=warm_up_command,
    shell:
        "NUMBA_NUM_THREADS=1 OMP_NUM_THREADS=1 {params.command} > {log:q} 2>&1"


rule train:
    """Train one algorithm on one map with one seed; a run that was cut off goes on from its checkpoint.

    Its place says all that a run resolves to, so nothing but a missing place starts one: both parameters derive from the
    output, and derived parameters trigger nothing. Two studies may word the command of one run differently.
    """
    output:
        "<results>/runs/{backend}/{map}/{variant}/seed={seed}/done.json",
    log:
        "<results>/runs/{backend}/{map}/{variant}/seed={seed}.log",
    benchmark:
        "<results>/runs/{backend}/{map}/{variant}/seed={seed}.tsv"
    # Longest first, so that short runs fill the gaps at the end.
    priority: budget
    # A run that was killed, or that ran into a limit, goes on from its checkpoint.
    retries: 2 * RETRIES
    # Of use on a cluster alone (profiles/slurm): runs of seconds share a job.
    group:
        group_of
    conda:
        "../../environment.yml"
    threads: lambda wc: asked_for(run_directory(wc))[0].threads
    resources:
        mem_mb=lambda wc, attempt: memory_mb(*asked_for(run_directory(wc)), attempt=attempt),
        runtime=lambda wc, attempt: runtime_minutes(*asked_for(run_directory(wc)), attempt=attempt),
    params:
        command=lambda wc, output: train_command(wc),
        directory=lambda wc, output: str(Path(output[0]).parent),
    shell:
        "NUMBA_NUM_THREADS={threads} OMP_NUM_THREADS={threads} "
        "python -m {params.command} --out {params.directory:q} --threads {threads} --progress lines $TENSORBOARD"
        " 2>&1 | tee -a {log:q}"
