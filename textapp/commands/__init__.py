"""One command a file: a plain function that works, prints and returns. Imported only when called."""
