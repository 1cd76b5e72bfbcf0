from __future__ import annotations

import io
import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from talm_core.errors import ArtifactError, ConfigError
from talm_core.jobs.sample.config import SampleConfig
from talm_core.jobs.sample.job import Session, sample
from talm_core.jobs.sample.service import serve
from talm_core.runtime.event_json import decode
from talm_core.runtime.events import Event, Failed, Finished, Generated, Record, Sampled, Started
from talm_core.storage.workspace import Workspace
from tests.core.driving import events_of, run_events
from tests.core.tiny_runs import tiny_config, tiny_workspace


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    made = tiny_workspace(tmp_path_factory.mktemp("sampling"))
    run_events(tiny_config(max_steps=80, eval_every=0, sample_every=0), made)
    return made


def asked(**changes: Any) -> SampleConfig:
    return SampleConfig(**{"model": "tiny", "prompt": "the sum", "max_tokens": 12} | changes)


def test_a_text_comes_token_by_token(workspace: Workspace) -> None:
    events = events_of(sample, asked(), workspace)
    assert isinstance(events[0], Started)
    generated = [e for e in events if isinstance(e, Generated)]
    sampled, finished = events[-2:]
    assert isinstance(sampled, Sampled)
    assert isinstance(finished, Finished)
    assert sampled.text == "".join(e.text for e in generated)
    assert (sampled.step, sampled.prompt, sampled.tokens) == (80, "the sum", len(generated))
    assert all(0 < e.probability <= 1 and len(e.alternatives) == 5 for e in generated)
    assert finished.summary["directory"] == "models/tiny/checkpoint-000080"
    assert finished.summary["tokens"] == len(generated)


def text(workspace: Workspace, **changes: Any) -> str:
    events = events_of(sample, asked(**changes), workspace)
    return next(e.text for e in events if isinstance(e, Sampled))


def test_the_seed_decides(workspace: Workspace) -> None:
    assert text(workspace, seed=1) == text(workspace, seed=1)
    assert text(workspace, seed=1, temperature=1.5) != text(workspace, seed=2, temperature=1.5)
    assert text(workspace, seed=1, temperature=0) == text(workspace, seed=2, top_k=1)


def test_a_checkpoint_or_a_directory_is_as_good_as_a_name(workspace: Workspace) -> None:
    directory = workspace.directory("pretrain", "tiny")
    paths = (str(directory), str(directory / "checkpoint-000080"), "tiny/checkpoint-000080")
    assert {text(workspace, model=path) for path in paths} == {text(workspace)}


def test_without_a_prompt_it_begins_a_document(workspace: Workspace) -> None:
    assert text(workspace, prompt="", temperature=0)


def test_what_is_not_there_is_named(workspace: Workspace, tmp_path: Path) -> None:
    with pytest.raises(ArtifactError, match="there is no such model"):
        events_of(sample, asked(model="tinny"), workspace)
    (tmp_path / "new").mkdir()
    with pytest.raises(ArtifactError, match="has no checkpoint yet"):
        events_of(sample, asked(model=str(tmp_path / "new")), workspace)
    with pytest.raises(ConfigError, match="device = 'cuda': is not available here"):
        events_of(sample, asked(device="cuda"), workspace)


