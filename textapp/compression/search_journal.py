"""The journal of a search: what was tried and measured, on disk at once, so that a killed search goes on.

It is a journal of Optuna, one JSON object a line. Each budget is a study of its own, as a study's constraints are those
of its budget; what an earlier study measured is taken over into the next one, so no candidate is made again.
"""

from __future__ import annotations

import json
import warnings
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from textapp.compression.search_budget import Budget, Measured
from textapp.compression.search_space import Candidate
from textapp.errors import ArtifactError, require

RECIPE = "recipe "  # begins the keys of `about` that another search of the same run need not have
ABOUT = "about"  # user attribute of a study: what it searches
NAME, ROW, REASON, LENGTH, SECONDS = "name", "row", "reason", "length", "seconds"  # of a trial
REFUSED = "refused"  # of a trial: the recipe or the format that cannot be had for this run, if that was the reason
STOPPED = "stopped"  # of a trial: to be done again
NOTE = "note: "  # of a study: what `remember` keeps
DRAWS = 10  # a sampler that repeats itself so often has nothing new
SEED = 7


class Journal:
    """The trials of a search.

    Args:
        file: of the journal, in an existing folder that this process alone works in; made if it is missing.
        about: what is searched, such as the checksum of the run: a journal of something else is an error.
        budget: the limits.
        recipes: names of the recipes.
        formats: number formats.

    Raises:
        ArtifactError: the journal is damaged, or of another search.
        UsageError: Optuna is not installed.
    """

    def __init__(
        self, file: Path, about: Mapping[str, Any], budget: Budget, recipes: Sequence[str], formats: Sequence[str]
    ) -> None:
        optuna = self._optuna = require("optuna", "optimize")
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        self.file, self.budget = file, budget
        self._choices = {"recipe": list(recipes), "quantize": list(formats)}
        mend(file)
        file.with_name(file.name + ".lock").unlink(missing_ok=True)  # of a process that was killed while it wrote
        try:
            storage = optuna.storages.JournalStorage(optuna.storages.journal.JournalFileBackend(str(file)))
            studies = [
                optuna.load_study(study_name=each.study_name, storage=storage)
                for each in optuna.get_all_study_summaries(storage)
            ]
            _check_about(file, studies, about)
            self._study = optuna.create_study(
                storage=storage,
                study_name=json.dumps([budget.max_drop, budget.max_size, budget.max_latency, self._choices]),
                sampler=optuna.samplers.TPESampler(seed=SEED + sum(len(each.trials) for each in studies)),
                directions=["minimize"] * 3,  # time, size, drop
                load_if_exists=True,
            )
            self._study.set_user_attr(ABOUT, dict(about))
            self._take_over(studies)
        except (KeyError, ValueError, TypeError, AttributeError, AssertionError) as error:
            raise ArtifactError(f"{file}: {_damaged(f'{type(error).__name__}: {error}')}") from error

    # --- what is known -----------------------------------------------------------------------------------------------

    def done(self) -> dict[str, dict[str, Any]]:
        """Name -> `{row}` of each candidate that was measured, `{reason}` of each that failed; with its `seconds`."""
        state = self._optuna.trial.TrialState
        return {
            trial.user_attrs[NAME]: trial.user_attrs
            for trial in self._study.get_trials(deepcopy=False, states=(state.COMPLETE, state.FAIL))
            if NAME in trial.user_attrs and (ROW in trial.user_attrs or REASON in trial.user_attrs)
            and STOPPED not in trial.user_attrs
        }  # fmt: skip

    def interrupted(self) -> list[tuple[Candidate, float | None]]:
        """The candidates that were begun and not finished, with the share of the epochs they were begun with."""
        done, found = self.done(), {}
        for trial in self._study.get_trials(deepcopy=False):
            if self._choices.keys() <= trial.params.keys() and NAME in trial.user_attrs:
                candidate = Candidate(trial.params["recipe"], trial.params["quantize"])
                if candidate.name not in done:
                    found[candidate] = trial.user_attrs.get(LENGTH)
        return list(found.items())

    def remembered(self, name: str) -> Any:
        """What `remember` kept; None if there is nothing."""
        return self._study.user_attrs.get(NOTE + name)

    def remember(self, name: str, value: Any) -> None:
        """Keeps a value that is measured once, such as the quality on test of a candidate; it has to be JSON."""
        self._study.set_user_attr(NOTE + name, value)

    # --- what comes next ---------------------------------------------------------------------------------------------

    def candidates(self, first: Sequence[Candidate]) -> Iterator[Trial]:
        """What is to be tried, without an end but that of the space: first these, then what the sampler chooses.

        Args:
            first: the candidates to begin with; those that were interrupted come before them.
        """
        state = self._optuna.trial.TrialState
        lengths = dict(self.interrupted())
        for left in self._study.get_trials(deepcopy=False, states=(state.RUNNING, state.WAITING)):
            if left.state == state.WAITING:
                self._study.ask()
            self._study.tell(left.number, state=state.FAIL)
        for candidate in dict.fromkeys([*lengths, *first]):
            if candidate.name not in self.done():
                self._study.enqueue_trial({"recipe": candidate.recipe, "quantize": candidate.quantize})
        seen: set[str] = set()
        while len(seen | self.done().keys()) < len(self._choices["recipe"]) * len(self._choices["quantize"]):
            trial = self._drawn(seen)
            seen.add(trial.candidate.name)
            yield trial._with(lengths.get(trial.candidate))

    def _drawn(self, seen: set[str]) -> Trial:
        """The next candidate that is neither done nor was given out in this call."""
        for _ in range(DRAWS):
            trial = self._ask()
            if trial.candidate.name not in seen | self.done().keys():
                return trial
            trial.skip()
        for recipe in self._choices["recipe"]:
            for quantize in self._choices["quantize"]:
                candidate = Candidate(recipe, quantize)
                if candidate.name not in seen | self.done().keys():
                    self._study.enqueue_trial({"recipe": recipe, "quantize": quantize})
                    return self._ask()
        raise AssertionError("there is a candidate left, or this would not have been called")

    def _ask(self) -> Trial:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            asked = self._study.ask()
            chosen = {name: asked.suggest_categorical(name, values) for name, values in self._choices.items()}
        return Trial(self, asked, Candidate(**chosen))

    def _take_over(self, studies: Sequence[Any]) -> None:
        """Adds what other studies measured, with the constraints of this budget."""
        state, known = self._optuna.trial.TrialState, self.done()
        spaces = {
            name: self._optuna.distributions.CategoricalDistribution(values) for name, values in self._choices.items()
        }
        for study in studies:
            if study.study_name == self._study.study_name:
                continue
            for key, value in study.user_attrs.items():
                if key.startswith(NOTE) and key not in self._study.user_attrs:
                    self._study.set_user_attr(key, value)
            for trial in study.get_trials(deepcopy=False, states=(state.COMPLETE, state.FAIL)):
                about = trial.user_attrs
                inside = all(trial.params.get(name) in values for name, values in self._choices.items())
                finished = (ROW in about or REASON in about) and STOPPED not in about
                if inside and finished and about[NAME] not in known:
                    known[about[NAME]] = about
                    row = Measured(**about[ROW]) if ROW in about else None
                    self._study.add_trial(
                        self._optuna.trial.create_trial(
                            state=trial.state, values=trial.values, params=trial.params, distributions=spaces,
                            user_attrs=about, constraints=self.budget.excess(row) if row else None,
                        )
                    )  # fmt: skip


