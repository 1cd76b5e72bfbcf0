"""The id of a dataset on the Hugging Face Hub."""

from __future__ import annotations

import re

from talm_core.errors import Problem


def is_dataset(text: str) -> bool:
    """Whether a text is the id of a dataset."""
    return _DATASET_ID.fullmatch(text) is not None


def dataset_problems(key: str, dataset: str | None) -> list[Problem]:
    """What is wrong with the dataset that a setting `key` of the value hub needs."""
    if dataset is None:
        return [Problem("dataset", f"{key} hub needs the id of a dataset")]
    if not is_dataset(dataset):
        message = "must be the id of a dataset, such as roneneldan/TinyStories"
        return [Problem("dataset", message, dataset)]
    return []


# An owner and a name, or the name alone of the Hub's first datasets; no dots that lead elsewhere.
_DATASET_ID = re.compile(r"(?:(?!\.)[\w.-]*\w/)?(?!\.)[\w.-]*\w", re.ASCII)
