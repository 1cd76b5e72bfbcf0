"""Which files of a dataset belong to what was asked for, as the Hub last said it.

The answers are kept beside the blocks that were fetched, so that a network that is gone, or that
`HF_HUB_OFFLINE` forbids, leaves whatever is on this machine of use: another tokenizer can read
the same text, and another dataset can begin with it.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from talm_core.data.resume_state import Listing
from talm_core.data.sources import plain_name
from talm_core.storage.atomic import write_text


class _Answer(BaseModel):
    """A file of `listings/`: the question it answers, and the answer."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)

    version: Literal[1] = 1
    asked: dict[str, str]
    listing: Listing


class Listings:
    """The answers about one dataset, in `hub/<dataset>/listings/` of the downloads."""

    def __init__(self, corpora: Path, dataset: str) -> None:
        self._folder = corpora / "hub" / plain_name(dataset) / "listings"
        self._dataset = dataset

    def find(self, asked: Mapping[str, str | None]) -> Listing | None:
        """The last answer to a question; None where there is none, or none to be understood."""
        question = self._question(asked)
        try:
            answer = _Answer.model_validate_json(self._path(question).read_bytes())
        except (OSError, ValidationError):
            return None
        return answer.listing if answer.asked == question else None

    def keep(self, asked: Mapping[str, str | None], listing: Listing) -> None:
        """Remember an answer, in place of the one before."""
        question = self._question(asked)
        path = self._path(question)
        path.parent.mkdir(parents=True, exist_ok=True)
        write_text(path, _Answer(asked=question, listing=listing).model_dump_json(indent=2) + "\n")

    def _question(self, asked: Mapping[str, str | None]) -> dict[str, str]:
        """What was given of it, and of which dataset."""
        return {"dataset": self._dataset} | {key: text for key, text in asked.items() if text}

    def _path(self, question: dict[str, str]) -> Path:
        name = hashlib.sha256(json.dumps(question, sort_keys=True).encode()).hexdigest()[:16]
        return self._folder / f"{name}.json"
