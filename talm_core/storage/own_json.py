"""JSON of an artifact, which may come from anywhere: read in bounded memory, refused in words."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from talm_core.storage import artifact_files
from talm_core.storage.artifact_files import SMALL_BYTES

_MOST_VALUES = 2_000_000
"""Lists, objects and what stands in them; each takes some ten to a hundred bytes of memory."""


def read_json(path: Path, *, most: int = SMALL_BYTES) -> Any:
    """What an artifact's own file of at most `most` bytes says.

    Raises:
        OSError: as `artifact_files.read_bytes`.
        ValueError: it is no JSON, or more than any of talm's files has; in the user's words.
    """
    text = artifact_files.read_bytes(path, most=most)
    values = sum(map(text.count, (b",", b"[", b"{")))
    if values > _MOST_VALUES:
        raise ValueError(f"it has {values:,} values, talm writes at most {_MOST_VALUES:,}")
    try:
        return json.loads(text)
    except json.JSONDecodeError as error:
        raise ValueError(f"it is no JSON (line {error.lineno}, column {error.colno})") from None
    except UnicodeDecodeError as error:
        raise ValueError(f"it is no UTF-8 text (byte {error.start + 1:,})") from None
    except ValueError:
        raise ValueError("a number in it has thousands of digits") from None
    except RecursionError:
        raise ValueError("it is nested too deeply") from None
