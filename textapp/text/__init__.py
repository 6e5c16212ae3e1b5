"""Text: cleaning, tokenizers, and the language that a script stands for."""
