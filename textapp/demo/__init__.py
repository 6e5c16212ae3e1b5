"""The demo and the generator of its samples. Runs from a checkout of the repository: wheels leave this package out."""
