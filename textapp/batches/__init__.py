"""Records become batches: length buckets, a fixed order for each seed and epoch, and tf.data pipelines."""
