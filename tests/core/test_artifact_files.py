"""What lies in an artifact that came from elsewhere: links, pipes, devices, and too much of it."""

from __future__ import annotations

import ast
import json
import os
import resource
import shutil
import signal
import socket
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from talm_core.cli.main import main
from talm_core.errors import ArtifactError, InputError
from talm_core.jobs.pretrain.config import PretrainConfig
from talm_core.runtime import control, journal, lock, runner, upkeep
from talm_core.runtime.event_json import to_json
from talm_core.runtime.events import Finished, Started, Stop, Stopped
from talm_core.runtime.journal import JournalReader, JournalWriter
from talm_core.runtime.lock import Lock
from talm_core.runtime.opening import open_artifact
from talm_core.runtime.overview import Overviews
from talm_core.settings.toml import dumps
from talm_core.storage import artifact_files, atomic
from talm_core.storage.artifact_files import UnsafeFileError
from talm_core.storage.workspace import Workspace
from tests.core.driving import run_events

from .tiny_runs import NAME, tiny_config, tiny_workspace

ROOT = Path(__file__).parents[2]


@pytest.fixture(autouse=True)
def _in_time() -> Iterator[None]:
    """What waits for a pipe waits for ever."""

    def ended(*_: object) -> None:
        raise TimeoutError("it hangs")

    before = signal.signal(signal.SIGALRM, ended)
    signal.alarm(60)
    yield
    signal.alarm(0)
    signal.signal(signal.SIGALRM, before)


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    """A workspace with a dataset, a stopped run without a checkpoint, `m`, and a good one."""
    made = tiny_workspace(tmp_path / "workspace")
    for name in ("m", "good"):
        write_run(made, name)
    return made


def write_run(workspace: Workspace, name: str) -> Path:
    directory = workspace.directory("pretrain", name)
    directory.mkdir(parents=True)
    (directory / "config.toml").write_text(dumps(tiny_config(model_name=name)))
    events = (Started(job="pretrain", name=name), Stopped(reason="asked to stop"))
    text = "".join(to_json(event, time=1.0) + "\n" for event in events)
    (directory / "events.jsonl").write_text(text)
    return directory


@pytest.fixture
def outside(tmp_path: Path) -> Path:
    """A folder of somebody's own, with two files."""
    folder = tmp_path / "outside"
    folder.mkdir()
    (folder / "thesis.txt").write_text("ten years of work\n")
    (folder / "notes.json").write_text("{}\n")
    return folder


