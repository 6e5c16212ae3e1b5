"""Distillation: the answers of a teacher on disk, and the objective of a student that learns from them."""

from __future__ import annotations

import logging
import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from textapp.compression.recipe import Distill, Structure

if TYPE_CHECKING:
    import keras

    from textapp.objectives.lessons import Lesson
    from textapp.objectives.objective import Objective

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
        log.info("teacher: answers of %s rows, %s kB on disk", f"{lesson.rows:,}", f"{size / 1e3:,.1f}")
        arrays = {
            name: _reserved(begun / f"{name}.npy", kind, (lesson.rows, *shape))
            for name, (shape, kind) in lesson.arrays.items()
        }
        for rows, found in lesson.answers(model):
            for name, array in arrays.items():
                array[rows] = found[name]
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
    objective: Objective, lesson: Lesson, step: Distill | Structure, stored: Mapping[str, np.ndarray]
) -> Objective:
    """The objective of a task, with the batches and the loss of a lesson.

    Args:
        objective: of the task.
        lesson: of the data as the student reads it.
        step: of the recipe.
        stored: the answers of the teacher.
    """
    return cast("Objective", _Taught(objective, lesson, step, stored))


class _Taught:
    def __init__(self, objective: Objective, lesson: Lesson, step: Any, stored: Mapping[str, np.ndarray]) -> None:
        self._objective, self._lesson, self._step, self._stored = objective, lesson, step, stored

    def __getattr__(self, name: str) -> Any:
        return getattr(self._objective, name)

    def batches(self, prepared: Any) -> Any:
        return self._lesson.batches(self._stored)

    def loss(self, prepared: Any) -> Any:
        from textapp.objectives.lessons import Mix

        given = {name: getattr(self._step, name, None) for name in Mix._fields}
        return self._lesson.loss(Mix(**{name: value for name, value in given.items() if value is not None}))
