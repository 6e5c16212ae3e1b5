"""How a text is found, one token after the other: greedy, beam search and sampling over any runner's steps, in NumPy.

The greedy loop inside the graph is `layers/greedy_loop.py`; the greedy search here finds the same tokens.
"""
