"""What `pip install .` brings: the half that answers without TensorFlow; training is an extra."""

import re
from pathlib import Path

from setuptools import find_packages, setup

HERE = Path(__file__).parent
VERSION = re.search(r'^__version__ = "(.+)"$', (HERE / "textapp" / "__init__.py").read_text(encoding="utf-8"), re.M)[1]

EVALUATE = ["scikit-learn>=1.4", "matplotlib>=3.8", "sacrebleu>=2.4", "rouge-score>=0.1.2"]
RETRIEVAL = ["bm25s>=0.3.16,<0.4"]
OPTIMIZE = ["optuna>=5.0,<6"]  # the order of a search, and its journal
CHAT = ["jinja2>=3.1.6,<4"]  # chat templates are programs in Jinja
CONSTRAINTS = ["llguidance>=1.9,<2"]  # answers in the form of a regular expression or a JSON schema
TRAIN = [
    "tensorflow>=2.21,<2.22",
    "keras>=3.15,<4",
    "keras-nlp>=0.32,<0.33",  # installs KerasHub
    "tensorflow-text>=2.21,<2.22",
    "tensorflow-model-optimization>=0.8,<0.9",
    "tf_keras>=2.21,<2.22",
    "ml_dtypes>=0.5.1",
    "safetensors>=0.4",
    "tensorboard>=2.20",
    "ai-edge-litert>=2.1",  # an export is checked in the interpreter that will run it
    *EVALUATE,
    *RETRIEVAL,
    *CHAT,
    *CONSTRAINTS,
    *OPTIMIZE,
]
DEV = ["pytest>=8", "pytest-xdist>=3.5", "hypothesis>=6.100", "ruff>=0.9", "import-linter>=2.1", "mypy>=2"]

setup(
    name="textapp",
    version=VERSION,
    description="From a file of text examples to a small, fast model that answers on a device",
    long_description=(HERE / "README.md").read_text(encoding="utf-8") if (HERE / "README.md").is_file() else "",
    long_description_content_type="text/markdown",
    license="MIT",
    python_requires=">=3.10",  # tried on 3.11
    # the demo runs from a checkout: `make demo`
    packages=find_packages(include=["textapp", "textapp.*"], exclude=["textapp.demo", "textapp.demo.*"]),
    package_data={"textapp": ["py.typed", "report/style.css"]},
    install_requires=[
        "numpy>=1.26",
        "sentencepiece>=0.2.3",
        "tokenizers>=0.20",
        "pydantic>=2.7",
        "pyyaml>=6.0",
        "langcodes>=3.5",
        "typer>=0.12",
        "rich>=13.7",
    ],
    extras_require={
        "litert": ["ai-edge-litert>=2.1"],
        # its wheels end at Python 3.11 and were built against numpy 1
        "tflite-runtime": ["tflite-runtime==2.14.0; python_version < '3.12'", "numpy<2"],
        # the graphs in a file are also run by LiteRT; 0.18.1 is what exports were verified with
        "litert-lm": ["litert-lm-builder>=0.18.1,<0.19", "litert-lm-api>=0.18.1,<0.19", "ai-edge-litert>=2.1"],
        "gguf": ["gguf>=0.17", "protobuf>=4"],  # presets in GGUF files; their SentencePiece models are rebuilt
        "evaluate": EVALUATE,
        "retrieval": RETRIEVAL,
        "chat": CHAT,
        "constraints": CONSTRAINTS,
        "optimize": OPTIMIZE,
        # data by URL; other protocols of fsspec name the package that they need
        "remote": ["fsspec>=2026.2", "aiohttp>=3.10", "s3fs>=2026.2", "gcsfs>=2026.2"],
        # where `predict --runner` answers files; both need no TensorFlow
        "beam": ["apache-beam>=2.70,<3", "ai-edge-litert>=2.1"],
        "ray": ["ray[data]>=2.50,<3", "ai-edge-litert>=2.1"],
        "train": TRAIN,
        "dev": DEV,
    },
    entry_points={"console_scripts": ["textapp=textapp.__main__:main"]},
)
