"""The commands, one in each file: a function that does the work, prints and returns the result."""
