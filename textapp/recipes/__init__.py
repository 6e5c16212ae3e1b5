"""How a task is trained from files, one file a task: data, defaults, preparation. No TensorFlow at import."""
