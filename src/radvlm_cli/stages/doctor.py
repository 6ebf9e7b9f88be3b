"""doctor: environment, data folders, store and keys, each with its state and what to do about it."""

from __future__ import annotations

import os
import platform
import shlex
import shutil
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, Literal, NamedTuple

from radvlm_cli.errors import DataError, RadvlmError
from radvlm_cli.program import how_to_get_models
from radvlm_cli.sources import SOURCES, Options
from radvlm_cli.sources.layout import Info, Layout, Requirement, locate
from radvlm_cli.store.engine import file_system
from radvlm_cli.store.revisions import newest_revision, revision_of

_CORE = ("pydicom", "pylibjpeg-openjpeg", "pylibjpeg-rle", "pyjpegls", "python-gdcm", "pillow", "pyarrow", "sqlmodel")
_SERVE = ("datasette", "uvicorn")
_MODELS = ("torch", "transformers", "accelerate", "deepspeed", "peft")
_KEYS = ("AZURE_OPENAI_API_KEY", "AZURE_OPENAI_ENDPOINT", "AZURE_API_VERSION", "OPENAI_API_KEY")


class Finding(NamedTuple):
    """One thing that was looked at."""

    mark: Literal["ok", "note", "bad"]
    what: str
    state: str
    remedy: str = ""


def examine(data_dir: Path | None, derived_dir: Path | None, store: Path | None) -> list[Finding]:
    """Look at everything that is set; nothing is changed."""
    findings = [*_environment(), *_keys()]
    if store is not None:
        findings += _store(store)
    if data_dir is not None:
        findings += _folders(data_dir, derived_dir or data_dir, _prepared(store) if store is not None else set())
    return findings


def require_datasets(sources: Sequence[str], data_dir: Path) -> None:
    """Raise DataError where `prepare` would find nothing to do below `data_dir`, or not all that was asked for."""
    if not data_dir.is_dir():
        what = "is not a folder" if data_dir.exists() else "does not exist"
        raise DataError(f"The data folder {data_dir} {what}.", "--data-dir PATH, or export DATA_DIR=PATH")
    names = [name for name in SOURCES if "all" in sources or name in sources]
    layouts = [locate(SOURCES[name]().info, data_dir) for name in names]
    if not all(layout.absent for layout in layouts) and "all" in sources:
        return
    if all(layout.absent for layout in layouts):
        _refuse_own_folder(data_dir, sources)
    if "all" in sources:
        raise DataError(
            f"No dataset was found in {data_dir}.", f"radvlm doctor --data-dir {shlex.quote(str(data_dir))}"
        )
    for layout in layouts:
        layout.require()


def _refuse_own_folder(data_dir: Path, sources: Sequence[str]) -> None:
    own = _dataset_of(data_dir)
    if own is not None:
        words = ["radvlm", "prepare", *(w for name in sources for w in ("--source", name)), "--data-dir"]
        raise DataError(
            f"{data_dir} is the folder of {own.title} itself; the data folder is the one that holds it.",
            shlex.join([*words, str(data_dir.parent)]),
        )


def _dataset_of(folder: Path) -> Info | None:
    """The dataset whose own folder this is, by its name and its files."""
    for make in SOURCES.values():
        info = make().info
        if folder.name.casefold() in map(str.casefold, info.folders) and not locate(info, folder.parent).absent:
            return info
    return None


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
                "to convert": waiting,
                "converted": len(targets) - waiting,
                "reads": ", ".join(os.path.normpath(layout.relative(path)) for path in layout.found.values()),
            }
        )
    return plans


def _environment() -> Iterator[Finding]:
    yield Finding("ok", "Python", f"{platform.python_version()} on {platform.system()} {platform.machine()}")
    yield _packages("packages", _CORE, "bad", "pip install -c constraints.txt .")
    yield _packages("training, evaluation", _MODELS, "note", how_to_get_models())
    yield _packages("serving", _SERVE, "note", "pip install -c constraints.txt '.[serve]'")


def _packages(what: str, names: Sequence[str], mark: Literal["note", "bad"], remedy: str) -> Finding:
    absent = []
    present = []
    for name in names:
        try:
            present.append(f"{name} {version(name)}")
        except PackageNotFoundError:
            absent.append(name)
    if absent:
        return Finding(mark, what, f"not installed: {', '.join(absent)}", remedy)
    return Finding("ok", what, ", ".join(present))


