"""Checkpoints of a training: weights, optimizer, seeds, position. Every file is written atomically."""

from __future__ import annotations

import json
import logging
import os
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np

from textapp.errors import ArtifactError

LAST = "last.npz"
PREVIOUS = "previous.npz"  # the last one but one, if the last is damaged
BEST = "best.npz"
EPOCH = "epoch_{}.npz"

logger = logging.getLogger(__name__)


class _Damaged(ArtifactError):
    """A file that is not readable as a checkpoint."""


class Checkpoints:
    """Saves and restores the last state of a training, its best weights, and those after the last epochs.

    Args:
        folder: created when first needed.
        model: whose variables are saved, dropout seeds included.
        optimizer: built.
        hook_variables: further variables, of `transform_weights` and `after_update`.
        writes: False on workers other than the chief: they only read the last state, to resume.

    Example:
        checkpoints = Checkpoints(folder, model, optimizer)
        position = checkpoints.restore() or {"epoch": 0, "step": 0}
        checkpoints.save(position)
    """

    def __init__(
        self,
        folder: Path,
        model: keras.Model,
        optimizer: keras.optimizers.Optimizer,
        hook_variables: Sequence[keras.Variable] = (),
        writes: bool = True,
    ) -> None:
        self.folder = folder
        self._weights = list(model.variables)
        self._state = [*self._weights, *optimizer.variables, *hook_variables]
        self._writes = writes
        self._keeps_previous = True

    def save(self, position: Mapping[str, Any]) -> None:
        """Saves everything that a resumed run needs, and keeps what was saved before; `position` is any JSON object."""
        if self._writes and self._keeps_previous and (self.folder / LAST).is_file():
            self._keep_previous()
        self._write(LAST, self._state, position)
        self._keeps_previous = True

    def restore(self) -> dict[str, Any] | None:
        """Restores every variable and returns the position; None if nothing was saved.

        If the last file is damaged, that is the state before it, with a warning.

        Raises:
            ArtifactError: the file is damaged, and there is none before it, or it is of another model.
        """
        try:
            return self._read(LAST, self._state)
        except _Damaged as error:
            try:
                position = self._read(PREVIOUS, self._state)
            except _Damaged:
                position = None
            if position is None:
                raise
            reason = str(error).removesuffix(f": {_mend(LAST)}")
            logger.warning("%s: going on from %s, the checkpoint before it", reason, self.folder / PREVIOUS)
            self._keeps_previous = False  # until there is a last one again
            return position

    def drop_previous(self) -> None:
        """Deletes the checkpoint before the last one, at the end of a training."""
        if self._writes:
            (self.folder / PREVIOUS).unlink(missing_ok=True)

    def save_best(self) -> None:
        """Saves the current weights as the best."""
        self._write(BEST, self._weights, {})

    def check_best(self) -> None:
        """Checks that the best weights can be restored, for a training that has some.

        Raises:
            ArtifactError: the file is missing, damaged, or of another model.
        """
        if self._writes and not (self.folder / BEST).is_file():
            raise ArtifactError(
                f"{self.folder / BEST}: missing, so the best weights of this training are lost: run the command with "
                "--overwrite to train anew, or copy the file back"
            )
        if self._writes:
            self._arrays(BEST, self._weights)

    def restore_best(self) -> None:
        """Restores the best weights; does nothing on workers other than the chief.

        Raises:
            ArtifactError: as `check_best`.
        """
        if self._writes:  # only the chief saves the model, and the folder is renamed right after that
            self.check_best()
            self._read(BEST, self._weights)

    def save_epoch(self, epoch: int, keep: int) -> None:
        """Saves the weights after epoch `epoch`, and deletes those of `keep` epochs before."""
        self._write(EPOCH.format(epoch), self._weights, {})
        if self._writes:
            (self.folder / EPOCH.format(epoch - keep)).unlink(missing_ok=True)

    def check_epochs(self, last: int, number: int) -> None:
        """Checks that the weights that were saved after the last epochs can be averaged; see `average_epochs`.

        Raises:
            ArtifactError: a file is damaged, or of another model.
        """
        for name in self._saved_epochs(last, number):
            self._arrays(name, self._weights)

    def average_epochs(self, last: int, number: int) -> int:
        """Sets the model's float weights to their mean over the last epochs.

        Args:
            last: the last epoch.
            number: of epochs, at most.

        Returns:
            the number of epochs that were averaged; 0 if none was saved, or on workers other than the chief.

        Raises:
            ArtifactError: a file is damaged, or of another model.
        """
        saved = [self._arrays(name, self._weights)[0] for name in self._saved_epochs(last, number)]
        for i, variable in enumerate(self._weights):
            if saved and keras.backend.is_float_dtype(variable.dtype):
                mean = np.mean([arrays[str(i)] for arrays in saved], axis=0, dtype=np.float64)
                variable.assign(mean.astype(saved[0][str(i)].dtype))
        return len(saved)

    def _saved_epochs(self, last: int, number: int) -> list[str]:
        """The files of the last epochs, the newest first; none on workers other than the chief."""
        if not self._writes:  # only the chief saves the model, and the folder is renamed right after that
            return []
        names = [EPOCH.format(epoch) for epoch in range(last, max(0, last - number), -1)]
        return [name for name in names if (self.folder / name).is_file()]

    def _keep_previous(self) -> None:
        """Gives the last checkpoint a second name, as there must be a last one at any moment."""
        partial = self.folder / f"{PREVIOUS}.partial"
        partial.unlink(missing_ok=True)
        try:
            try:
                os.link(self.folder / LAST, partial)
            except OSError:  # a file system without hard links
                shutil.copyfile(self.folder / LAST, partial)
            os.replace(partial, self.folder / PREVIOUS)
        finally:
            partial.unlink(missing_ok=True)  # it stays where both names are of one file already

    def _write(self, name: str, variables: Sequence[keras.Variable], position: Mapping[str, Any]) -> None:
        if not self._writes:
            return
        self.folder.mkdir(exist_ok=True)  # not its parents: a training whose folder was deleted has to end
        arrays = {str(i): keras.ops.convert_to_numpy(variable) for i, variable in enumerate(variables)}
        partial = self.folder / f"{name}.partial"
        try:
            with partial.open("wb") as file:
                np.savez(file, position=np.array(json.dumps(position)), **arrays)
                file.flush()
                os.fsync(file.fileno())
            os.replace(partial, self.folder / name)
        finally:
            partial.unlink(missing_ok=True)  # if the disk is full, a part of it was written

    def _read(self, name: str, variables: Sequence[keras.Variable]) -> dict[str, Any] | None:
        if not (self.folder / name).is_file():
            return None
        arrays, position = self._arrays(name, variables)
        for i, variable in enumerate(variables):
            variable.assign(arrays[str(i)])
        return position

    def _arrays(self, name: str, variables: Sequence[keras.Variable]) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
        """The values of variables by their index, from a file that was checked, and the position."""
        path = self.folder / name
        try:
            with np.load(path, allow_pickle=False) as saved:
                arrays = {key: saved[key] for key in saved.files}
            position = json.loads(str(arrays.pop("position")))
        except Exception as error:  # NumPy and zipfile raise a dozen kinds: EOFError, BadZipFile, zlib.error ...
            raise _Damaged(
                f"{path}: damaged, not readable as a checkpoint ({error or type(error).__name__}): {_mend(name)}"
            ) from error
        if wrong := _difference(arrays, variables):
            raise ArtifactError(
                f"{path}: {wrong}, so it is a checkpoint of another model or optimizer: train with the config it was "
                f"made with, or run the command with --overwrite to train anew"
            )
        return arrays, position


def _mend(name: str) -> str:
    if name == LAST:
        return "run the command with --overwrite to train anew, or copy the file back"
    if name == BEST:
        return (
            "the best weights of this training are lost; run the command with --overwrite to train anew, or copy the "
            "file back"
        )
    return "delete it, then the weights of the other epochs are averaged, or copy it back"


def _difference(arrays: Mapping[str, np.ndarray], variables: Sequence[keras.Variable]) -> str | None:
    """How the arrays of a file differ from the variables they should be of; None if they do not."""
    if set(arrays) != {str(i) for i in range(len(variables))}:
        return f"found {len(arrays)} variables, expected {len(variables)}"
    for i, variable in enumerate(variables):
        found, expected = arrays[str(i)], tuple(variable.shape)
        if found.shape != expected or found.dtype.kind in "OSUM":
            return f"found shape {list(found.shape)} of {found.dtype} for {variable.path}, expected {list(expected)}"
    return None
