"""Text: cleaning, tokenizers, word vectors, and guessing a language from its script."""
