"""Measures whether a model of Tang poems keeps their form: five or seven characters in every clause.

    .venv/bin/python benchmarks/poems.py saved_models/tang-poems --data-dir DATA

The bundle gets the first lines of test poems and generates the rest.
"""

from __future__ import annotations

import argparse
import re
from collections.abc import Iterable
from pathlib import Path

import textapp
from textapp.artifact import open_artifact
from textapp.commands.examples import own_splits

ENDS = re.compile(r"[，。？！；、：\s]+")
FORMS = (5, 7)
WAYS = {"greedy": {}, "drawn, top-p 0.9": {"temperature": 1.0, "top_p": 0.9, "seed": 7}}


def clauses(poem: str) -> list[str]:
    """The text between punctuation marks: `clauses("白日依山盡，黃河入海流。")` is `["白日依山盡", "黃河入海流"]`."""
    return [clause for clause in ENDS.split(poem) if clause]


def form_of(poem: str) -> int | None:
    """5 or 7 if every clause has that many characters and their number is even; else None."""
    lengths = [len(clause) for clause in clauses(poem)]
    regular = len(set(lengths)) == 1 and lengths[0] in FORMS and len(lengths) % 2 == 0
    return lengths[0] if regular else None


def first_lines(poems: Iterable[str], limit: int) -> list[str]:
    """The first lines of regular poems, as many of five characters as of seven, each line once."""
    found: dict[int, dict[str, None]] = {form: {} for form in FORMS}
    for poem in poems:
        form = form_of(poem)
        if form is not None and len(found[form]) < limit // len(FORMS):
            found[form][poem.splitlines(keepends=True)[0]] = None
    return [line for lines in found.values() for line in lines]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path, help="the folder of a run; its bundle exports/litert writes")
    parser.add_argument("--data-dir", type=Path, help="where relative data paths start")
    parser.add_argument("--limit", type=int, default=200, help="poems to write")
    options = parser.parse_args()
    splits = own_splits(open_artifact(options.run), options.data_dir)
    prompts = first_lines((record["text"] for record in splits.test), options.limit)
    if not prompts:
        raise SystemExit(
            f"{options.run}: found no test poem whose clauses have all five or all seven characters, expected some: "
            "name the folder of their data with --data-dir, or run a model of such poems"
        )
    predictor = textapp.load(options.run / "exports" / "litert")
    print(f"{len(prompts)} first lines of the test poems, half of five characters a clause, half of seven\n")
    print("| how | form kept | sample |\n|---|---|---|")
    for name, how in WAYS.items():
        written = [predictor(prompt, **how).output for prompt in prompts]
        kept = sum(form_of(one + rest) == form_of(one) for one, rest in zip(prompts, written, strict=True))
        sample = "".join((prompts[0] + written[0]).split())
        print(f"| {name} | {100 * kept / len(prompts):.1f} % | {sample} |")


if __name__ == "__main__":
    main()
