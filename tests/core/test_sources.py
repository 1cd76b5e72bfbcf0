from __future__ import annotations

from typing import Any

import pytest

from talm_core.data.sources import SOURCES
from talm_core.errors import ConfigError
from talm_core.jobs.dataset.config import DataConfig
from talm_core.settings.schema import build
from talm_core.storage.workspace import Workspace


@pytest.mark.parametrize(
    ("values", "name"),
    [
        ({}, "stdlib/all"),
        ({"source": "fineweb"}, "fineweb/sample-10BT"),
        ({"source": "fineweb-edu", "ds_sample": "sample-350BT"}, "fineweb-edu/sample-350BT"),
        ({"source": "smol"}, "smol/cosmopedia-v2"),
        ({"source": "smol", "ds_sample": "fineweb-edu"}, "smol/fineweb-edu-dedup"),
        ({"source": "tinystories", "dir_prefix": "x"}, "tinystories/x_all"),
        ({"source": "hub", "dataset": "a/b.c"}, "hub/a--b.c"),
        ({"source": "hub", "dataset": "gpl"}, "hub/gpl"),
        (
            {"source": "hub", "dataset": "a/b", "subset": "../../x y", "split": "test"},
            "hub/a--b--..--..--x-y--test",
        ),
        ({"source": "hub", "dataset": "a/b", "ds_sample": "mine"}, "hub/mine"),
    ],
)
def test_a_dataset_is_named_after_its_source_and_sample(values: dict[str, Any], name: str) -> None:
    config = build(DataConfig, values)
    assert config.artifact == name
    Workspace("/w").directory_of(config)


@pytest.mark.parametrize("dataset", ["../a", "a/../b", "a/b/c", "/a", "a/", ".a/b", "a/b\n", "a b"])
def test_a_dataset_that_leads_elsewhere_is_refused(dataset: str) -> None:
    with pytest.raises(ConfigError, match="must be the id of a dataset"):
        build(DataConfig, {"source": "hub", "dataset": dataset})


def test_settings_of_other_sources_are_refused() -> None:
    with pytest.raises(ConfigError) as caught:
        build(DataConfig, {"source": "fineweb", "dataset": "a/b", "split": "x", "path": ["t"]})
    assert {problem.key: problem.hint for problem in caught.value.problems} == {
        "path": "use source text",
        "dataset": "use source hub",
        "split": "use source hub",
    }
    with pytest.raises(ConfigError, match="did you mean 'sample-10BT'"):
        build(DataConfig, {"source": "fineweb", "ds_sample": "sample-10B"})
    with pytest.raises(ConfigError, match="needs the id of a dataset"):
        build(DataConfig, {"source": "hub"})
    with pytest.raises(ConfigError, match="val_tokens = 10: must be below max_tokens"):
        build(DataConfig, {"val_tokens": 10, "max_tokens": 10})


def test_sources_have_sizes_only_where_they_are_known() -> None:
    fineweb = SOURCES["fineweb"].samples
    assert [sample.tokens for sample in fineweb] == [10**10, 10**11, 35 * 10**10]
    assert [sample.download_bytes for sample in fineweb] == [30_700_000_000, None, None]
    assert fineweb[1].likely_text_bytes == 44 * 10**10
    assert SOURCES["tiny-shakespeare"].samples[0].likely_text_bytes == 1_115_394
    assert SOURCES["stdlib"].samples[0].likely_text_bytes is None
