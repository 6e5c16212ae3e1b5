"""Runs the stripes of `textapp predict --runner beam` in a pipeline of Apache Beam."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import apache_beam as beam
from apache_beam.ml.inference.base import ModelHandler, RunInference
from apache_beam.options.pipeline_options import PipelineOptions

from textapp.commands.batch_worker import Answerer, Job, Stripe
from textapp.errors import UsageError


class AnswererHandler(ModelHandler):
    """Opens the model once per process of a worker; an element is a stripe of a file.

    Args:
        job: what to answer with.
    """

    def __init__(self, job: Job) -> None:
        super().__init__(max_batch_size=1)
        self._job = job

    def load_model(self) -> Answerer:
        """Opens the model."""
        return Answerer(self._job)

    def run_inference(
        self, batch: Sequence[Stripe], model: Answerer, inference_args: Mapping[str, Any] | None = None
    ) -> Iterator[bool]:
        """Answers stripes; see `Answerer.answer`.

        Args:
            batch: the stripes.
            model: from `load_model`.
            inference_args: of RunInference; there are none.
        """
        return map(model.answer, batch)


def run(job: Job, stripes: Sequence[Stripe], workers: int, options: Sequence[str] = ()) -> None:
    """Answers stripes on the machines that the options name, or with processes of this one.

    Beam answers a stripe again if its worker is lost; parts that are there already are not.

    Args:
        job: what to answer with.
        stripes: the elements of the pipeline.
        workers: number of processes of this machine, if the options name no runner.
        options: of the pipeline, such as `--runner=FlinkRunner`.

    Raises:
        UsageError: an option has a wrong value.
    """
    with beam.Pipeline(options=_settings(options, workers)) as pipeline:
        _ = (
            pipeline
            | "stripes" >> beam.Create(list(stripes))
            | "spread" >> beam.Reshuffle()
            | "answer" >> RunInference(AnswererHandler(job))
        )


def _settings(options: Sequence[str], workers: int) -> PipelineOptions:
    """The options of the pipeline. Beam passes those that it does not know on to its runner, and warns of them."""
    if not any(option.split("=")[0] == "--runner" for option in options):
        # Not "DirectRunner", which would look for a server of its own and download it.
        here = ["--runner=FnApiRunner", f"--direct_num_workers={workers}", "--direct_running_mode=multi_processing"]
        options = [*here, *options]
    said = io.StringIO()
    try:
        with contextlib.redirect_stderr(said):
            settings = PipelineOptions(list(options))
            settings.get_all_options()
    except SystemExit as error:
        what = said.getvalue().strip().rpartition("error: ")[2] or "found a wrong value"
        raise UsageError(f"--beam-options: {what}: see the documentation of Beam's pipeline options") from error
    return settings