def test_a_damaged_model_is_refused(workspace: Workspace, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(workspace.directory("pretrain", "tiny"), copy)
    for file in copy.glob("checkpoint-*/model.safetensors"):
        file.write_bytes(file.read_bytes()[:-4])
    with pytest.raises(ArtifactError, match="has no checkpoint that can be read"):
        events_of(sample, asked(model=str(copy)), workspace)


def test_a_session_notices_a_newer_checkpoint(workspace: Workspace, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(workspace.directory("pretrain", "tiny"), copy)
    later = copy / "checkpoint-000080"
    later.rename(tmp_path / "aside")
    session = Session(workspace)

    def step() -> int:
        events = session.sample(asked(model=str(copy), max_tokens=1))
        return next(e.step for e in events if isinstance(e, Sampled))

    assert step() == step() == 76
    (tmp_path / "aside").rename(later)
    assert step() == 80


def answers(workspace: Workspace, *lines: str) -> list[Record]:
    out = io.StringIO()
    assert serve(workspace, io.StringIO("".join(line + "\n" for line in lines)), out) == 0
    records = [decode(line) for line in out.getvalue().splitlines()]
    assert None not in records
    return [record for record in records if record is not None]


def test_a_session_answers_lines(workspace: Workspace) -> None:
    records = answers(workspace, json.dumps(asked().model_dump()))
    kinds = [type(record.event) for record in records]
    assert kinds[0] is Started
    assert kinds[-2:] == [Sampled, Finished]


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("{", "stdin: is no JSON"),
        ("1", "must be one JSON object"),
        ("[]", "must be one JSON object"),
        ("[1]", "must be one JSON object"),
        ('[{"lane": 1}]', "a list of lanes with settings"),
        ('[{"lane": 1, "settings": {"model": "tiny", "top_p": 0}}]', "must be"),
        (json.dumps([{"lane": 1, "settings": {"model": "tiny"}}] * 2), "each lane may be given"),
        ('{"model": "tiny", "temprature": 1}', "did you mean 'temperature'"),
        ('{"model": "tiny", "top_p": 0}', "must be"),
        ('{"model": "other"}', "there is no such model"),
    ],
)
def test_a_line_that_cannot_be_obeyed_is_answered(
    workspace: Workspace, line: str, message: str
) -> None:
    last = answers(workspace, line)[-1].event
    assert isinstance(last, Failed)
    assert message in last.message


def written(events: list[Event]) -> list[tuple[int, str, float]]:
    return [(e.token, e.text, e.probability) for e in events if isinstance(e, Generated)]


def test_several_texts_are_written_in_turn_and_each_as_if_alone(workspace: Workspace) -> None:
    asked_for = {7: asked(seed=1), 9: asked(seed=2, max_tokens=3), 8: asked(model="other")}
    request = [
        {"lane": lane, "settings": config.model_dump()} for lane, config in asked_for.items()
    ]
    records = answers(workspace, json.dumps(request))
    # A token of each in turn: none waits for another to end.
    assert [record.lane for record in records[:8]] == [7, 9, 8, 7, 9, 8, 7, 9]
    failed = [record for record in records if isinstance(record.event, Failed)]
    assert [record.lane for record in failed] == [8]
    for lane in (7, 9):
        said = [record.event for record in records if record.lane == lane]
        alone = events_of(sample, asked_for[lane], workspace)
        assert written(said) == written(alone)
        assert [type(e) for e in said[-2:]] == [Sampled, Finished]


def test_two_models_stay_loaded(workspace: Workspace, tmp_path: Path) -> None:
    names = ("a", "b", "c")
    for name in names:
        shutil.copytree(workspace.directory("pretrain", "tiny"), tmp_path / name)
    session = Session(workspace)
    for name in names:
        list(session.sample(asked(model=str(tmp_path / name), max_tokens=1)))
    loaded = dict(session._loaded)
    assert [key[0].parent.name for key in loaded] == ["b", "c"]
    for name in ("c", "b"):
        list(session.sample(asked(model=str(tmp_path / name), max_tokens=1)))
    assert session._loaded == loaded
    assert [key[0].parent.name for key in session._loaded] == ["c", "b"]


def test_a_new_line_ends_the_text_before_it(workspace: Workspace) -> None:
    command = [sys.executable, "-m", "talm_core", "--play", "--workspace", str(workspace.root)]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None

        def ask(**changes: Any) -> None:
            assert process.stdin is not None
            process.stdin.write(json.dumps(asked(**changes).model_dump()) + "\n")
            process.stdin.flush()

        def until(kind: str) -> int:
            """How many tokens come before an event of this kind."""
            tokens = 0
            assert process.stdout is not None
            for line in process.stdout:
                event = str(json.loads(line)["event"])
                tokens += event == "Generated"
                if event == kind:
                    return tokens
            raise AssertionError(f"no {kind}")

        ask(max_tokens=1_000_000, temperature=1.0)
        assert until("Generated") == 1
        ask(max_tokens=5, temperature=0)
        assert until("Stopped") < 1_000_000
        assert until("Finished") <= 5
        process.stdin.close()
        assert process.wait(timeout=300) == 0
