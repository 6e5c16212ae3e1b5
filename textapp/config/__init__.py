"""One YAML is one run: read and checked against frozen models.

A field whose default is `None` depends on the task, the data or the architecture: defaults fills it. Nothing outside
this package reads YAML keys by name.
"""

from textapp.config.data import NAMES, Columns, Data, ParallelFiles
from textapp.config.model import (
    CnnModel,
    LstmModel,
    MlpModel,
    ModelConfig,
    PresetModel,
    TransformerModel,
)
from textapp.config.parts import Model
from textapp.config.reading import data_directory, differing_key, load_config, parse_config, save_config
from textapp.config.run import Config, TokenizerConfig, Training
from textapp.config.tasks import columns_of

__all__ = [
    "NAMES", "CnnModel", "Columns", "Config", "Data", "LstmModel", "MlpModel", "Model", "ModelConfig", "ParallelFiles",
    "PresetModel", "TokenizerConfig", "Training", "TransformerModel", "columns_of", "data_directory", "differing_key",
    "load_config", "parse_config", "save_config",
]  # fmt: skip