def content(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


def resume(workspace: Workspace) -> None:
    run_events(tiny_config(model_name="m"), workspace, resume=True)


def rename(workspace: Workspace) -> None:
    upkeep.rename(workspace, "pretrain", "m", "n")


def delete(workspace: Workspace) -> None:
    upkeep.delete(workspace, "pretrain", "m")


def detach(workspace: Workspace) -> None:
    config = tiny_config(model_name="m")
    opened = open_artifact(config, workspace, resume=True)
    opened.held.release()


def refusal(act: Callable[[Workspace], None], workspace: Workspace) -> str:
    """What is said against it; what may well be done says that there was a link."""
    try:
        act(workspace)
    except InputError as error:
        return str(error)
    return "no link was followed"


@pytest.mark.parametrize("act", [resume, rename, delete, detach])
@pytest.mark.parametrize("name", ["lock", "events.jsonl", "log.txt", "config.toml"])
@pytest.mark.parametrize("hard", [False, True])
def test_a_linked_file_of_an_artifact_is_never_written(
    workspace: Workspace, outside: Path, name: str, hard: bool, act: Callable[[Workspace], None]
) -> None:
    place = workspace.directory("pretrain", "m") / name
    place.unlink(missing_ok=True)
    if hard:
        os.link(outside / "thesis.txt", place)
    else:
        place.symlink_to(outside / "thesis.txt")
    before = content(outside)
    assert "link" in refusal(act, workspace)
    assert content(outside) == before


@pytest.mark.parametrize("act", [resume, rename, delete, detach])
@pytest.mark.parametrize("name", ["commands", ".tmp-aside-x", ".tmp-x", "checkpoint-000004"])
def test_a_linked_folder_of_an_artifact_is_never_entered(
    workspace: Workspace, outside: Path, name: str, act: Callable[[Workspace], None]
) -> None:
    directory = workspace.directory("pretrain", "m")
    (directory / name).symlink_to(outside)
    before = content(outside)
    said = refusal(act, workspace)
    if name == "commands" and act in (resume, detach):
        assert f"commands is a symbolic link to {outside}" in said
    assert content(outside) == before
    if directory.exists():
        delete(workspace)
    assert content(outside) == before


def test_leftover_links_are_swept_themselves(workspace: Workspace, outside: Path) -> None:
    directory = workspace.directory("pretrain", "m")
    aside = directory / ".tmp-aside-real"
    aside.mkdir()
    (aside / "checkpoint-000004").mkdir()
    for name in (".tmp-aside-x", ".tmp-x"):
        (directory / name).symlink_to(outside)
    (directory / ".tmp-y").symlink_to(outside / "thesis.txt")
    before = content(outside)
    atomic.sweep(directory)
    assert content(outside) == before
    # What talm itself had moved aside is put back as ever.
    assert {path.name for path in directory.iterdir()} == {
        *("config.toml", "events.jsonl", "checkpoint-000004")
    }


def test_commands_are_neither_left_nor_taken_nor_forgotten_through_a_link(
    workspace: Workspace, outside: Path
) -> None:
    directory = workspace.directory("pretrain", "m")
    (directory / "commands").symlink_to(outside)
    (outside / "1-1.json").write_text(to_json(Stop()))
    before = content(outside)
    with pytest.raises(InputError, match="symbolic link to"):
        control.leave(directory, Stop())
    with pytest.raises(UnsafeFileError):
        control.forget(directory)
    assert control.Inbox([directory]).next() is None
    assert content(outside) == before


def test_a_command_that_is_a_link_or_a_pipe_is_passed_over(
    workspace: Workspace, outside: Path
) -> None:
    directory = workspace.directory("pretrain", "m")
    folder = directory / "commands"
    folder.mkdir()
    (outside / "stop.json").write_text(to_json(Stop()))
    (folder / "1-1.json").symlink_to(outside / "stop.json")
    os.mkfifo(folder / "2-1.json")
    box = control.Inbox([directory])
    assert box.next() is None
    (folder / "3-1.json").write_text(to_json(Stop()))
    box = control.Inbox([directory])
    assert box.next() == Stop()
    control.forget(directory)
    assert not list(folder.iterdir())
    assert (outside / "stop.json").exists()


# --- pipes, devices, sockets -----------------------------------------------------------------


def put(kind: str, place: Path) -> None:
    place.unlink(missing_ok=True)
    if kind == "pipe":
        os.mkfifo(place)
    elif kind == "link":
        place.symlink_to("/etc/hostname")
    elif kind == "device":
        place.symlink_to("/dev/zero")
    elif kind == "folder":
        place.mkdir()
    else:
        # Its path is too long for a socket where pytest makes its folders.
        server = socket.socket(socket.AF_UNIX)
        here = Path.cwd()
        os.chdir(place.parent)
        server.bind(place.name)
        os.chdir(here)
        server.close()


@pytest.mark.parametrize("kind", ["pipe", "link", "device", "folder", "socket"])
@pytest.mark.parametrize("name", ["events.jsonl", "config.toml", "lock", "log.txt"])
def test_one_bad_artifact_is_listed_as_damaged_beside_the_good_ones(
    workspace: Workspace, name: str, kind: str
) -> None:
    directory = workspace.directory("pretrain", "m")
    put(kind, directory / name)
    found = {item.name: item for item in Overviews(workspace).all("pretrain")}
    assert {*found} == {"m", "good"}
    assert found["good"].status is runner.Status.STOPPED
    assert found["m"].status is runner.Status.DAMAGED
    assert found["m"].message.startswith(f"{name} is a ")
    assert runner.status(directory) is runner.Status.DAMAGED


@pytest.mark.parametrize("words", [("list",), ("list", "--json"), ("show", "models/m")])
@pytest.mark.parametrize("name", ["events.jsonl", "config.toml", "lock"])
def test_the_command_line_names_what_is_damaged(
    workspace: Workspace, name: str, words: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    put("pipe", workspace.directory("pretrain", "m") / name)
    assert talm(workspace, *words) == 0
    said = capsys.readouterr().out
    assert "damaged" in said
    assert f"{name} is a pipe" in said
    assert "good" in said or words[0] == "show"


def talm(workspace: Workspace, *words: str) -> int:
    return main([*words, "--workspace", str(workspace.root)])


@pytest.mark.parametrize(
    ("file", "text"),
    [
        ("events.jsonl", '{"event": "Finished", "time": 1, "seconds": 1, "summary": %s}\n'),
        ("config.toml", "job = %s\n"),
    ],
)
@pytest.mark.parametrize(
    "odd",
    ['{"tokens": "many"}', '{"documents": [1]}', '{"tokens": true}', "9" * 5000, "[" * 9000],
    ids=["text", "list", "flag", "digits", "depth"],
)
def test_wrong_values_in_one_artifact_do_not_take_the_list_down(
    workspace: Workspace, file: str, text: str, odd: str, capsys: pytest.CaptureFixture[str]
) -> None:
    directory = workspace.directory("data", NAME)
    (directory / "config.toml").write_text(
        'job = "data"\nversion = 1\nsource = "text"\npath = ["x"]\nds_sample = "tiny"\n'
    )
    (directory / file).write_text(text % odd)
    assert talm(workspace, "list") == 0
    said = capsys.readouterr().out
    assert "good" in said
    assert NAME in said


def test_a_summary_that_is_no_summary_is_named(workspace: Workspace) -> None:
    directory = workspace.directory("data", NAME)
    event = Finished(seconds=1.0, summary={"tokens": "many"})
    (directory / "events.jsonl").write_text(to_json(event, time=1.0) + "\n")
    (item,) = Overviews(workspace).all("data")
    assert item.status is runner.Status.DAMAGED
    assert item.message == "events.jsonl says tokens = 'many'"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("a = " + "9" * 5000, "config.toml is not valid TOML"),
        ("a = " + "[" * 9000, "config.toml is not valid TOML"),
        ("a = [" + "1," * 400_000 + "]", "config.toml has 400,001 values, no job has more than"),
    ],
    ids=["digits", "depth", "values"],
)
def test_a_config_that_is_none_is_named(workspace: Workspace, text: str, said: str) -> None:
    (workspace.directory("pretrain", "m") / "config.toml").write_text(text)
    overviews = Overviews(workspace)
    for _ in range(2):
        found = {item.name: item for item in overviews.all("pretrain")}
        assert found["m"].status is runner.Status.DAMAGED
        assert found["m"].message.startswith(said)
        assert found["good"].status is runner.Status.STOPPED


