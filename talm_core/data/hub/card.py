"""Which files a subset and a split consist of: what a dataset's card says, else what files are
called, as `datasets` understands both.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from talm_core.data.resume_state import HubFile
from talm_core.errors import CorpusError, Problem, nearest

Lister = Callable[[str], list[HubFile]]
"""All files in a folder of the dataset and below; "" is the whole of it."""

# Of names beyond these it is said how many there are.
_NAMES = 12


@dataclass(frozen=True, slots=True)
class Subset:
    """What the card calls a config: the folder it lies in, and the patterns of each split's files
    below that; without patterns the files' names say which split they belong to."""

    folder: str = ""
    splits: Mapping[str, Sequence[str]] | None = None

    def files(self, split: str, listed: Lister) -> list[HubFile]:
        """The files of a split, in the order in which `datasets` reads them; what there is where
        that is no parquet.

        Raises:
            CorpusError: there is no such split, or its files lie elsewhere.
        """
        if self.splits is None:
            every = _of_one_kind(listed(self.folder))
            if not is_parquet(every):
                return every
            by_name = _by_name(every, self.folder)
            return by_name[chosen("split", split, by_name)]
        patterns = self.splits[chosen("split", split, self.splits)]
        found: dict[str, HubFile] = {}
        for pattern in patterns:
            path = _inside(self.folder, pattern)
            for file in matching(listed(folder_of(path)), path):
                found[file.path] = file
        return _of_one_kind(list(found.values()))


@dataclass(frozen=True, slots=True)
class Card:
    """The subsets there are, in the card's order, and those that are its defaults."""

    subsets: Mapping[str, Subset]
    defaults: Sequence[str]

    def chosen(self, dataset: str, wanted: str | None) -> tuple[str, str]:
        """The subset that is meant, and what is to be said of it where nobody chose.

        Raises:
            CorpusError: there is no such subset, or the card names several as the default.
        """
        if wanted is not None:
            return chosen("subset", wanted, self.subsets), ""
        if len(self.defaults) > 1:
            message = f"{dataset} has several that are the default: {_named(self.defaults)}"
            raise CorpusError(Problem("subset", message, hint="choose one"))
        if self.defaults:
            return self.defaults[0], ""
        name = next(iter(self.subsets))
        return name, first_taken(dataset, self.subsets)


def first_taken(dataset: str, subsets: Iterable[str]) -> str:
    """What to say where the first subset is taken because none is the default."""
    names = list(subsets)
    return (
        f"{dataset} has the subsets {_named(names)}, and none is the default: {names[0]} is"
        " read; subset chooses another"
    )


def read_card(data: Any, dataset: str) -> Card:
    """What the metadata of a card say.

    Raises:
        CorpusError: they cannot be understood.
    """
    from datasets.data_files import sanitize_patterns
    from datasets.utils.metadata import MetadataConfigs

    try:
        data = dict(data or {})
        # Whatever else a config has, such as its features, is not needed and may be too new.
        kept = ("config_name", "data_dir", "data_files", "default")
        configs = data.get("configs") or []
        if isinstance(configs, list):
            configs = [{key: config[key] for key in kept if key in config} for config in configs]
        found = MetadataConfigs.from_dataset_card_data({"configs": configs})
        subsets = {}
        for name, config in found.items():
            files = config.get("data_files")
            splits = None if files is None else sanitize_patterns(files)
            subsets[str(name)] = Subset(_folder_name(config.get("data_dir")), splits)
        defaults = [
            str(name)
            for name, config in found.items()
            if len(found) == 1 or name == "default" or config.get("default")
        ]
        described = _described(data.get("dataset_info"))
        if not defaults and len(described) == 1 and described[0] in subsets:
            defaults = described
    except (ValueError, TypeError, AttributeError, KeyError) as error:
        why = " ".join(str(error).split())[:200]
        message = f"its card cannot be understood: {why}"
        raise CorpusError(Problem("dataset", message, dataset)) from None
    if not subsets:
        return Card({"default": Subset()}, ["default"])
    return Card(subsets, defaults)


def _described(infos: Any) -> list[str]:
    """The subsets whose columns and sizes the card describes: where it is only one, it is the
    default."""
    if isinstance(infos, dict):
        infos = [infos]
    return [str(info.get("config_name", "default")) for info in infos or []]


def _folder_name(data_dir: Any) -> str:
    parts = [part for part in str(data_dir or "").split("/") if part not in ("", ".")]
    return _inside("", "/".join(parts))


