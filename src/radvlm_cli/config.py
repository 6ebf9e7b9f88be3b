"""Settings: from options, else the environment, else `radvlm.toml` in the working folder; read once, passed on.

| setting | option | environment | radvlm.toml |
|---|---|---|---|
| folder of the datasets | --data-dir | DATA_DIR | data_dir |
| folder of files made by prepare | --derived-dir | RADVLM_DERIVED_DIR | derived_dir |
| the store | --store | RADVLM_STORE | store |
| the LLM provider keeps nothing | --confirm-zero-retention | RADVLM_CONFIRM_ZERO_RETENTION | confirm_zero_retention |
"""

from __future__ import annotations

import os
import tomllib
from pathlib import Path
from typing import NamedTuple

from radvlm_cli.errors import ConfigError, StoreError

FILE = Path("radvlm.toml")
_HINT = f"Mend or remove it: {FILE} in this folder"
_KEYS = {"data_dir": "DATA_DIR", "derived_dir": "RADVLM_DERIVED_DIR", "store": "RADVLM_STORE"}
_CONSENT = ("confirm_zero_retention", "RADVLM_CONFIRM_ZERO_RETENTION")


class Settings(NamedTuple):
    """Where things are."""

    data_dir: Path | None
    derived_dir: Path | None
    """The data folder itself unless set."""
    store: Path

    def data(self) -> Path:
        """The data folder; ConfigError if none was given."""
        if self.data_dir is None:
            raise ConfigError("No data folder is set.", "export DATA_DIR=PATH, or give --data-dir PATH")
        return self.data_dir

    def derived(self) -> Path:
        """The folder of derived files."""
        return self.derived_dir or self.data()


def load_settings(
    *, data_dir: Path | None = None, derived_dir: Path | None = None, store: Path | None = None
) -> Settings:
    """Settle the settings; arguments are the options given. The store defaults to radvlm.db in the data folder."""
    given = {"data_dir": data_dir, "derived_dir": derived_dir, "store": store}
    from_file = _read_file()
    found: dict[str, Path | None] = {}
    for key, variable in _KEYS.items():
        value = given[key] or os.environ.get(variable) or from_file.get(key)
        found[key] = Path(value).expanduser().absolute() if value else None
    home = found["data_dir"]
    place = found["store"] or (home / "radvlm.db" if home is not None and home.is_dir() else None)
    if place is None and home is not None:
        what = "is a file, not a folder" if home.exists() else "does not exist"
        raise ConfigError(f"The data folder {home} {what}.", "--data-dir PATH, or export DATA_DIR=PATH")
    if place is None:
        raise ConfigError("Neither a data folder nor a store is set.", "export DATA_DIR=PATH, or give --data-dir PATH")
    return Settings(home, found["derived_dir"], place)


def existing_settings(
    *, data_dir: Path | None = None, derived_dir: Path | None = None, store: Path | None = None
) -> Settings:
    """The settings, for a command that reads what others stored; StoreError if there is no store yet."""
    settings = load_settings(data_dir=data_dir, derived_dir=derived_dir, store=store)
    if not settings.store.exists():
        raise StoreError(f"There is no store at {settings.store}.", "radvlm prepare --source all --data-dir PATH")
    return settings


def configured_settings(*, data_dir: Path | None = None, store: Path | None = None) -> Settings | None:
    """The settings, for a command that can do without a store: None where nothing says where it is."""
    places = ("data_dir", "store")
    said = data_dir or store or any(os.environ.get(_KEYS[key]) for key in places) or _read_file().keys() & set(places)
    return load_settings(data_dir=data_dir, store=store) if said else None


def zero_retention_confirmed(option: bool) -> bool:
    """Whether the user confirmed, here or in a setting, that the LLM provider keeps nothing."""
    key, variable = _CONSENT
    said = os.environ.get(variable) or _read_file().get(key, "")
    if said.casefold() not in ("", "0", "1", "true", "false", "yes", "no"):
        raise ConfigError(f"{variable} or {key} is {said!r}, neither yes nor no.", f"export {variable}=1")
    return option or said.casefold() in ("1", "true", "yes")


def _read_file() -> dict[str, str]:
    if not FILE.is_file():
        return {}
    try:
        content = tomllib.loads(FILE.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"{FILE} is not valid TOML: {error}.", _HINT) from error
    known = (*_KEYS, _CONSENT[0])
    unknown = sorted(set(content) - set(known))
    if unknown:
        raise ConfigError(f"{FILE}: unknown setting {unknown[0]!r}; known are {', '.join(known)}.", _HINT)
    return {key: str(value) for key, value in content.items()}
