"""textapp turns a file of text examples into a small, fast model and ships it to a device.

The packages in the order of the data:

    records -> text -> tasks -> predictors -> runners                     answers, without TensorFlow
    batches -> layers -> models -> objectives -> training -> export       trains and ships, on TensorFlow

    recipes, catalog    what a task is on the workstation, and the table of tasks
    commands, cli       one file a command
    config              YAML -> frozen models
    artifact            the folder of a run or a bundle
    errors              what a user can mend

Example:
    import textapp
    predictor = textapp.load("saved_models/sst2-cnn/exports/litert")
    predictor("a film to remember").label      # 'positive'
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from textapp.loading import load as load

__all__ = ["__version__", "load"]
__version__ = "0.1.0"


def __getattr__(name: str) -> Any:
    # `load` is found on first use, so that `import textapp` costs nothing.
    if name == "load":
        from textapp.loading import load

        return load
    raise AttributeError(f"module 'textapp' has no attribute '{name}'")
