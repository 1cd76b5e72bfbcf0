"""An artifact from the name somebody types, whatever kind it is."""

from __future__ import annotations

from talm_core.errors import ArtifactError, Problem, nearest
from talm_core.jobs.registry import artifact_kinds, artifact_of, spec_of
from talm_core.runtime.runner import status
from talm_core.storage.workspace import Artifact, Workspace


def full_name(artifact: Artifact) -> str:
    """The name that fits only this one: `models/nano`."""
    return f"{artifact_of(artifact.kind).folder}/{artifact.name}"


def resolve(
    workspace: Workspace, text: str, *, active: bool = False, whole: bool = True
) -> Artifact:
    """The artifact called `text`: `nano`, `stdlib/all`, `all`, or with its kind `models/nano`.

    One rule for a name that several kinds have, whatever the command: it is refused, and the full
    names are told, as long as it could mean several. A quick start stands for the parts of the same
    name, unless `whole` is False because they may be lost. With `active`, only what is being worked
    on can be meant, where anything is.

    Raises:
        ArtifactError: there is none (names the nearest), or several fit (names them).
    """
    found = fitting(workspace, text)
    if active and len(found) > 1:
        working = [item for item in found if status(item.directory).active]
        found = working or found
    if len(found) > 1 and whole:
        quick = [item for item in found if spec_of(item.kind).delegates]
        found = quick or found
    if len(found) == 1:
        return found[0]
    if found:
        names = ", ".join(map(full_name, found))
        raise ArtifactError(Problem("name", "fits several", text, f"say which: {names}"))
    known = {item.name for item in _everything(workspace)}
    raise ArtifactError(
        Problem("name", "there is nothing of that name", text, nearest(text, known))
    )


def _everything(workspace: Workspace) -> list[Artifact]:
    return [item for kind in artifact_kinds() for item in workspace.artifacts(kind)]


def fitting(workspace: Workspace, text: str) -> list[Artifact]:
    """Every artifact that `text` may mean."""
    everything = _everything(workspace)
    folder, _, rest = text.partition("/")
    kinds = [kind for kind, known in artifact_kinds().items() if folder in (kind, *known.said_as)]
    for chosen in (
        [item for item in everything if item.kind in kinds and item.name == rest],
        [item for item in everything if item.name == text],
        [
            item
            for item in everything
            if text in item.name.split("/")[: artifact_of(item.kind).parts]
        ],
    ):
        if chosen:
            return chosen
    return []
