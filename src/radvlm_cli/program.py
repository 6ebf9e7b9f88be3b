"""The training program, which lies outside the package: where it is, and how to import from it."""

from __future__ import annotations

import importlib.util
import sys
from importlib.resources import files
from pathlib import Path

NAME = "finetuning"


def program_folder() -> Path:
    """The folder of the training program: inside an installed package, or at the top of a checkout."""
    package = Path(str(files("radvlm_cli")))
    installed = package / "programs" / NAME
    return installed if installed.is_dir() else package.parents[1] / NAME


def make_importable() -> None:
    """Let `import finetuning...` find the program; nothing else that lies beside it becomes importable.

    Pictures and turns reach a model in evaluation by the same code as in training.
    """
    if NAME in sys.modules:
        return
    folder = program_folder()
    spec = importlib.util.spec_from_file_location(
        NAME, folder / "__init__.py", submodule_search_locations=[str(folder)]
    )
    if spec is None or spec.loader is None:
        raise ImportError(f"The training program is not in {folder}.")
    module = importlib.util.module_from_spec(spec)
    sys.modules[NAME] = module
    try:
        spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[NAME]
        raise
