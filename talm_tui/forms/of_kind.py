"""The form of a kind of job that has no place of its own, made of its settings alone."""

from __future__ import annotations

from functools import cache, partial
from pathlib import Path

from talm_core.jobs.registry import artifact_of, spec_of
from talm_core.jobs.spec import JobSpec, load
from talm_core.storage.workspace import Artifact
from talm_tui.forms.glimpse import Cancelled, Seen
from talm_tui.forms.names import free
from talm_tui.forms.screen import FormPlace
from talm_tui.services.clients import ask


def screen_of(kind: str) -> type[FormPlace]:
    """The place of a kind."""
    return _screen(spec_of(kind))


class KindPlace(FormPlace, declares=False):
    """What the places of such kinds have in common. Once started, a job is watched in Runs."""

    SHOWS_JOBS = False

    def propose(self) -> None:
        taken = {overview.name for overview in self.overviews()}
        self.state.fill(self.NAME_KEY, free(self.MODEL.kind, taken))

    def started(self, artifact: Artifact) -> None:
        """Watch it in the place for runs."""
        self.judge()
        self.talm.open_run(artifact)


@cache
def _screen(spec: JobSpec) -> type[FormPlace]:
    model, artifact = load(spec.config), artifact_of(spec.kind)
    empty = f"What {spec.command} has made last stands here."
    parts = {
        "MODEL": model,
        "NAME_KEY": artifact.name_key,
        "ABOUT": spec.commands[0].help,
        "THERE": (f"{artifact.title} so far", "None yet."),
        "GLIMPSE": (partial(_shown, artifact.folder), "{name}", "", empty),
        "__doc__": f"The form of {artifact.noun}s.",
    }
    return type(f"{model.__name__}Place", (KindPlace,), parts)


def _shown(folder: str, workspace: Path, name: str, cancelled: Cancelled) -> Seen | None:
    """An artifact, as `talm show` tells it."""
    said = ask(workspace, "show", f"{folder}/{name}", cancelled=cancelled)
    return None if said is None else Seen(text=said.text, problem=said.problem)
