"""Which files a card's subsets and splits are: the same as `datasets` itself finds in them."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import pytest

from talm_core.data.hub.card import read_card
from talm_core.data.resume_state import HubFile
from talm_core.errors import CorpusError

ID = "someone/some-thing"
NAMES = [
    "README.md", ".gitattributes", "dataset_infos.json",
    "en/train-0.parquet", "en/train-1.parquet", "en/test.parquet", "en/.hidden.parquet",
    "fr/data/b.parquet", "fr/data/a.parquet", "fr/dev/0.parquet", "fr/__old/c.parquet",
    "data/train-00000-of-00002.parquet", "data/train-00001-of-00002-ab12.parquet",
    "data/odd_one-00000-of-00001.parquet", "data/sub/validation/0.parquet",
    "contest/best.parquet", "x/valid.parquet", "x/evaluation-3.parquet", "x/training_2.parquet",
    "more/a.json", "more/b.json", "more/c.parquet",
]  # fmt: skip


def listed(names: list[str]) -> Any:
    def lister(folder: str) -> list[HubFile]:
        inside = f"{folder}/" if folder else ""
        return [HubFile(path=name, size=1) for name in names if name.startswith(inside)]

    return lister


def found(card: dict[str, Any], names: list[str], subset: str | None, split: str) -> list[str]:
    """The files by talm."""
    read = read_card(card, ID)
    name, _ = read.chosen(ID, subset)
    return [file.path for file in read.subsets[name].files(split, listed(names))]


def by_datasets(card: dict[str, Any], folder: Path) -> tuple[str | None, dict[str, Any]]:
    """The default subset, and the files by subset and split, as `datasets` resolves them in a
    folder that holds the same files."""
    from datasets import DownloadConfig
    from datasets.load import create_builder_configs_from_metadata_configs
    from datasets.utils.metadata import MetadataConfigs

    parquet = "datasets.packaged_modules.parquet.parquet"
    configs, default = create_builder_configs_from_metadata_configs(
        parquet, MetadataConfigs.from_dataset_card_data(card), base_path=str(folder)
    )
    resolved: dict[str, Any] = {}
    for config in configs:
        try:
            config._resolve_data_files(str(folder), DownloadConfig())
        except FileNotFoundError:
            resolved[config.name] = {}
            continue
        resolved[config.name] = {
            split: [Path(file).relative_to(folder).as_posix() for file in files]
            for split, files in config.data_files.items()
        }
    return default, resolved


def made(folder: Path, names: list[str]) -> Path:
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    return folder


PATTERNS = [
    "en/*.parquet", "en/**", "fr/**", "**/*.parquet", "fr/data/*.parquet", "data/train-*",
    "*/train*", "fr/__old/*", "en/.hidden.parquet", "x/valid.parquet", "x/[et]*.parquet",
    "./en/test.parquet", "data/sub/**",
]  # fmt: skip


def some_card(dice: random.Random) -> dict[str, Any]:
    configs = []
    for name in dice.sample(["en", "fr", "x", "more-2", "default"], dice.randint(1, 4)):
        config: dict[str, Any] = {"config_name": name}
        match dice.randrange(5):
            case 0:
                config["data_files"] = dice.choice(PATTERNS)
            case 1:
                config["data_files"] = dice.sample(PATTERNS, dice.randint(1, 3))
            case 2:
                splits = dice.sample(["train", "test", "validation", "odd_one"], 2)
                config["data_files"] = [
                    {"split": split, "path": dice.sample(PATTERNS, dice.randint(1, 3))}
                    for split in splits
                ]
            case 3:
                config["data_dir"] = dice.choice(["en", "fr", "data", "x", "data/sub"])
        if dice.random() < 0.2:
            config["data_dir"] = dice.choice(["en", "fr", "data", "x"])
        if dice.random() < 0.3:
            config["default"] = dice.choice([True, False])
        configs.append(config)
    return {"configs": configs}


@pytest.mark.parametrize("seed", range(12))
def test_subsets_and_splits_are_those_of_datasets(tmp_path: Path, seed: int) -> None:
    dice = random.Random(seed)
    names = [name for name in NAMES if not name.startswith("more/")]
    made(tmp_path, names)
    compared = 0
    for _ in range(20):
        card = some_card(dice)
        read = read_card(card, ID)
        try:
            default, resolved = by_datasets(card, tmp_path)
        except ValueError:
            with pytest.raises(CorpusError, match="several that are the default"):
                read.chosen(ID, None)
            continue
        name, said = read.chosen(ID, None)
        assert (name, said != "") == (default or next(iter(read.subsets)), default is None)
        assert list(read.subsets) == list(resolved)
        for subset, splits in resolved.items():
            for split, files in splits.items():
                # A file that two patterns fit is read once; what is no data is not read.
                once = [file for file in dict.fromkeys(files) if file.endswith(".parquet")]
                assert found(card, names, subset, split) == once, (card, subset, split)
                compared += 1
    assert compared > 20


@pytest.mark.parametrize("count", [1, 3, 5])
@pytest.mark.parametrize("seed", range(8))
def test_without_a_card_the_names_say_what_datasets_reads_in_them(
    tmp_path: Path, seed: int, count: int
) -> None:
    from datasets.data_files import DataFilesDict, get_data_patterns

    names = random.Random(seed * 31 + count).sample(
        [name for name in NAMES if name.endswith(".parquet") and "/." not in name], count
    )
    made(tmp_path, names)
    resolved = DataFilesDict.from_patterns(
        get_data_patterns(str(tmp_path)), base_path=str(tmp_path)
    )
    for split, files in resolved.items():
        paths = [Path(file).relative_to(tmp_path).as_posix() for file in files]
        assert found({}, names, None, str(split)) == list(dict.fromkeys(paths))


def test_the_commonest_format_is_read() -> None:
    assert found({}, NAMES[-3:], None, "train") == ["more/a.json", "more/b.json"]
    assert found({}, NAMES[-2:], None, "train") == ["more/c.parquet"]


TWO: dict[str, Any] = {
    "configs": [{"config_name": name, "data_dir": name} for name in ("en", "fr")]
}


def test_the_one_whose_columns_are_described_is_the_default() -> None:
    described = TWO | {"dataset_info": {"config_name": "fr", "features": []}}
    assert read_card(described, ID).chosen(ID, None) == ("fr", "")
    described = TWO | {"dataset_info": [{"config_name": "fr"}, {"config_name": "en"}]}
    assert read_card(described, ID).chosen(ID, None)[0] == "en"


def test_what_is_taken_without_a_default_is_said_with_what_there_is() -> None:
    said = (
        f"{ID} has the subsets en, fr, and none is the default: en is read; subset chooses another"
    )
    assert read_card(TWO, ID).chosen(ID, None) == ("en", said)
    assert read_card(TWO, ID).chosen(ID, "fr") == ("fr", "")
    many = {"configs": [{"config_name": f"c{n}", "data_dir": "en"} for n in range(15)]}
    assert "c10, c11 and 3 more, and none" in read_card(many, ID).chosen(ID, None)[1]


@pytest.mark.parametrize(
    ("configs", "said"),
    [
        ("en", "cannot be understood"),
        ([7], "cannot be understood"),
        ([{"data_files": "x"}], "cannot be understood"),
        ([{"config_name": "a", "data_files": 7}], "cannot be understood"),
        ([{"config_name": "a", "data_files": [{"split": 7, "path": "x"}]}], "cannot be understood"),
        ([{"config_name": "a", "data_files": "../other/*"}], "its card names files elsewhere"),
        ([{"config_name": "a", "data_files": "https://evil.example/x.parquet"}], "elsewhere"),
        ([{"config_name": "a", "data_dir": "../../etc"}], "its card names files elsewhere"),
        ([{"config_name": "a", "data_files": "x\\..\\y"}], "its card names files elsewhere"),
    ],
)
def test_a_card_that_makes_no_sense_is_said(configs: Any, said: str) -> None:
    with pytest.raises(CorpusError, match=said):
        found({"configs": configs}, NAMES, None, "train")
