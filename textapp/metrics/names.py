"""What the names of figures of quality tell: which stands for a model, and of which less is better."""

# The first one that a task has is what a search limits and a report compares.
MAIN = ("accuracy", "f1", "bleu", "perplexity")
FALLING = ("loss", "perplexity", "perplexity_per_character", "nats_per_character")
