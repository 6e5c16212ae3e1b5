"""Runs the stripes of `textapp predict --runner ray` in a pool of actors of Ray Data."""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

import ray
import ray.data

from textapp.commands.batch_worker import Answerer, Job, Stripe


class Actor:
    """Opens the model once; each row is a stripe of a file.

    Args:
        job: what to answer with, the fields of a `Job`.
    """

    def __init__(self, job: Mapping[str, Any]) -> None:
        self._answerer = Answerer(Job(**job))

    def __call__(self, row: Mapping[str, Any]) -> dict[str, Any]:
        return {"answered": self._answerer.answer(Stripe(**row))}


def run(job: Job, stripes: Sequence[Stripe], workers: int) -> None:
    """Answers stripes with actors, of the cluster that RAY_ADDRESS in the environment names, else of this machine.

    Ray answers a stripe again if its actor is lost; parts that are there already are not.

    Args:
        job: what to answer with.
        stripes: the rows.
        workers: number of actors, each with `job.threads` CPUs.
    """
    started = not ray.is_initialized()
    if started:
        os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # else Ray reports its use to its makers
        logging.getLogger("ray.data").setLevel(logging.WARNING)
        cluster = "RAY_ADDRESS" in os.environ
        ray.init(
            logging_level="warning",
            log_to_driver=False,
            **({} if cluster else {"num_cpus": workers * job.threads, "include_dashboard": False}),
        )
    ray.data.DataContext.get_current().enable_progress_bars = False
    try:
        rows = ray.data.from_items([asdict(stripe) for stripe in stripes], override_num_blocks=len(stripes))
        actors = min(workers, len(stripes))
        rows.map(
            Actor,
            fn_constructor_args=(asdict(job),),
            compute=ray.data.ActorPoolStrategy(size=actors),
            num_cpus=job.threads,
        ).materialize()
    finally:
        if started:
            ray.shutdown()
