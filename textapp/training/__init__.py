"""The training loop, with its strategy, optimizers, checkpoints and progress display."""
