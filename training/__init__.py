"""What every learner shares: configs, run directories, metrics, checkpoints, the evaluation and training loops."""
