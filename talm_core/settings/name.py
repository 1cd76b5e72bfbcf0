"""Names of what there is or is going to be, as settings of several jobs ask for them."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from talm_core.settings.schema import Setting

Name = Annotated[str, Field(min_length=1, max_length=100)]
"""A new artifact's, as far as a field can tell; the rest is `talm_core.storage.workspace`."""

Model = Annotated[
    str,
    Field(min_length=1),
    Setting(
        "Model",
        "Model: a name in the workspace, NAME/CHECKPOINT, or a checkpoint directory.",
        positional=True,
        picks="model",
    ),
]
"""A model that is there."""
