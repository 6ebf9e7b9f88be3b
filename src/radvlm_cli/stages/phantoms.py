"""Is a store about phantoms alone? Then its pages are for everybody."""

from __future__ import annotations

from pathlib import Path

from radvlm_cli.demo.mark import is_world
from radvlm_cli.sources import SOURCES
from radvlm_cli.store.snapshot import Snapshot


def only_phantoms(store: Snapshot, data_dir: Path | None, derived_dir: Path | None = None) -> bool:
    """Whether the data folder is a demo's world, made by this program, and all pictures of the store are of it.

    The world may have moved since: then a picture is not where it was, and is there under its name. False in doubt.
    """
    if data_dir is None or not is_world(data_dir):
        return False
    roots = {"data": data_dir, "derived": derived_dir or data_dir}
    samples = _outside(
        store, "test_sample s LEFT JOIN image i ON i.id = s.image_id", "s.path, i.root, i.path", data_dir
    )
    if not all(_moved(path, roots.get(root), name) for path, root, name in samples):
        return False
    if _outside(store, "chat_turn s", "s.image", data_dir):
        return False
    for source in SOURCES:
        path = store.value(
            "SELECT path FROM image WHERE source = ? AND root = 'data' AND status = 'present' LIMIT 1", (source,)
        )
        if path is not None and not (data_dir / path).is_file():
            return False
    return True


def _outside(store: Snapshot, table: str, columns: str, folder: Path) -> list[tuple[str, ...]]:
    """Rows whose path, the first column, is not plainly in the folder, under its own address or that of a link."""
    path = columns.partition(",")[0]
    inside = [part for each in (folder.absolute(), folder.resolve()) for part in (len(f"{each}/"), f"{each}/")]
    return store.all(
        f"SELECT {columns} FROM {table} WHERE substr({path}, 1, ?) <> ? AND substr({path}, 1, ?) <> ? "
        f"OR instr({path}, '/../')",
        inside,
    )


def _moved(path: str, root: Path | None, name: str | None) -> bool:
    if root is None or name is None or not path.endswith(f"/{name}"):
        return False
    return not Path(path).exists() and (root / name).is_file()
