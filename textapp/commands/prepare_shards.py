"""The last step of `textapp prepare`: the records of a spool become shards of token ids, several at the same time."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from textapp.catalog import parse_config
from textapp.commands.prepare_pool import Pool
from textapp.commands.prepare_texts import preparable
from textapp.config import Config
from textapp.records.shards import FOLDER, Block, index_name, remove_partial, shard_name, write_shard
from textapp.records.spool import Spool
from textapp.training.progress import RateLines

SHARD_EXAMPLES = 250_000  # of a shard, at most
USUAL_SHARDS, MIN_EXAMPLES = 16, 10_000  # as many shards, unless they had fewer examples: all processes get some


class Shard(NamedTuple):
    """A shard to write: its name in the folder, and its examples from one number to another."""

    name: str
    begin: int
    end: int


class _Job(NamedTuple):
    """What the processes need, as plain values: a config with its tokenizer filled in, the folder, the labels."""

    config: dict[str, Any]
    folder: str
    labels: list[str]


def shards_of(examples: int, count: int | None) -> list[Shard]:
    """The shards of so many examples.

    Args:
        examples: number of all.
        count: number of shards; None: by the number of examples.
    """
    usual = max(min(USUAL_SHARDS, examples // MIN_EXAMPLES), -(-examples // SHARD_EXAMPLES), 1)
    count = min(count or usual, examples)
    return [
        Shard(shard_name(number, count), examples * number // count, examples * (number + 1) // count)
        for number in range(count)
    ]


def write_shards(
    config: Config, labels: list[str], folder: Path, shards: Sequence[Shard], pool: Pool
) -> Counter[str]:  # fmt: skip
    """Writes the shards that an interrupted call did not finish.

    Args:
        config: with its tokenizer filled in.
        labels: of the training data.
        folder: with the spool and the tokenizers.
        shards: all of them.
        pool: writes them.

    Returns:
        The number of unknown tokens of each feature in those that were written.
    """
    (folder / FOLDER).mkdir(exist_ok=True)
    remove_partial(folder)
    todo = [shard for shard in shards if not _finished(folder, shard)]
    examples, done = shards[-1].end, sum(shard.end - shard.begin for shard in shards if shard not in todo)
    tell, unknown = RateLines("tokenising", examples), Counter[str]()
    job = _Job(config.model_dump(mode="json"), str(folder), labels)
    for shard, found in pool.results(_begin, job, todo):
        unknown.update(found)
        done += shard.end - shard.begin
        tell(done)
    return unknown


def _finished(folder: Path, shard: Shard) -> bool:
    """Whether a shard was written; its index is the last that gets its name."""
    return (folder / shard.name).is_file() and (folder / index_name(shard.name)).is_file()


def _begin(job: _Job) -> Callable[[Shard], Counter[str]]:
    """The function that writes a shard, and returns the number of unknown tokens of each feature."""
    config, folder = parse_config(job.config), Path(job.folder)
    encoder = preparable(config).encoder(config, job.labels, folder)
    spool, single = Spool(folder), bool(job.labels) and config.data.labels == "single"

    def write(shard: Shard) -> Counter[str]:
        unknown = Counter[str]()

        def blocks() -> Iterator[Block]:
            for records in spool.blocks(shard.begin, shard.end):
                block = encoder.encode(records)
                for name, id_ in encoder.unknown_ids.items():
                    unknown[name] += sum(row.count(id_) for row in block[name])
                yield block

        write_shard(folder / shard.name, blocks(), single)
        return unknown

    return write
