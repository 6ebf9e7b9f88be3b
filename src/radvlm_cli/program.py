"""How radvlm is installed: where its training program is, which lies outside the package, and what else it can have.

The training program is found in a checkout, an installed package, and the single file (docs/binary.md) once that has
unpacked itself into an environment of its own.
"""

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


def in_single_file() -> bool:
    """Whether this is the single file: pex describes it in the environment that it unpacks to."""
    return Path(sys.prefix, "PEX-INFO").is_file()


def how_to_get_models() -> str:
    """The command after which torch and its like are there, for a hint."""
    if not in_single_file():
        return "pip install 'radvlm[models]'"
    version = f"{sys.version_info.major}.{sys.version_info.minor}"
    return (
        f"export PEX_EXTRA_SYS_PATH=ENV/lib/python{version}/site-packages"
        f"  # ENV: an environment of Python {version} with what radvlm[models] asks for; see docs/binary.md"
    )
