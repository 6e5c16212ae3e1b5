"""Methods that make a trained model smaller: recipes, and the hooks by which each method takes part in a training."""
