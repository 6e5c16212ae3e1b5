"""Artifacts elsewhere, such as in a bucket: written there whole, and read from a copy in the cache of this machine."""

from __future__ import annotations

import hashlib
import json
import logging
from pathlib import Path

from textapp.artifact.files import MANIFEST
from textapp.artifact.manifest import inside, open_artifact, read_manifest
from textapp.errors import ArtifactError
from textapp.folders import cache_folder, new_folder
from textapp.remote import RemotePath

_logger = logging.getLogger("textapp")


def publish(folder: Path, place: RemotePath) -> None:
    """Copies a finished artifact to another place, its manifest last, so that half of one is never taken for a whole.

    Args:
        folder: the artifact.
        place: where an older one is replaced; other files stay there.

    Raises:
        OSError: it cannot be written.
    """
    names = read_manifest(folder)["files"]
    try:
        before = json.loads((place / MANIFEST).read_bytes())["files"]
    except (OSError, ValueError, KeyError, TypeError):
        before = {}
    place.remove([MANIFEST])
    place.upload(folder, list(names))
    place.remove([name for name in before if name not in names and inside(folder, name)])
    place.upload(folder, [MANIFEST])


def local_copy(place: RemotePath) -> Path:
    """The files of an artifact that is elsewhere, in the cache of this machine, to which they are copied once.

    Args:
        place: the artifact.

    Raises:
        ArtifactError: it is not finished, damaged, or cannot be read.
    """
    try:
        manifest = (place / MANIFEST).read_bytes()
        folder = cache_folder() / f"artifact-{hashlib.sha256(manifest).hexdigest()[:16]}"
        if folder.is_dir():
            return folder
        _logger.info("copying %s to %s, once", place, folder)
        with new_folder(folder, "copy") as new:
            (new / MANIFEST).write_bytes(manifest)
            try:
                names = list(read_manifest(new)["files"])
                for name in names:
                    inside(new, name)
                place.download(new, names)
                open_artifact(new)
            except ArtifactError as error:
                raise ArtifactError(str(error).replace(str(new), str(place))) from error
    except FileNotFoundError as error:
        raise ArtifactError(
            f"{place}: has no {MANIFEST}, or a file that it lists is missing; expected a finished folder: copy or "
            "prepare it again"
        ) from error
    except OSError as error:
        raise ArtifactError(f"{place}: cannot be copied: {error}") from error
    return folder
