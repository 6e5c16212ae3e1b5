"""Batches of examples: length buckets, an order fixed by seed and epoch, and tf.data pipelines."""
