"""Text generation token by token, in NumPy: greedy search, beam search and sampling over the steps of any runner.

The loops inside a graph are `layers/greedy_loop.py` and `layers/greedy_queue.py`; the greedy search here generates the
same tokens.
"""
