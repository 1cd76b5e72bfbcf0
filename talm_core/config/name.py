"""What an artifact may be called, as far as a field can tell; the rest is `talm_core.workspace`."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

Name = Annotated[str, Field(min_length=1, max_length=100)]