def test_a_huge_config_is_damaged_and_not_read(workspace: Workspace) -> None:
    directory = workspace.directory("pretrain", "m")
    with (directory / "config.toml").open("wb") as file:
        file.truncate(1 << 40)
    found = {item.name: item for item in Overviews(workspace).all("pretrain")}
    assert found["m"].status is runner.Status.DAMAGED
    assert "config.toml has 1,099,511,627,776 bytes" in found["m"].message


def test_a_sparse_journal_and_a_line_without_end_take_bounded_memory(workspace: Workspace) -> None:
    directory = workspace.directory("pretrain", "m")
    with (directory / "events.jsonl").open("ab") as file:
        file.truncate(1 << 40)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    found = {item.name: item for item in Overviews(workspace).all("pretrain")}
    assert found["m"].status is runner.Status.DAMAGED
    assert "events.jsonl has a line of more than" in found["m"].message
    assert journal.last_record(directory) is None
    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    assert grown < 250_000, f"{grown:,} kB more"


def test_a_line_that_is_too_long_is_skipped_and_the_next_ones_are_read(tmp_path: Path) -> None:
    with JournalWriter(tmp_path) as writer:
        writer.write(Started(job="pretrain", name="m"))
    with (tmp_path / "events.jsonl").open("ab") as file:
        file.write(b'{"event": "Stopped", "reason": "' + b"x" * (40 << 20) + b'"}\n')
    with JournalWriter(tmp_path) as writer:
        writer.write(Stopped(reason="in the end"))
    events = [record.event for record in JournalReader(tmp_path).read_all()]
    assert [type(event) for event in events] == [Started, Stopped]
    assert events[-1] == Stopped(reason="in the end")


@pytest.mark.parametrize("kind", ["pipe", "link", "device", "folder"])
def test_a_dataset_of_odd_files_is_refused_by_name(workspace: Workspace, kind: str) -> None:
    directory = workspace.directory("data", NAME)
    names = ("manifest.json", "tokencoder.json", "train_000001.npy", "val_000001.npy")
    for index, name in enumerate(names):
        shutil.copytree(directory, kept := directory.with_name(f"copy{index}"))
        put(kind, kept / name)
        config = tiny_config(model_name="new", data_dir=f"text/copy{index}")
        with pytest.raises(InputError, match=rf"{name}.*is a "):
            run_events(config, workspace)


