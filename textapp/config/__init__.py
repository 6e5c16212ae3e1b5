"""The config of a run: a YAML file, validated by frozen pydantic models.

A field whose default is `None` depends on the task, the data or the architecture; the recipe fills it in. Nothing
outside this package reads YAML keys by name.
"""

from textapp.config.data import Data, ParallelFiles
from textapp.config.model import (
    Architecture,
    CnnModel,
    Corpus,
    LstmModel,
    MlpModel,
    ModelConfig,
    PresetModel,
    Role,
    TransformerModel,
    architectures,
)
from textapp.config.parts import Model
from textapp.config.reading import (
    data_directory,
    differing_entry,
    differing_key,
    load_config,
    parse_config,
    save_config,
)
from textapp.config.run import Config, TokenizerConfig, Training
from textapp.config.tasks import Known, TaskKeys, same_column

__all__ = [
    "Architecture", "CnnModel", "Config", "Corpus", "Data", "Known", "LstmModel", "MlpModel", "Model",
    "ModelConfig", "ParallelFiles", "PresetModel", "Role", "TaskKeys", "TokenizerConfig", "Training",
    "TransformerModel", "architectures", "data_directory", "differing_entry", "differing_key",
    "load_config", "parse_config", "same_column", "save_config",
]  # fmt: skip
