"""One file a task: record -> requests, outputs -> answer, answers -> score. Runs without TensorFlow."""
