"""The place where a tokenizer is trained, with a real job."""

from __future__ import annotations

from pathlib import Path

from textual.pilot import Pilot

from talm_core.errors import Problem
from talm_core.jobs.tokenizer.config import TokenizerConfig
from talm_core.runtime import runner
from talm_core.runtime.event_json import decode_command
from talm_core.runtime.events import Failed, Merged, Progress, Started, Stop, Stopped
from talm_core.runtime.journal import JournalWriter
from talm_core.runtime.lock import Lock
from talm_core.runtime.runner import Status
from talm_core.storage.workspace import Artifact, Workspace
from talm_tui.data.screen import DataScreen
from talm_tui.forms.job_view import JobView
from talm_tui.forms.screen import FormPlace
from talm_tui.services.messages import JobRefused
from talm_tui.shell.log import LogScreen
from talm_tui.tokenizer.screen import TokenizerScreen
from tests.tui import canned
from tests.tui.form_pilot import field, run_at, settled, text_of, type_into, until


def test_a_tokenizer_from_form_to_data(empty_workspace: Workspace, tmp_path: Path) -> None:
    text = "def one(two):\n    return two + two\n" * 400
    (tmp_path / "code.txt").write_text(text)

    async def steps(pilot: Pilot[None], place: FormPlace) -> None:
        view = place.query_one(JobView)
        await type_into(pilot, place, "text_file", str(tmp_path / "code.txt"))
        await type_into(pilot, place, "vocab_size", "280")
        assert place.state.texts["name"] == "code-280"
        await settled(pilot, place)
        await pilot.press("ctrl+r")
        await until(pilot, lambda: view.artifact is not None)
        assert view.display
        await until(pilot, lambda: view.status is Status.DONE, seconds=60)
        assert "● done  Tokenizer code-280" in text_of(place, "#job")
        assert "p  try it   d  prepare data with it" in text_of(place, "#job")
        # The next one is not called the same.
        await until(pilot, lambda: place.state.texts["name"] == "code-280-2")
        await pilot.press("d")
        await until(pilot, lambda: isinstance(pilot.app.screen, DataScreen))
        data = pilot.app.screen
        assert isinstance(data, DataScreen)
        await until(pilot, lambda: data.state.texts["tokenizer_path"] == "code-280")
        await pilot.press("2", "escape")
        assert not view.display

    run_at(empty_workspace, "tokenizer", steps)
    assert runner.status(empty_workspace.directory("tokenizer", "code-280")) is Status.DONE


def test_one_that_was_stopped_is_learned_anew_under_its_name(empty_workspace: Workspace) -> None:
    config = TokenizerConfig(name="stdlib-4k")
    said = [Started(job="tokenizer", name="stdlib-4k"), Stopped(reason="asked to stop")]
    canned.artifact(empty_workspace, config, said)

    async def steps(pilot: Pilot[None], place: FormPlace) -> None:
        await settled(pilot, place)
        assert place.state.texts["name"] == "stdlib-4k"
        assert place.state.problems == []

    run_at(empty_workspace, "tokenizer", steps)


def test_a_job_that_runs_already_is_shown_and_can_be_stopped(
    empty_workspace: Workspace,
) -> None:
    config = TokenizerConfig(name="other", vocab_size=1000)
    started = [
        Started(job="tokenizer", name="other"),
        Progress(phase="merging", done=300, total=744, unit="tokens", rate=90.0, eta=5.0),
        Merged(vocab_size=556, newest=[" re", "self", " return"]),
    ]
    directory = canned.artifact(empty_workspace, config, started)

    async def steps(pilot: Pilot[None], place: FormPlace) -> None:
        view = place.query_one(JobView)
        await until(pilot, lambda: "merging" in text_of(place, "#job"))
        assert view.artifact == Artifact("tokenizer", "other", directory)
        text = text_of(place, "#job")
        assert text.startswith("▶ running  Tokenizer other  K  stop")
        assert " 40%" in text
        assert '"␣return" "self" "␣re"' in text
        await pilot.press("K")
        commands = directory / "commands"
        await until(pilot, lambda: commands.is_dir() and list(commands.glob("*.json")))
        (command,) = commands.glob("*.json")
        assert decode_command(command.read_bytes()) == Stop()

    with Lock.acquire(directory):
        run_at(empty_workspace, "tokenizer", steps)


