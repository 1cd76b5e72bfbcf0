"""`talm list` and `talm show`: what there is."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from talm_core.cli.call import DONE, Call
from talm_core.errors import ArtifactError, Problem
from talm_core.jobs.registry import artifact_kinds, artifact_of, spec_of, specs
from talm_core.jobs.spec import JobSpec, load
from talm_core.runtime import render
from talm_core.runtime.artifacts import fitting, full_name, resolve
from talm_core.runtime.events import Evaluated, Sampled
from talm_core.runtime.history import History
from talm_core.runtime.overview import Overview, Overviews
from talm_core.runtime.runner import Status
from talm_core.settings.schema import settings_of
from talm_core.storage import artifact_files, unfinished
from talm_core.storage.workspace import Artifact
from talm_core.training.checkpoint import checkpoints

_MOST_DOCUMENTS = 1_000


def list_artifacts(call: Call) -> int:
    """A table of everything in the workspace, or of some kinds; with --json one object a line."""
    kinds, problems = _kinds(call.given.values.get("kind", ()))
    call.require(problems)
    unfinished.sweep(call.workspace.root)
    overviews = Overviews(call.workspace)
    by_kind = {kind: overviews.all(kind) for kind in kinds}
    if call.as_json:
        for overview in (item for items in by_kind.values() for item in items):
            call.say(json.dumps(_plain(overview)))
        return DONE
    if not any(by_kind.values()):
        what = "Nothing"
        if len(kinds) < len(artifact_kinds()):
            what = f"No {' or '.join(artifact_of(kind).title.lower() for kind in kinds)}"
        call.say(f"{what} yet in {call.workspace.root}")
        call.say(f"Begin with: {call.command_line('quickstart')}")
        return DONE
    blocks = [_block(artifact_of(kind).title, items) for kind, items in by_kind.items() if items]
    call.say("\n\n".join(blocks))
    return DONE


def _kinds(words: Sequence[str]) -> tuple[list[str], list[Problem]]:
    """The kinds that words such as `models` mean, all without any; and words that mean none."""
    known = {
        word: kind
        for kind, artifact in artifact_kinds().items()
        for word in (kind, *artifact.said_as, f"{artifact.noun}s", artifact.title.lower())
    }
    folders = [artifact.folder for artifact in artifact_kinds().values()]
    problems = [
        Problem("kind", f"must be one of {', '.join(folders)}", word)
        for word in words
        if word.lower() not in known
    ]
    chosen = [known[word.lower()] for word in words if word.lower() in known]
    return list(dict.fromkeys(chosen)) or list(artifact_kinds()), problems


def _block(title: str, items: Sequence[Overview]) -> str:
    rows = [
        (
            render.one_line(item.name, 48),
            f"{item.status.glyph} {item.status}",
            "  ".join(_figures(item)),
            age(item.updated),
        )
        for item in items
    ]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = [
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in rows
    ]
    return "\n".join([title, *(f"  {line}" for line in lines)])


def _figures(item: Overview) -> Iterator[str]:
    """The few numbers that tell artifacts of one kind apart."""
    hook = spec_of(item.artifact.kind).figures
    if hook:
        yield from load(hook)(item)
    if item.val_loss is not None and item.bits_per_byte is not None:
        yield f"val loss {item.val_loss:.3f}"
        yield f"{item.bits_per_byte:.3f} bits per byte"
    if item.status.active and item.fraction is not None:
        yield f"{item.fraction:.0%}"
    if item.status in (Status.FAILED, Status.DAMAGED):
        yield render.one_line(item.message, 60)


def age(moment: float) -> str:
    """How long ago something was, in one unit; empty when it is not known."""
    if moment <= 0:
        return ""
    seconds = max(0.0, time.time() - moment)
    for size, unit in ((86_400, "d"), (3_600, "h"), (60, "min")):
        if seconds >= size:
            return f"{seconds / size:.0f} {unit} ago"
    return "now" if seconds < 5 else f"{seconds:.0f} s ago"


def _plain(item: Overview) -> dict[str, Any]:
    metrics = item.metrics
    return {
        "kind": item.artifact.kind,
        "name": item.name,
        "status": str(item.status),
        "directory": str(item.artifact.directory),
        "step": metrics.step if metrics else None,
        "max_steps": metrics.max_steps if metrics else None,
        "loss": _finite(metrics.loss) if metrics else None,
        "val_loss": _finite(item.val_loss),
        "bits_per_byte": _finite(item.bits_per_byte),
        "fraction": item.fraction,
        "eta": item.eta,
        "updated": item.updated or None,
        "message": item.message,
        "summary": dict(item.summary),
    }


def _finite(value: float | None) -> float | None:
    return value if value is not None and abs(value) < float("inf") else None


# --- one artifact ----------------------------------------------------------------------------


def show(call: Call) -> int:
    """Everything that is known of one artifact."""
    given = call.given
    name = given.text("name")
    missing = [Problem("name", "must be given: which one")] if name is None else []
    count, problems = given.number("documents", least=1, most=_MOST_DOCUMENTS, default=0)
    seed, seed_problems = given.number("seed", least=0, most=2**63 - 1, default=1337)
    if given.text("seed") is not None and given.text("documents") is None:
        seed_problems = [Problem("seed", "only chooses documents", hint="add --documents")]
    call.require([*missing, *problems, *seed_problems])
    shipped = _shipped(str(name))
    if shipped is not None and not count:
        _require_alone(call, str(name), *shipped)
        return _show_shipped(call, *shipped)
    artifact = resolve(call.workspace, str(name))
    if count:
        return _show_documents(call, artifact, count, seed)
    overviews = Overviews(call.workspace, whole=(Evaluated, Sampled))
    item = overviews.of(artifact)
    history = overviews.history(artifact)
    if call.as_json:
        call.say(json.dumps(_all_of(item, history)))
    else:
        call.say("\n".join(_page(item, history)))
    return DONE


def _shipped(text: str) -> tuple[JobSpec, str] | None:
    """What ships with talm, and is no artifact of the workspace, by its name or `kind/name`."""
    folder, _, name = text.rpartition("/")
    for spec in specs():
        known = spec.artifact
        if known is not None and name in known.reserved and folder in ("", *known.said_as):
            return spec, name
    return None


def _require_alone(call: Call, text: str, spec: JobSpec, name: str) -> None:
    """Refuse a name that ships with talm and that something in the workspace has as well."""
    ours = f"{artifact_of(spec.kind).folder}/{name}"
    others = [full_name(item) for item in fitting(call.workspace, text)]
    if others and text != ours:
        hint = f"say which: {', '.join([ours, *others])}"
        raise ArtifactError(Problem("name", "fits several", text, hint))


def _show_shipped(call: Call, spec: JobSpec, name: str) -> int:
    lines, facts = load(spec.shipped)(name)
    if call.as_json:
        call.say(json.dumps({"kind": spec.kind, "name": name, **facts}))
    else:
        folder = artifact_of(spec.kind).folder
        call.say("\n".join([f"{folder}/{name}  ships with talm", *lines]))
    return DONE


def _show_documents(call: Call, artifact: Artifact, count: int, seed: int) -> int:
    """Documents of a dataset, drawn at random; with --json one object a line."""
    hook = spec_of(artifact.kind).documents
    if not hook:
        message = f"only datasets have documents, {full_name(artifact)} is none"
        raise ArtifactError(Problem("documents", message))
    for facts, lines in load(hook)(artifact, count, seed):
        call.say(json.dumps(facts) if call.as_json else "\n".join(lines))
    return DONE


def _page(item: Overview, history: History) -> Iterator[str]:
    state = f"{item.status.glyph} {item.status}"
    yield f"{full_name(item.artifact)}  {state}  {age(item.updated)}".rstrip()
    yield str(item.artifact.directory)
    if item.message:
        word = "damaged" if item.status is Status.DAMAGED else "failed"
        yield f"{word}: {render.one_line(item.message, 500)}"
    if figures := list(_figures(item)):
        yield "  ".join(figures)
    hook = spec_of(item.artifact.kind).page
    yield from load(hook)(item) if hook else render.result(item.summary)
    if item.config is not None:
        given = [
            (declared.key, _value(getattr(item.config, declared.key)))
            for declared in settings_of(type(item.config))
            if getattr(item.config, declared.key) not in (None, ())
        ]
        yield from render.table("Settings", given)
    if len(history.evaluations):
        columns = history.evaluations
        rows = [
            (f"step {int(step):,}", f"{loss:.4f} nats per token, {bits:.4f} bits per byte")
            for step, loss, bits in zip(
                columns["step"], columns["val_loss"], columns["bits_per_byte"], strict=True
            )
        ]
        yield from render.table("Validation", rows[-12:])
    kept = [
        (path.name, render.size(_bytes_in(path)))
        for _, path in checkpoints(item.artifact.directory)
    ]
    yield from render.table("Checkpoints", kept) if kept else ()
    if history.samples:
        last = history.samples[-1]
        yield ""
        yield f"Sample at step {last.step:,}"
        yield render.plain(last.prompt + last.text).rstrip()


def _value(value: object) -> str:
    if isinstance(value, tuple):
        return ", ".join(render.one_line(repr(part), 200) for part in value)
    return render.one_line(str(value), 200)


def _bytes_in(directory: Path) -> int:
    return artifact_files.size(directory)


def _all_of(item: Overview, history: History) -> dict[str, Any]:
    columns = history.evaluations
    directory = item.artifact.directory
    hook = spec_of(item.artifact.kind).facts
    nothing: dict[str, Any] = {key: None for spec in specs() for key in spec.fact_keys}
    return (
        _plain(item)
        | nothing
        | (load(hook)(item) if hook else {})
        | {
            "config": item.config.model_dump(mode="json") if item.config else None,
            "evaluations": [
                {"step": int(step), "val_loss": _finite(loss), "bits_per_byte": _finite(bits)}
                for step, loss, bits in zip(
                    columns["step"], columns["val_loss"], columns["bits_per_byte"], strict=True
                )
            ],
            "checkpoints": [
                {"step": step, "directory": path.name, "bytes": _bytes_in(path)}
                for step, path in checkpoints(directory)
            ],
            "samples": [
                {"step": sample.step, "prompt": sample.prompt, "text": sample.text}
                for sample in history.samples
            ],
        }
    )