class Trial:
    """A candidate that is being tried.

    Attributes:
        candidate: what it is.
        length: the share of the epochs that it was begun with; None if it was not begun.
    """

    def __init__(self, journal: Journal, asked: Any, candidate: Candidate) -> None:
        self._journal, self._asked, self.candidate = journal, asked, candidate
        self.length: float | None = None

    def _with(self, length: float | None) -> Trial:
        self.length = length
        return self

    def begin(self, length: float) -> None:
        """Writes down that it begins, with a share of its recipe's epochs."""
        self.length = length
        self._asked.set_user_attr(LENGTH, length)
        self._asked.set_user_attr(NAME, self.candidate.name)

    def measured(self, row: Measured, seconds: float, more: Mapping[str, Any]) -> None:
        """Writes down its figures.

        Args:
            row: the figures that count.
            seconds: that it took.
            more: to be told of it.
        """
        for name, value in self._journal.budget.excess(row).items():
            self._asked.set_constraint(name, value)
        for name, value in {**more, SECONDS: round(seconds, 1), ROW: vars(row)}.items():
            self._asked.set_user_attr(name, value)
        self._journal._study.tell(self._asked, [row.time, float(row.size_bytes), row.drop])

    def failed(self, reason: str, seconds: float, refused: str | None = None) -> None:
        """Writes down why it could not be made.

        Args:
            reason: in words.
            seconds: that it took.
            refused: the recipe or the format, if that one cannot be had for this run at all.
        """
        given = {NAME: self.candidate.name, SECONDS: round(seconds, 1), REASON: reason, REFUSED: refused}
        for name, value in given.items():
            self._asked.set_user_attr(name, value)
        self.skip()

    def stopped(self) -> None:
        """Writes down that it is to be done again."""
        self._asked.set_user_attr(STOPPED, True)
        self.skip()

    def skip(self) -> None:
        """Gives it back; the sampler learns nothing from it."""
        self._journal._study.tell(self._asked, state=self._journal._optuna.trial.TrialState.FAIL)