def test_a_job_that_failed_says_why_and_offers_its_log(empty_workspace: Workspace) -> None:
    config = TokenizerConfig(name="other")
    directory = canned.artifact(empty_workspace, config, [Started(job="tokenizer", name="other")])
    (directory / runner.LOG_FILE).write_text("Traceback: it is\n")

    async def steps(pilot: Pilot[None], place: FormPlace) -> None:
        held = Lock.acquire(directory)
        pilot.app.refresh_workspace()  # type: ignore[attr-defined]
        view = place.query_one(JobView)
        await until(pilot, lambda: view.artifact is not None)
        with held:
            writer = JournalWriter(directory)
            writer.write(Failed(message="No space left on device", kind="RunError"))
            writer.close()
        await until(pilot, lambda: view.status is Status.FAILED)
        assert "No space left on device" in text_of(place, "#job")
        await pilot.press("l")
        await until(pilot, lambda: isinstance(pilot.app.screen, LogScreen))
        await pilot.press("escape", "escape")
        assert not view.display

    run_at(empty_workspace, "tokenizer", steps)


def test_a_name_that_is_taken(workspace: Workspace) -> None:
    async def steps(pilot: Pilot[None], place: FormPlace) -> None:
        await type_into(pilot, place, "name", "code-8k")
        problem = field(place, "name").problem
        assert problem is not None
        assert problem.message == "code-8k exists already"
        await type_into(pilot, place, "name", "../x")
        await settled(pilot, place)
        problem = field(place, "name").problem
        assert problem is not None
        assert "must begin with" in problem.message

    run_at(workspace, "tokenizer", steps)


def test_a_refusal_lands_under_its_field(empty_workspace: Workspace) -> None:
    async def steps(pilot: Pilot[None], place: FormPlace) -> None:
        # Made by somebody else in this very moment: no look has seen it.
        config = TokenizerConfig(name="stdlib-4k")
        place.post_message(
            JobRefused(
                config,
                (
                    Problem("name", "exists already", "stdlib-4k", "choose another name"),
                    Problem("workspace", "cannot be written: [bold]full", "/there"),
                ),
            )
        )
        await until(pilot, lambda: field(place, "name").problem)
        assert "exists already: choose another name" in str(field(place, "name").render())
        said = "workspace = '/there': cannot be written: [bold]full"
        assert said in text_of(place, "#form-note")
        await until(pilot, lambda: getattr(place.focused, "key", None) == "name")
        await type_into(pilot, place, "name", "free")
        assert field(place, "name").problem is None

    run_at(empty_workspace, "tokenizer", steps)


def test_which_of_the_files_is_wrong_is_said_under_its_field(
    empty_workspace: Workspace, tmp_path: Path
) -> None:
    folder = tmp_path / "corpus" / ("a-folder-with-a-long-name-" * 3)
    folder.mkdir(parents=True)
    (folder / "good.jsonl").write_text('{"text": "one"}\n')
    (folder / "bad.jsonl").write_text("no row\n")

    async def steps(pilot: Pilot[None], place: FormPlace) -> None:
        await type_into(pilot, place, "text_file", str(tmp_path / "corpus"))
        await until(pilot, lambda: field(place, "text_file").problem)
        lines = str(field(place, "text_file").render()).splitlines()
        assert max(map(len, lines)) <= 80
        said = "".join(line.strip(" ✕") for line in lines[1:])
        assert f"{folder}/bad.jsonl:" in said
        # What stands in the field itself is not said again.
        await type_into(pilot, place, "text_file", str(tmp_path / "nothing"))
        await until(pilot, lambda: "does not exist" in str(field(place, "text_file").render()))
        assert "nothing" not in str(field(place, "text_file").render())

    run_at(empty_workspace, "tokenizer", steps, size=(80, 40))


def test_names_follow_the_corpus_until_one_is_typed(
    empty_workspace: Workspace, tmp_path: Path
) -> None:
    (tmp_path / "my book.txt").write_text("text")

    async def steps(pilot: Pilot[None], place: FormPlace) -> None:
        assert isinstance(place, TokenizerScreen)
        assert place.state.texts["name"] == "stdlib-4k"
        await type_into(pilot, place, "text_file", f"{tmp_path}/my book.txt")
        assert place.state.texts["name"] == "my-book-4k"
        await type_into(pilot, place, "name", "mine")
        await type_into(pilot, place, "vocab_size", "1000")
        assert place.state.texts["name"] == "mine"

    run_at(empty_workspace, "tokenizer", steps)
