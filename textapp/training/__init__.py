"""The one training loop, and what it needs: strategy, optimizer, checkpoints, progress."""
