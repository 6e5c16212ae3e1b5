"""What a model is trained for: pooling, head and loss, one file a task; and a trained model behind the predictor."""