def test_a_preset_that_is_a_pipe_is_refused(workspace: Workspace) -> None:
    from talm_core.jobs.pretrain.presets import find_preset

    folder = workspace.root / "presets"
    folder.mkdir()
    os.mkfifo(folder / "mine.toml")
    with pytest.raises(InputError, match=r"mine\.toml: is no regular file"):
        find_preset(workspace, "mine")


# --- checkpoints -----------------------------------------------------------------------------


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """A workspace with a run of eight steps."""
    workspace = tiny_workspace(tmp_path_factory.mktemp("trained"))
    run_events(tiny_config(max_steps=8, sample_every=0, eval_every=0), workspace)
    return workspace


@pytest.mark.parametrize("kind", ["pipe", "link", "folder"])
@pytest.mark.parametrize("name", ["checkpoint.json", "model.safetensors", "extra.json"])
def test_a_checkpoint_of_odd_files_is_used_by_nobody(
    trained: Workspace, tmp_path: Path, name: str, kind: str
) -> None:
    from talm_core.jobs.sample.job import find_checkpoint
    from talm_core.training import checkpoint, init_from

    workspace = Workspace(tmp_path / "w")
    shutil.copytree(trained.root, workspace.root)
    directory = workspace.directory("pretrain", "tiny")
    _, newest = checkpoint.checkpoints(directory)[-1]
    if (name, kind) == ("extra.json", "folder"):
        return
    put(kind, newest / name)
    found = checkpoint.find(directory)
    assert found.path is not None
    assert found.path != newest
    assert str(newest / name) in str(found.damaged[0])
    with pytest.raises(ArtifactError):
        checkpoint.verify(newest)
    if kind != "folder":
        for find in (find_checkpoint, init_from.find):
            with pytest.raises(ArtifactError, match="is a "):
                find(workspace, f"tiny/{newest.name}")


def _read_model(directory: Path) -> None:
    """Whatever reads a model's files, without anybody having looked at them before."""
    from talm_core.model import hf_config
    from talm_core.model.weights import Weights

    hf_config.read_config(directory)
    hf_config.sampling(directory)
    hf_config.template_of(directory, None)
    Weights(directory)


MODEL_FILES = (
    *("config.json", "generation_config.json", "tokenizer_config.json", "chat_template.jinja"),
    *("model.safetensors", "model.safetensors.index.json"),
)


@pytest.mark.parametrize("kind", ["pipe", "device", "folder", "socket"])
@pytest.mark.parametrize("name", MODEL_FILES)
@pytest.mark.parametrize("own", [True, False])
def test_a_models_files_are_no_pipes(
    trained: Workspace, tmp_path: Path, name: str, kind: str, own: bool
) -> None:
    model = tmp_path / "model"
    newest = max(trained.directory("pretrain", "tiny").glob("checkpoint-*"))
    shutil.copytree(newest, model)
    if name == "model.safetensors.index.json":
        (model / "model.safetensors").unlink()
    if not own:
        (model / "checkpoint.json").unlink()
    put(kind, model / name)
    said = "a symbolic link to /dev/zero" if own and kind == "device" else f"a {kind}"
    with pytest.raises(ArtifactError, match=f"is {said}, not a regular file") as raised:
        _read_model(model)
    assert raised.value.problems[0].key == str(model / name)


@pytest.mark.parametrize("name", MODEL_FILES[:5])
def test_a_models_files_are_links_where_talm_did_not_write_them(
    trained: Workspace, tmp_path: Path, name: str
) -> None:
    model = tmp_path / "model"
    newest = max(trained.directory("pretrain", "tiny").glob("checkpoint-*"))
    shutil.copytree(newest, model)
    blob = tmp_path / "blob"
    if (model / name).exists():
        (model / name).rename(blob)
    else:
        blob.write_text("{{ messages }}")
    (model / name).symlink_to(blob)
    with pytest.raises(ArtifactError, match=f"is a symbolic link to {blob}") as raised:
        _read_model(model)
    assert raised.value.problems[0].key == str(model / name)
    # As a download of the Hub's cache: files are links to what they hold.
    (model / "checkpoint.json").unlink()
    _read_model(model)


