"""Distillation: the answers of a teacher on disk, and the objective of a student that learns from them.

Hidden states are not on disk: a teacher gives them in each step, for the tokens of the batch.
"""

from __future__ import annotations

import logging
import os
import shutil
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from textapp.compression.recipe import Distill, Structure
from textapp.metrics.size import size_words
from textapp.training.progress import RateLines

if TYPE_CHECKING:
    import keras

    from textapp.objectives.lessons import Lesson
    from textapp.objectives.objective import Objective
    from textapp.training.loop import Hooks

COMPLETE = "complete"  # a file that is there when the answers are
log = logging.getLogger("textapp")


def store_answers(lesson: Lesson, model: keras.Model, folder: Path) -> dict[str, np.ndarray]:
    """The answers of a teacher, as memory maps: computed once, a batch at a time, then read from a folder.

    Args:
        lesson: of the data as the teacher reads it.
        model: the teacher; not asked if the answers are there.
        folder: for a `.npy` file for each array of the lesson; it appears when all are complete.

    Returns:
        name -> array `[rows, ...]`.
    """
    if not folder.is_dir():
        begun = folder.with_name(f"{folder.name}.part")
        shutil.rmtree(begun, ignore_errors=True)
        begun.mkdir(parents=True)
        size = sum(
            lesson.rows * int(np.prod(shape)) * np.dtype(kind).itemsize for shape, kind in lesson.arrays.values()
        )
        log.info("teacher: answers for %s %s, %s on disk", f"{lesson.rows:,}", lesson.items, size_words(size))
        arrays = {
            name: _reserved(begun / f"{name}.npy", kind, (lesson.rows, *shape))
            for name, (shape, kind) in lesson.arrays.items()
        }
        tell, done = RateLines("teacher", lesson.rows, lesson.items), 0
        for rows, found in lesson.answers(model):
            for name, array in arrays.items():
                array[rows] = found[name]
            done += len(found[name])
            tell(done)
        for array in arrays.values():
            array.flush()
        (begun / COMPLETE).touch()
        os.replace(begun, folder)
    return {name: np.load(folder / f"{name}.npy", mmap_mode="r") for name in lesson.arrays}


def _reserved(file: Path, kind: Any, shape: tuple[int, ...]) -> np.ndarray:
    """An array on disk that has its room there: else a disk that fills up kills the process that writes to it.

    Raises:
        OSError: there is no room.
    """
    array = np.lib.format.open_memmap(file, "w+", kind, shape)
    if hasattr(os, "posix_fallocate"):
        with file.open("rb+") as opened:
            os.posix_fallocate(opened.fileno(), 0, file.stat().st_size)
    return array


def taught(
    objective: Objective,
    lesson: Lesson,
    step: Distill | Structure,
    stored: Mapping[str, np.ndarray],
    teacher: keras.Model | None = None,
) -> Objective:
    """The objective of a task, with the batches and the loss of a lesson.

    Args:
        objective: of the task.
        lesson: of the data as the student reads it.
        step: of the recipe.
        stored: the answers of the teacher.
        teacher: its hidden states are computed in each step, if the step compares them: see `student_hooks`.
    """
    return cast("Objective", _Taught(objective, lesson, step, stored, teacher))


class _Taught:
    def __init__(
        self, objective: Objective, lesson: Lesson, step: Any, stored: Mapping[str, np.ndarray],
        teacher: keras.Model | None,
    ) -> None:  # fmt: skip
        self._objective, self._lesson, self._step, self._stored = objective, lesson, step, stored
        self._teacher = teacher

    def __getattr__(self, name: str) -> Any:
        return getattr(self._objective, name)

    def batches(self, prepared: Any) -> Any:
        return self._lesson.batches(self._stored)

    def loss(self, prepared: Any) -> Any:
        from textapp.objectives.lessons import Mix

        given = {name: getattr(self._step, name, None) for name in Mix._fields}
        return self._lesson.loss(
            Mix(**{name: value for name, value in given.items() if value is not None}), self._teacher
        )


# --- hidden states -------------------------------------------------------------------------------------------------


def student_hooks(step: Distill | Structure) -> Callable[[keras.Model], Hooks] | None:
    """What `fit` needs for a step that compares hidden states: the loss gets those of the student; else None."""
    if step.hidden_states is None:
        return None
    from textapp.layers import with_hidden_states
    from textapp.training.loop import Hooks

    return lambda model: Hooks(forward=partial(with_hidden_states, model))


def state_fault(lesson: Lesson, teacher: keras.Model, student: keras.Model) -> str | None:
    """Why the hidden states of two models cannot be compared, for a message; None if they can.

    Args:
        lesson: of the student.
        teacher, student: the models.
    """
    if not lesson.mixes:
        return "this student learns from the texts that its teacher writes: leave it out"
    width, expected = hidden_dim(student), hidden_dim(teacher)
    if width is None or expected is None:
        name = "student" if width is None else "teacher"
        return f"the {name} is no Transformer on textapp's own layers, expected both to be: leave it out"
    if width != expected:
        return (
            f"the hidden states of this student have {width} numbers, expected the {expected} of its teacher: set "
            f"hidden_dim: {expected} in its model, or leave it out"
        )
    read, needed = inputs_of(student), inputs_of(teacher)
    if read != needed:
        return (
            f"the student reads {', '.join(read)}, expected what its teacher reads, {', '.join(needed)}: leave it out"
        )
    return None


def hidden_dim(model: keras.Model) -> int | None:
    """The width of the blocks of a model; None if it has none."""
    from textapp.layers import TransformerBlock

    blocks = (layer for layer in model._flatten_layers() if isinstance(layer, TransformerBlock))
    return next((block.outward.units for block in blocks), None)


def inputs_of(model: keras.Model) -> list[str]:
    """The names of the inputs of a classifier or a reader; models that write read tokens alike."""
    return sorted(each.name for each in getattr(model, "inputs", ()))