def _store(store: Path) -> Iterator[Finding]:
    kind = file_system(store.parent) or "unknown file system"
    free = shutil.disk_usage(store.parent).free / 1e9 if store.parent.is_dir() else 0.0
    if not store.exists():
        yield Finding("note", "store", f"{store} does not exist yet; prepare makes it ({kind}, {free:.0f} GB free)")
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
        yield Finding(
            "bad", "store", f"{state} (ahead of this radvlm, {newest})", "use the radvlm that wrote it, or a newer one"
        )


def _prepared(store: Path) -> set[str]:
    """The sources that a store of this radvlm's revision holds."""
    try:
        if revision_of(store) != newest_revision():
            return set()
        with closing(sqlite3.connect(f"{store.as_uri()}?mode=ro", uri=True)) as connection:
            return {name for (name,) in connection.execute("SELECT DISTINCT subject FROM step")}
    except (RadvlmError, OSError, sqlite3.Error):
        return set()  # what is wrong with it is told of the store


def _folders(data_dir: Path, derived_dir: Path, prepared: set[str]) -> Iterator[Finding]:
    if not data_dir.is_dir():
        yield Finding("bad", "data folder", f"there is no folder {data_dir}", "export DATA_DIR=PATH")
        return
    own = _dataset_of(data_dir)
    if own is None:
        yield Finding("ok", "data folder", str(data_dir))
    else:
        state = f"{data_dir} is the folder of {own.title} itself, not the one that holds it"
        yield Finding("bad", "data folder", state, f"export DATA_DIR={shlex.quote(str(data_dir.parent))}")
    writable = os.access(derived_dir if derived_dir.exists() else derived_dir.parent, os.W_OK)
    state = str(derived_dir) if writable else f"{derived_dir} cannot be written to"
    yield Finding("ok" if writable else "bad", "derived folder", state, "" if writable else "give --derived-dir PATH")
    layouts = {name: locate(make().info, data_dir, derived_dir) for name, make in SOURCES.items()}
    usable = prepared | {name for name, layout in layouts.items() if not layout.absent}
    for name, layout in layouts.items():
        yield _source(layout, name in prepared, [n for n in layout.info.needs if n not in usable])


def _source(layout: Layout, prepared: bool, waits_for: Sequence[str]) -> Finding:
    """`waits_for`: sources that must be prepared first and are not there."""
    info = layout.info
    obtain = f"{info.obtain}; {info.licence}"
    if not layout.folders:
        return Finding("note", info.title, f"not there: no folder {' or '.join(info.folders[:3])}", obtain)
    needed = [requirement for requirement in info.requirements if requirement.needed]
    if len(layout.absent) == len(needed) and _is_shared(layout):
        return Finding("note", info.title, f"not there: {_listed(layout.absent)} is not in {layout.home.name}", obtain)
    if layout.absent:
        return Finding("bad", info.title, f"missing in {layout.home.name}: {_listed(layout.absent)}", obtain)
    if waits_for:
        state = f"complete in {layout.home.name}, but of no use without {' and '.join(waits_for)}"
        return Finding("bad", info.title, state, f"obtain {' and '.join(waits_for)} as well")
    state = f"in {layout.home.name}" + (", prepared" if prepared else "")
    if layout.missing:
        return Finding("note", info.title, f"usable {state}; without {_listed(layout.missing)}", obtain)
    remedy = "" if prepared else f"radvlm prepare --source {info.name}"
    return Finding("ok", info.title, f"complete {state}", remedy)


def _listed(requirements: Sequence[Requirement]) -> str:
    """Each with where it should be."""
    return "; ".join(f"{r.what} ({' or '.join(r.paths[:2])})" for r in requirements)


def _is_shared(layout: Layout) -> bool:
    """Whether another dataset may lie in the same folder: that it is there says nothing of this one."""
    others = (make().info for name, make in SOURCES.items() if name != layout.info.name)
    return any(layout.home.name.casefold() in map(str.casefold, other.folders) for other in others)


def _state(layout: Layout) -> str:
    if not layout.folders:
        return "not there"
    return f"missing: {layout.absent[0].what}" if layout.absent else "ready"


def _keys() -> Iterator[Finding]:
    present = [name for name in _KEYS if os.environ.get(name)]
    if present:
        yield Finding("ok", "keys", f"set: {', '.join(present)}")
    else:
        yield Finding("note", "keys", f"none set; prepare and build need none ({', '.join(_KEYS)})")
