"""Where tokenizers, datasets and models live, and how their names become paths.

    <root>/tokenizers/<name>/         config.toml events.jsonl log.txt tokencoder.json ...
    <root>/data/<source>/<sample>/    config.toml events.jsonl log.txt manifest.json *.npy
    <root>/models/<name>/             config.toml events.jsonl log.txt checkpoint-000500/ ...
    <root>/quickstarts/<name>/        config.toml events.jsonl log.txt
    <root>/presets/<name>.toml

An artifact is any directory of these that has an `events.jsonl`, a `config.toml` or, for things
that were copied here by hand, its main file.
"""

from __future__ import annotations

import os
import re
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import platformdirs

from talm_core.errors import ArtifactError, Problem, WorkspaceError, nearest
from talm_core.jobs.registry import artifact_of
from talm_core.settings.schema import JobConfig
from talm_core.storage import artifact_files

_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._+-]*")
_NAME_RULE = "must begin with a letter, a digit or _ and hold only letters, digits and . _ + -"


def name_key(kind: str) -> str:
    """The setting that names a job's artifact."""
    return artifact_of(kind).name_key


def user_path(text: str) -> Path:
    """The path somebody typed, with `~` for a home. The home of a user there is not stays as it
    was typed, to be told as a path that does not exist."""
    try:
        return Path(text).expanduser()
    except RuntimeError:
        return Path(text)


def new_path(text: str, *, key: str) -> Path:
    """The same, absolute, for something that is to be made there.

    Raises:
        WorkspaceError: it is in the home of a user there is not; `key` is the setting it came from.
    """
    try:
        return Path(text).expanduser().absolute()
    except RuntimeError:
        message = "begins with ~, and there is no such user or home"
        raise WorkspaceError(Problem(key, message, text, "give the path without ~")) from None


def there(look: Callable[[], bool]) -> bool:
    """What `path.is_file` and its like answer; False where the system cannot even look, such as
    for a name that is too long."""
    try:
        return look()
    except OSError:
        return False


@dataclass(frozen=True, slots=True)
class Artifact:
    """A directory in the workspace. `name` is `nano` or `stdlib/all`."""

    kind: str
    name: str
    directory: Path


class Workspace:
    """A root directory and the artifacts below it. Nothing is created before it is needed."""

    def __init__(self, root: Path | str | None = None) -> None:
        """Take `root`, else `$TALM_HOME`, else the platform's directory for user data.

        Raises:
            WorkspaceError: it is in the home of a user there is not.
        """
        chosen = root or os.environ.get("TALM_HOME") or platformdirs.user_data_dir("talm")
        self.root = new_path(str(chosen), key="workspace")

    def __repr__(self) -> str:
        return f"Workspace({str(self.root)!r})"

    def folder(self, kind: str) -> Path:
        """The directory that holds all artifacts of a kind."""
        return self.root / artifact_of(kind).folder

    def directory(self, kind: str, name: str, *, key: str = "name") -> Path:
        """The directory of the artifact `name`, whether it exists or not.

        Raises:
            WorkspaceError: a name that is no plain name, such as `../x`; `key` is the setting
                it came from.
        """
        nested = artifact_of(kind).parts > 1
        parts = name.split("/") if nested else [name]
        wrong = [part for part in parts if not _NAME.fullmatch(part) or part.endswith(".")]
        if wrong or len(parts) != artifact_of(kind).parts:
            shown = name.partition("/")[2] or name if nested else name
            raise WorkspaceError(Problem(key, _NAME_RULE, shown))
        return self.folder(kind).joinpath(*parts)

    def directory_of(self, config: JobConfig) -> Path:
        """The directory a job works in.

        Raises:
            WorkspaceError: its name is no plain name; says which setting made it so.
        """
        prefix = getattr(config, "dir_prefix", None)
        if prefix is not None and not _NAME.fullmatch(prefix):
            raise WorkspaceError(Problem("dir_prefix", _NAME_RULE, prefix))
        return self.directory(config.kind, config.artifact, key=name_key(config.kind))

    def artifacts(self, kind: str) -> list[Artifact]:
        """Everything of one kind, by name. What cannot be read is left out."""
        return sorted(self._scan(kind), key=lambda artifact: artifact.name)

    def _scan(self, kind: str) -> Iterator[Artifact]:
        top = self.folder(kind)
        nested, main_file = artifact_of(kind).parts > 1, artifact_of(kind).main_file
        for entry in _directories(top):
            candidates = _directories(entry) if nested else [entry]
            for directory in candidates:
                # Whatever lies there: something else in a file's place is listed as damaged.
                if any(
                    artifact_files.occupied(directory / name)
                    for name in ("events.jsonl", "config.toml", main_file)
                ):
                    yield Artifact(kind, directory.relative_to(top).as_posix(), directory)

    def find(self, kind: str, text: str, *, key: str) -> Path:
        """The directory of an existing artifact by its name; for datasets the source alone, or
        the sample alone, is enough while only one fits.

        Raises:
            ArtifactError: there is none, or several fit; says which there are.
        """
        known = {artifact.name: artifact.directory for artifact in self.artifacts(kind)}
        if text in known:
            return known[text]
        fitting = [name for name in known if text in name.split("/")]
        if len(fitting) == 1:
            return known[fitting[0]]
        if fitting:
            problem = Problem(key, "fits several", text, f"say which: {', '.join(fitting)}")
        else:
            message = f"there is no such {artifact_of(kind).noun}"
            problem = Problem(key, message, text, nearest(text, known))
        raise ArtifactError(problem)

    def locate(self, kind: str, text: str, *, key: str) -> Path:
        """The directory of an artifact by name (`find`), or any existing directory by its path.

        Raises:
            ArtifactError: neither.
        """
        try:
            return self.find(kind, text, key=key)
        except ArtifactError:
            path = user_path(text)
            if there(path.is_dir):
                return path.absolute()
            raise

    def require_writable(self) -> None:
        """Create the root if it is missing.

        Raises:
            WorkspaceError: it cannot be created or written.
        """
        try:
            self.root.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryFile(dir=self.root):
                pass
        except OSError as error:
            hint = "choose another with --workspace or TALM_HOME"
            message = f"cannot be written: {error.strerror or error}"
            raise WorkspaceError(Problem("workspace", message, str(self.root), hint)) from None

    def relative(self, directory: Path) -> str:
        """A path below the root as it stands in events; outside it, the absolute path."""
        try:
            return directory.relative_to(self.root).as_posix()
        except ValueError:
            return str(directory)


def _directories(parent: Path) -> list[Path]:
    try:
        with os.scandir(parent) as entries:
            # One by one: of a link that leads to itself, nothing can be known.
            return [
                Path(entry.path)
                for entry in entries
                if not entry.name.startswith(".") and there(entry.is_dir)
            ]
    except OSError:
        return []
