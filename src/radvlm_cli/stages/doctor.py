"""doctor: environment, data folders, store and keys, each with its state and what to do about it."""

from __future__ import annotations

import importlib.util
import os
import platform
import shutil
from collections.abc import Iterator, Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, Literal, NamedTuple

from radvlm_cli.errors import RadvlmError
from radvlm_cli.sources import SOURCES, Options
from radvlm_cli.sources.layout import Layout, locate
from radvlm_cli.store.engine import file_system
from radvlm_cli.store.migrate import newest_revision, revision_of

_CORE = ("pydicom", "pylibjpeg-openjpeg", "pylibjpeg-rle", "pyjpegls", "python-gdcm", "pillow", "pyarrow", "sqlmodel")
_MODELS = ("torch", "transformers", "accelerate", "deepspeed", "peft")
_KEYS = ("AZURE_OPENAI_API_KEY", "AZURE_OPENAI_ENDPOINT", "AZURE_API_VERSION", "OPENAI_API_KEY")


class Finding(NamedTuple):
    """One thing that was looked at."""

    mark: Literal["ok", "note", "bad"]
    what: str
    state: str
    remedy: str = ""


def examine(data_dir: Path | None, derived_dir: Path | None, store: Path) -> list[Finding]:
    """Look at everything; nothing is changed."""
    return [*_environment(), *_store(store), *_folders(data_dir, derived_dir), *_keys()]


def plan_prepare(sources: Sequence[str], data_dir: Path, derived_dir: Path, options: Options) -> list[dict[str, Any]]:
    """What `prepare` would read and convert, per source."""
    wanted = [name for name in SOURCES if "all" in sources or name in sources]
    plans = []
    for name in wanted:
        source = SOURCES[name]()
        layout = locate(source.info, data_dir, derived_dir)
        targets = [] if layout.absent or options.tables_only else list(source.conversions(layout, options))
        waiting = sum(1 for job in targets if not job.target.is_file())
        plans.append(
            {
                "source": name,
                "state": _state(layout),
                "reads": ", ".join(layout.relative(path) for path in layout.found.values()),
                "to convert": waiting,
                "converted": len(targets) - waiting,
            }
        )
    return plans


def _environment() -> Iterator[Finding]:
    yield Finding("ok", "Python", f"{platform.python_version()} on {platform.platform()}")
    for name in _CORE:
        try:
            yield Finding("ok", name, version(name))
        except PackageNotFoundError:
            yield Finding("bad", name, "not installed", "pip install radvlm")
    absent = [name for name in _MODELS if importlib.util.find_spec(name) is None]
    if absent:
        yield Finding(
            "note", "training and evaluation", f"{', '.join(absent)} not installed", "pip install 'radvlm[models]'"
        )
    else:
        yield Finding("ok", "training and evaluation", ", ".join(f"{name} {version(name)}" for name in _MODELS))


def _store(store: Path) -> Iterator[Finding]:
    kind = file_system(store.parent) or "unknown file system"
    free = shutil.disk_usage(store.parent).free / 1e9 if store.parent.is_dir() else 0.0
    if not store.exists():
        yield Finding(
            "note", "store", f"{store} does not exist yet ({kind}, {free:.0f} GB free)", "radvlm prepare makes it"
        )
        return
    try:
        revision = revision_of(store)
    except (RadvlmError, OSError) as error:
        yield Finding("bad", "store", str(error), getattr(error, "hint", None) or "")
        return
    newest = newest_revision()
    state = f"{store}, revision {revision}, {kind}, {free:.0f} GB free"
    if revision == newest:
        yield Finding("ok", "store", state)
    elif revision is None or revision < newest:
        yield Finding("note", "store", f"{state} (behind {newest})", "radvlm db upgrade")
    else:
        yield Finding("bad", "store", f"{state} (ahead of this radvlm, {newest})", "pip install --upgrade radvlm")


def _folders(data_dir: Path | None, derived_dir: Path | None) -> Iterator[Finding]:
    if data_dir is None or not data_dir.is_dir():
        yield Finding(
            "bad",
            "data folder",
            "not set" if data_dir is None else f"{data_dir} does not exist",
            "export DATA_DIR=PATH",
        )
        return
    yield Finding("ok", "data folder", str(data_dir))
    derived = derived_dir or data_dir
    writable = os.access(derived if derived.exists() else derived.parent, os.W_OK)
    yield Finding("ok" if writable else "bad", "derived folder", str(derived), "" if writable else "--derived-dir PATH")
    for name in SOURCES:
        yield from _source(locate(SOURCES[name]().info, data_dir, derived))


def _source(layout: Layout) -> Iterator[Finding]:
    info = layout.info
    obtain = f"{info.obtain} ({info.licence})"
    if not layout.folders:
        yield Finding("note", info.title, f"not there: no folder {' or '.join(info.folders[:3])}", obtain)
    elif layout.absent:
        names = "; ".join(f"{r.what} ({' or '.join(r.paths[:2])})" for r in layout.absent)
        yield Finding("bad", info.title, f"missing in {layout.home.name}: {names}", obtain)
    elif layout.missing:
        names = "; ".join(r.what for r in layout.missing)
        yield Finding("note", info.title, f"usable; without {names}", obtain)
    else:
        yield Finding("ok", info.title, f"complete ({layout.home.name})", f"radvlm prepare --source {info.name}")


def _state(layout: Layout) -> str:
    if not layout.folders:
        return "not there"
    return f"missing: {layout.absent[0].what}" if layout.absent else "ready"


def _keys() -> Iterator[Finding]:
    for name in _KEYS:
        yield Finding("ok" if os.environ.get(name) else "note", name, "set" if os.environ.get(name) else "not set")