def is_journal(file: Path) -> bool:
    """Whether a file begins as a journal of Optuna does."""
    if not file.is_file():  # a pipe would wait
        return False
    try:
        with file.open("rb") as opened:
            first = json.loads(opened.readline(1 << 20))
    except (OSError, ValueError, RecursionError):
        return False
    return isinstance(first, dict) and "op_code" in first


def mend(file: Path) -> None:
    """Takes the last line from a journal if it is not whole, as of a process that was killed while it wrote.

    Args:
        file: of the journal; it may be missing.

    Raises:
        ArtifactError: another line is no JSON object.
    """
    if not file.exists():
        return
    try:
        content = file.read_bytes()
    except OSError as error:
        raise ArtifactError(f"{file}: cannot be read ({error.strerror}): use another --keep DIR") from error
    whole, _, rest = content.rpartition(b"\n")
    for number, line in enumerate(whole.split(b"\n") if whole else [], start=1):
        try:
            good = isinstance(json.loads(line), dict)
        except (ValueError, RecursionError):
            good = False
        if not good:
            raise ArtifactError(f"{file}, line {number}: {_damaged('found no JSON object')}")
    if rest:
        with file.open("rb+") as opened:
            opened.truncate(len(content) - len(rest))


def _damaged(found: str) -> str:
    return (
        f"{found}, expected the journal of a search, which textapp optimize wrote: move this file away, and the "
        "search begins again with the runs that are there, or use another --keep DIR"
    )


def _check_about(file: Path, studies: Sequence[Any], about: Mapping[str, Any]) -> None:
    for study in studies:
        before = study.user_attrs.get(ABOUT)
        if before is None and not study.trials:  # killed while it was made
            continue
        if not isinstance(before, dict):
            raise ArtifactError(f"{file}: {_damaged('found a study of something else')}")
        for key, value in about.items():
            if before.get(key) != value and not (key.startswith(RECIPE) and key not in before):
                raise ArtifactError(
                    f"{file}: is the journal of another search: its {key} is {before.get(key)}, this one's {value}: "
                    "use another --keep DIR"
                )