def _inside(folder: str, pattern: str) -> str:
    """A pattern of the card as a path in the dataset.

    Raises:
        CorpusError: it leads out of it.
    """
    plain = str(pattern).removeprefix("./").lstrip("/")
    if "://" in plain or "::" in plain or ".." in plain.split("/") or "\\" in plain:
        hint = "download them and use source text"
        raise CorpusError(Problem("dataset", "its card names files elsewhere", pattern, hint))
    return f"{folder}/{plain}" if folder else plain


def folder_of(pattern: str) -> str:
    """The folder that everything a pattern fits is in."""
    parts = pattern.split("/")[:-1]
    plain = next((n for n, part in enumerate(parts) if re.search(r"[*?\[{]", part)), len(parts))
    return "/".join(parts[:plain])


def matching(files: Iterable[HubFile], pattern: str) -> list[HubFile]:
    """The files that fit a pattern, by path. Hidden ones, and those in folders that begin with
    two underscores, only where the pattern says so."""
    from datasets.data_files import FILES_TO_IGNORE
    from fsspec.utils import glob_translate

    ignored = set(FILES_TO_IGNORE) - {pattern.rpartition("/")[2]}
    fits = re.compile(glob_translate(pattern)).match
    found = [
        file
        for file in files
        if fits(file.path)
        and file.path.rpartition("/")[2] not in ignored
        and _hidden(file.path) == _hidden(pattern)
    ]
    return sorted(found, key=lambda file: file.path)


def _hidden(path: str) -> tuple[int, int]:
    parts = path.split("/")
    dots = sum(part.startswith(".") and set(part) != {"."} for part in parts)
    return dots, sum(part.startswith("__") for part in parts[:-1])


def _by_name(files: Sequence[HubFile], folder: str) -> dict[str, list[HubFile]]:
    """Files by the split that their path names; all are for training where none does."""
    from datasets.data_files import ALL_DEFAULT_PATTERNS, ALL_SPLIT_PATTERNS

    for pattern in ALL_SPLIT_PATTERNS:
        named: dict[str, list[HubFile]] = {}
        shape = _inside(folder, pattern.replace("{split}", "*"))
        before, _, after = pattern.rpartition("/")[2].partition("{split}")
        for file in matching(files, shape):
            # What stands before and after the split's name is of a fixed form.
            name = file.path.rpartition("/")[2].removeprefix(before)
            split = name[: _tail(name, after)]
            named.setdefault(split, []).append(file)
        if named:
            return named
    for patterns in ALL_DEFAULT_PATTERNS:
        found: dict[str, dict[str, HubFile]] = {}
        for split, shapes in patterns.items():
            for shape in shapes:
                for file in matching(files, _inside(folder, shape)):
                    found.setdefault(str(split), {})[file.path] = file
        if found:
            return {split: list(some.values()) for split, some in found.items()}
    return {}


def _tail(name: str, after: str) -> int:
    """Where the part of a file's name begins that the pattern `after` fits."""
    from fsspec.utils import glob_translate

    fits = re.compile(glob_translate(after)).match
    return next(at for at in range(len(name) - 1, -1, -1) if fits(name[at:]))


def _of_one_kind(files: Sequence[HubFile]) -> list[HubFile]:
    """Those in the commonest format of data, parquet where two are as common."""
    count = Counter(kind for kind in map(_kind, files) if kind is not None)
    if not count:
        return []
    most = max(count, key=lambda kind: (count[kind], kind == "parquet", kind))
    return [file for file in files if _kind(file) == most]


def _kind(file: HubFile) -> str | None:
    """The format of a file by its name; None for what is no data."""
    from datasets.packaged_modules import _EXTENSION_TO_MODULE

    suffixes = ["." + part.lower() for part in file.path.rpartition("/")[2].split(".")[1:]]
    kinds = [
        _EXTENSION_TO_MODULE[suffix][0] for suffix in suffixes if suffix in _EXTENSION_TO_MODULE
    ]
    if kinds:
        return str(kinds[0])
    return "zip" if ".zip" in suffixes else None


def is_parquet(files: Iterable[HubFile]) -> bool:
    """Whether all of them are parquet files."""
    return all(file.path.endswith(".parquet") for file in files)


def chosen(key: str, wanted: str, known: Iterable[str]) -> str:
    """The subset or split of that name.

    Raises:
        CorpusError: there is none; says which there are.
    """
    names = list(known)
    if wanted not in names:
        raise CorpusError(Problem(key, f"there is no such {key}", wanted, nearest(wanted, names)))
    return wanted


def _named(names: Iterable[str]) -> str:
    names = list(names)
    more = f" and {len(names) - _NAMES} more" if len(names) > _NAMES else ""
    return ", ".join(names[:_NAMES]) + more
