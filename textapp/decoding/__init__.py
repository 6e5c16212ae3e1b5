"""How a text is found, one token after the other: greedy, beam search and sampling over any runner's steps, in NumPy.

The loops inside the graph are `layers/greedy_loop.py` and `layers/greedy_queue.py`; the greedy search here finds the
same tokens.
"""
