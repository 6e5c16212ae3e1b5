"""What a model is trained for, one file a task: its forms, batches, loss, validation, signatures and check."""
