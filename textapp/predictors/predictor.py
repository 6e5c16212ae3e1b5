"""The predictor: requests -> grouped by signature -> run -> gathered by record -> answers."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from textapp.errors import DataError, OptionError, UsageError
from textapp.predictors.requests import Request, groups, stacked
from textapp.runners.pool import RunnerPool
from textapp.untrusted import shown

if TYPE_CHECKING:
    from textapp.runners.runner import Outputs, Runner
    from textapp.tasks.task import Answer, Record, Task


class Predictor:
    """Answers records of a task.

    It is thread-safe: several threads may call it and stream at the same time, and get the same answers as a single
    one. At most `workers` of them run at once, the others wait. Other processes load their own: it cannot be pickled;
    after `os.fork` a .tflite file is opened again, and a model on TensorFlow is an error.

    Args:
        task: record -> requests, outputs -> answer.
        runner: runs signatures.
        manifest: of the run or the bundle.
        path: its folder.
        workers: maximum number of runners that run at the same time; each has its own copy of the model's state, and
            is created when it is first needed.

    Attributes:
        streams: whether it can `stream` an answer piece by piece.
        block: number of records of a file to pass to one call of `batch`.
        by_length: whether texts of similar length share a call.
        defaults: what `options` returns for no options.

    Example:
        predictor = textapp.load("saved_models/reviews/exports/litert")
        predictor("a gem of a film").label            # 'positive'
        [answer.label for answer in predictor.batch(["good", "bad"])]
    """

    streams: ClassVar[bool] = False
    block: ClassVar[int] = 2048
    by_length: ClassVar[bool] = False
    defaults: ClassVar[Any] = None

    def __init__(self, task: Task, runner: Runner, manifest: Mapping[str, Any], path: Path, workers: int = 1) -> None:
        self.task = task
        self.runner = runner
        self.manifest = manifest
        self.path = path
        self._pool = RunnerPool(runner, workers)

    def __reduce_ex__(self, protocol: Any) -> Any:
        raise UsageError(
            f"{self.path}: a predictor cannot be pickled or copied, as its interpreter belongs to this process: call "
            f"textapp.load({str(self.path)!r}) in each process, such as in the initializer of a pool; threads share one"
        )

    @property
    def tokenizer(self) -> Any:
        return self.task.tokenizer

    def __call__(self, *values: Any, **options: Any) -> Answer:
        """Answers one record.

        Args:
            values: the fields of a record in their order, a text or a pair of texts; or one record as a mapping.
            options: fields by name, and the keyword arguments of `options`.

        Raises:
            UsageError: this is no record, or an option is unknown or out of range.
        """
        if not options:
            record = self.record(*values)
            return self.answer(record, self.outputs(record, self.defaults), self.defaults)
        fields, checked = self._fields_and_options(options)
        record = self.record(*values, **fields)
        return self.answer(record, self.outputs(record, checked), checked)

    def record(self, *values: Any, **fields: Any) -> Record:
        """Makes a record from the values of a call; see `Task.record`.

        Raises:
            UsageError: this is no record, or a field is given twice.
        """
        names = self.task.fields
        if len(values) > 2:
            raise UsageError(
                f"found {len(values)} values, expected {' and '.join(names)}, or one record; several texts go to batch"
            )
        if fields and (twice := next((name for name in names[: len(values)] if name in fields), None)) is not None:
            raise UsageError(f"{twice}: found it twice, by its place and by its name, expected it once: leave one out")
        return self.task.record(*values, **fields)

    def batch(self, records: Iterable[Any], workers: int = 1, **options: Any) -> list[Answer]:
        """Answers many records, in order, each as a single call does.

        Texts of similar length share a call of the runner, so that short ones are not padded to long ones.

        Args:
            records: texts, or other values that a single call takes.
            workers: runners that run at the same time, each with a copy of the model's state.
            options: as for a single call.

        Raises:
            DataError: there is no answer to one of them.
        """
        answers = []
        for answer in self.attempts(records, workers, **options):
            if isinstance(answer, DataError):
                raise answer
            answers.append(answer)
        return answers

    def attempts(self, records: Iterable[Any], workers: int = 1, **options: Any) -> list[Answer | DataError]:
        """Answers many records as `batch` does; where there is no answer its error takes the place.

        Args:
            records, workers, options: as for `batch`.
        """
        checked = self.options(options) if options else self.defaults
        records = [self.task.record(record) for record in self._several(records)]
        owners, requests = [], []
        for owner, record in enumerate(records):
            of_record = self.task.requests(record)
            owners += [owner] * len(of_record)
            requests += of_record
        outputs: list[Outputs] = [{}] * len(requests)

        def work(runner: Runner, indices: list[int]) -> None:
            chosen = [requests[index] for index in indices]
            rows = self._run(runner, [records[owners[index]] for index in indices], chosen, checked)
            for index, row in zip(indices, rows, strict=True):
                outputs[index] = row

        self._pool.share_out(groups(requests, self._max_rows(checked), self.by_length), work, workers)
        gathered: list[list[Outputs]] = [[] for _ in records]
        for owner, row in zip(owners, outputs, strict=True):
            gathered[owner].append(row)
        return [self._attempt(record, rows, checked) for record, rows in zip(records, gathered, strict=True)]

    def outputs(self, record: Record, options: Any = None) -> list[Outputs]:
        """The outputs of each request of a record, without the batch dimension."""
        requests = self.task.requests(record)
        runner = self._pool.borrow()
        try:
            if len(requests) == 1:
                return self._run(runner, (record,), requests, options)
            return [self._run(runner, (record,), (request,), options)[0] for request in requests]
        finally:
            self._pool.give_back(runner)

    def answer(self, record: Record, outputs: Sequence[Outputs], options: Any = None) -> Answer:
        """Makes the answer from the outputs.

        Args:
            record: the record.
            outputs: as `outputs` returned them.
            options: as `options` returned them.
        """
        return self.task.answer(record, outputs)

    def _attempt(self, record: Record, outputs: Sequence[Outputs], options: Any) -> Answer | DataError:
        try:
            return self.answer(record, outputs, options)
        except DataError as error:
            return error

    def options(self, given: Mapping[str, Any]) -> Any:
        """Checks the options of a call.

        Raises:
            OptionError: this predictor has no such option.
        """
        if given:
            names = ", ".join(given)
            raise OptionError(f"{names}: a model of {self.task.name} has no such option: leave it out", *given)

    def figures(self, records: Sequence[Record]) -> dict[str, Any]:
        """Further figures of quality, from the references themselves; `intervals`, if there, are theirs."""
        return {}

    def _fields_and_options(self, given: Mapping[str, Any]) -> tuple[dict[str, Any], Any]:
        """Splits keyword arguments of a call into the fields of a record and checked options."""
        fields = {name: value for name, value in given.items() if name in self.task.fields}
        return fields, self.options({name: value for name, value in given.items() if name not in fields})

    def _several(self, records: Iterable[Any]) -> Iterator[Any]:
        """The items of a list of records, or of anything else that has some.

        Raises:
            UsageError: it has none, or they would be no records, such as the names of the columns of a table.
        """
        if isinstance(records, (str, Mapping)):
            what = "text" if isinstance(records, str) else "record"
            raise UsageError(
                f"batch: found one {what}, expected a list of them: call the predictor itself, or pass [{what}]"
            )
        if hasattr(records, "columns"):  # as pandas has it, whose items are these
            raise UsageError(
                f"batch: found a table with the columns {shown(list(records.columns))}, expected a list of texts or"
                " records: pass its column of texts, or with pandas table.to_dict('records')"
            )
        try:
            if not isinstance(records, (bytes, bytearray)):
                return iter(records)
        except TypeError:  # also of an array without dimensions
            pass
        raise UsageError(f"batch: found {shown(records)}, expected a list of texts or records")

    def _max_rows(self, options: Any) -> int:
        """Maximum number of rows of one call."""
        return self.runner.max_batch

    def _run(
        self, runner: Runner, records: Sequence[Record], requests: Sequence[Request], options: Any
    ) -> list[Outputs]:
        """Runs requests that share a signature; returns the outputs of each."""
        signature, length, features = requests[0]
        pad_id = self.task.tokenizer.pad_id
        if len(requests) == 1:  # a single text: no detours
            outputs = runner.run(signature, stacked((features,), length, pad_id))
            return [{name: values[0] for name, values in outputs.items()}]
        outputs = runner.run(signature, stacked([request.features for request in requests], length, pad_id))
        return [{name: values[row] for name, values in outputs.items()} for row in range(len(requests))]