def test_a_linked_checkpoint_is_none(trained: Workspace, tmp_path: Path) -> None:
    from talm_core.training import checkpoint

    workspace = Workspace(tmp_path / "w")
    shutil.copytree(trained.root, workspace.root)
    directory = workspace.directory("pretrain", "tiny")
    known = checkpoint.checkpoints(directory)
    moved = tmp_path / "elsewhere"
    known[-1][1].rename(moved)
    known[-1][1].symlink_to(moved)
    assert checkpoint.checkpoints(directory) == known[:-1]


# --- an artifact that is a link --------------------------------------------------------------


def test_a_run_kept_on_another_disk_is_listed_resumed_and_deleted_as_the_link_it_is(
    trained: Workspace, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    workspace = Workspace(tmp_path / "w")
    shutil.copytree(trained.root, workspace.root)
    directory = workspace.directory("pretrain", "tiny")
    disk = tmp_path / "disk"
    directory.rename(disk)
    directory.symlink_to(disk)
    (item,) = Overviews(workspace).all("pretrain")
    assert (item.name, item.status) == ("tiny", runner.Status.DONE)
    files = sorted(path.name for path in disk.iterdir())
    assert upkeep.size(directory) == 0
    assert talm(workspace, "delete", "models/tiny", "--yes") == 0
    said = capsys.readouterr().out
    assert str(disk) in said
    assert "was a link" in said
    assert not os.path.lexists(directory)
    assert {*files} - {"lock"} <= {path.name for path in disk.iterdir()}


def test_a_linked_run_goes_on(workspace: Workspace, tmp_path: Path) -> None:
    directory = workspace.directory("pretrain", "m")
    disk = tmp_path / "disk"
    directory.rename(disk)
    directory.symlink_to(disk)
    resume(workspace)
    assert runner.status(directory) is runner.Status.DONE
    assert (disk / "checkpoint-000012").is_dir()


# --- one module ------------------------------------------------------------------------------

_OPENERS = {"open", "read_bytes", "read_text", "rmtree", "memmap", "load_file", "safe_open"}
_ELSEWHERE = {
    # What is no artifact's: the system, the user's own text, downloads, exports, preferences.
    "talm_core.system.cgroup": "the kernel's files",
    "talm_core.system.hardware": "the kernel's files",
    "talm_core.data.hub.blocks": "downloads in corpora",
    "talm_core.jobs.dataset.fetching": "text fetched for a tokenizer, by this process",
    "talm_core.data.local.document_file": "the user's own text",
    "talm_core.data.hub.listings": "answers of the Hub in corpora",
    "talm_core.jobs.dataset.texts": "a download with a checksum of ours",
    "talm_core.data.shards": "a temporary file of its own; shards are opened by the module",
    "talm_core.jobs.pretrain.presets": "presets of the user's own, looked at first",
    "talm_core.storage.atomic": "a temporary file of its own",
    "talm_core.storage.artifact_files": "the module itself",
    "talm_core.tokenizer.bpe_trainer": "the user's own text",
    "talm_core.tokenizer.vocabulary": "a tokenizer's file that the user names",
    # Models, of ours or of others: `checkpoint.require_own` and `verify` have looked before.
    "talm_core.jobs.export.job": "a model's files, looked at before",
    "talm_core.training.trainer": "a checkpoint's files, looked at before",
    "talm_tui.charts.export": "a chart that is written",
    "talm_tui.services.child_process": "a temporary file of its own",
    "talm_tui.shell.keymap": "the user's keys",
    "talm_tui.play.files": "what is kept of Play",
    "talm_tui.shell.preferences": "the user's preferences",
    "talm_tui.shell.terminal": "the terminal",
}


def _opened_otherwise(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if not isinstance(node, ast.Call):
            continue
        called = node.func
        name = called.attr if isinstance(called, ast.Attribute) else getattr(called, "id", "")
        source = ast.unparse(node)
        modes = [part.value for part in node.args if isinstance(part, ast.Constant)]
        plain = name == "open" and isinstance(called, ast.Attribute)
        if plain and "os.open" not in source and not any(isinstance(m, str) for m in modes):
            # Something that is no file: a job, a dialog.
            continue
        if name in _OPENERS and "artifact_files." not in source:
            yield f"line {node.lineno}: {source[:80]}"
        if source.startswith(("np.load(", "numpy.load(", "mmap.mmap(")):
            yield f"line {node.lineno}: {source[:80]}"


def test_nothing_else_opens_or_removes_an_artifacts_own_files() -> None:
    found = {}
    for path in (
        file for name in ("talm_core", "talm_tui") for file in (ROOT / name).rglob("*.py")
    ):
        module = ".".join(path.relative_to(ROOT).with_suffix("").parts)
        if lines := list(_opened_otherwise(path)):
            found[module] = lines
    others = {module: lines for module, lines in found.items() if module not in _ELSEWHERE}
    assert not others, json.dumps(others, indent=1)
    assert not _ELSEWHERE.keys() - found.keys(), "what opens nothing any more needs no excuse"


# --- the module itself -----------------------------------------------------------------------


def test_a_file_of_another_user_is_refused_unless_the_folder_is_theirs(tmp_path: Path) -> None:
    if os.geteuid() != 0:
        pytest.skip("only root can give files away")
    file = tmp_path / "log.txt"
    file.write_text("x")
    os.chown(file, 12345, -1)
    assert "belongs to another user (12345)" in artifact_files.fault(file)
    with pytest.raises(UnsafeFileError):
        artifact_files.read_bytes(file)
    # A dataset of a colleague, or of the user in whose place a container's root works.
    os.chown(tmp_path, 12345, -1)
    assert artifact_files.fault(file) == ""
    assert artifact_files.read_bytes(file) == b"x"


def test_what_is_too_much_is_not_read(tmp_path: Path) -> None:
    file = tmp_path / "config.toml"
    file.write_bytes(b"x" * 101)
    assert artifact_files.read_bytes(file, most=101) == b"x" * 101
    with pytest.raises(UnsafeFileError, match="has 101 bytes, talm writes at most 100"):
        artifact_files.read_bytes(file, most=100)


def test_a_file_is_emptied_only_once_it_is_known_to_be_ours(tmp_path: Path, outside: Path) -> None:
    os.link(outside / "thesis.txt", tmp_path / "lock")
    with pytest.raises(UnsafeFileError, match="hard link"):
        artifact_files.open_own(tmp_path / "lock", os.O_RDWR | os.O_TRUNC)
    assert (outside / "thesis.txt").read_text() == "ten years of work\n"


def test_a_lock_that_is_a_link_is_neither_held_nor_owned(tmp_path: Path, outside: Path) -> None:
    (tmp_path / "lock").symlink_to(outside / "thesis.txt")
    assert not lock.held(tmp_path)
    assert lock.owner(tmp_path) is None
    with pytest.raises(UnsafeFileError):
        Lock.acquire(tmp_path)


def test_remove_tells_what_it_could_not_remove(tmp_path: Path) -> None:
    assert artifact_files.remove(tmp_path / "nothing") == []
    (tmp_path / "a" / "b").mkdir(parents=True)
    (tmp_path / "a" / "b" / "c").write_text("x")
    assert artifact_files.remove(tmp_path / "a") == []
    assert not (tmp_path / "a").exists()


def test_a_config_is_that_of_its_directory(workspace: Workspace) -> None:
    directory = workspace.directory("pretrain", "m")
    shutil.copytree(directory, workspace.directory("pretrain", "x"))
    config = runner.read_config(workspace.directory("pretrain", "x"))
    assert isinstance(config, PretrainConfig)
    assert config.model_name == "x"


# --- names -----------------------------------------------------------------------------------

HOSTILE = "e\x1b]0;mine\x07\x1b[31mvil\x9b2J"


@pytest.mark.parametrize(
    "words",
    [
        ("list",),
        ("show", HOSTILE),
        ("show", "zzzzzzzz"),
        ("export", HOSTILE),
        ("sample", HOSTILE),
        ("rename", HOSTILE, HOSTILE),
        ("delete", HOSTILE),
        ("stop", HOSTILE),
        ("delete", "models/" + HOSTILE, "--yes"),
        ("train-model", "-n", HOSTILE, "--resume"),
    ],
    ids=lambda words: " ".join(words).encode("unicode_escape").decode(),
)
def test_escape_codes_of_names_never_reach_the_terminal(
    workspace: Workspace, words: tuple[str, ...], capfd: pytest.CaptureFixture[str]
) -> None:
    write_run(workspace, "other").rename(workspace.folder("pretrain") / HOSTILE)
    put("pipe", workspace.folder("pretrain") / HOSTILE / "log.txt")
    talm(workspace, *words)
    said = capfd.readouterr()
    assert said.out or said.err
    for text in (said.out, said.err):
        assert not {*text} & {"\x1b", "\x07", "\x9b", "\r"}, text
