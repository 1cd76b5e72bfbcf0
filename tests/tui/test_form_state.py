"""What a form knows: values, changes, problems."""

from __future__ import annotations

from talm_core.errors import Problem
from talm_core.jobs.dataset.config import DataConfig
from talm_core.jobs.pretrain.config import PretrainConfig
from talm_core.jobs.tokenizer.config import TokenizerConfig
from talm_core.settings.schema import JobConfig
from talm_tui.forms.state import EVERY, FormState


def problem_of(state: FormState, key: str) -> Problem | None:
    """What is wrong with one field."""
    return next((problem for problem in state.problems if problem.key == key), None)


def train_form() -> FormState:
    state = FormState(PretrainConfig)
    state.set_text("model_name", "a")
    state.set_text("data_dir", "d")
    return state


def test_a_form_is_right_once_what_is_required_is_there() -> None:
    state = FormState(PretrainConfig)
    assert [problem.key for problem in state.problems] == ["model_name", "data_dir"]
    assert state.config is None
    state = train_form()
    assert state.problems == []
    assert state.config == PretrainConfig(model_name="a", data_dir="d")
    assert state.changed == []


def test_what_is_typed_counts_as_changed_until_it_is_the_default_again() -> None:
    state = train_form()
    default = str(PretrainConfig(model_name="a", data_dir="d").n_layer)
    state.set_text("n_layer", "7")
    assert state.changed == ["n_layer"]
    state.set_text("n_layer", f" {default} ")
    assert state.changed == []
    state.set_text("n_layer", "x")
    assert state.changed == ["n_layer"]
    state.reset("n_layer")
    assert state.changed == []


def test_a_wrong_value_is_told_under_its_field() -> None:
    state = train_form()
    state.set_text("n_layer", "200")
    assert state.config is None
    problem = problem_of(state, "n_layer")
    assert problem is not None
    assert problem.message == "must be a whole number, 1 to 128"
    assert problem.value == 200


def test_fields_that_contradict_each_other_are_told_with_the_nearest_values() -> None:
    state = train_form()
    state.set_text("n_head", "4")
    state.set_text("n_embd", "130")
    problem = problem_of(state, "n_embd")
    assert problem is not None
    assert problem.hint == "128 or 136"
    state.set_text("n_embd", "")
    problem = problem_of(state, "n_embd")
    assert problem is not None
    assert "must be a whole number" in problem.message


def test_a_quote_that_is_not_closed_is_told() -> None:
    state = train_form()
    state.set_text("sample_prompt", '"def ')
    problem = problem_of(state, "sample_prompt")
    assert problem is not None
    assert "not closed" in problem.message
    state.set_text("sample_prompt", "")
    config: JobConfig | None = state.config
    assert config is not None
    assert config.model_dump()["sample_prompt"] == ()


def test_what_was_found_or_refused_is_forgotten_with_the_value() -> None:
    state = train_form()
    state.tell("workspace", [Problem("data_dir", "there is no such dataset")])
    state.tell("start", [Problem("model_name", "exists already"), Problem("workspace", "full")])
    assert [problem.key for problem in state.problems] == ["model_name", "data_dir", "workspace"]
    state.set_text("data_dir", "e")
    state.set_text("model_name", "b")
    assert [problem.key for problem in state.problems] == ["workspace"]


def test_a_preset_is_what_changes_are_measured_against() -> None:
    state = train_form()
    state.set_text("n_layer", "9")
    state.load_preset("big", {"n_layer": 6, "minutes": 5.0})
    assert state.texts["n_layer"] == "6"
    assert state.texts["model_name"] == "a"
    assert state.changed == []
    state.set_text("minutes", "")
    assert state.changed == ["minutes"]
    assert state.values["minutes"] is None
    assert state.config is not None
    state.reset_all()
    assert state.texts["minutes"] == "5"


def test_proposals_give_way_to_what_is_typed() -> None:
    state = FormState(TokenizerConfig)
    assert state.fill("name", "one")
    assert state.fill("name", "two")
    assert state.texts["name"] == "two"
    state.set_text("name", "mine")
    assert not state.fill("name", "three")
    state.set_text("name", "")
    assert not state.fill("name", "three")
    assert state.texts["name"] == ""
    state.reset("name")
    assert state.fill("name", "four")


def test_a_choice_that_needs_another_field() -> None:
    state = FormState(DataConfig)
    state.set_value("source", "text")
    problem = problem_of(state, "path")
    assert problem is not None
    assert "at least one" in problem.message


def test_what_is_typed_into_a_field_in_a_row_is_one_change() -> None:
    state = FormState(PretrainConfig)
    assert state.undo() is None
    for text in ("1", "12"):
        state.set_text("n_layer", text)
    state.set_text("n_head", "2")
    state.reset("n_head")
    state.set_text("n_layer", "3")
    assert state.undo() == "n_layer"
    assert state.texts["n_layer"] == "12"
    assert state.undo() == "n_head"
    assert state.undo() == "n_layer"
    assert state.texts["n_layer"] == "4"
    assert state.undo() is None
    assert state.redo() == "n_layer"
    # Typed after going back, it is a change of its own, and the way forward is gone.
    state.set_text("n_layer", "5")
    assert state.redo() is None
    assert state.undo() == "n_layer"
    assert state.texts["n_layer"] == "12"
    state.load_preset("big", {"n_layer": 6})
    assert state.undo() == EVERY
    assert (state.preset, state.texts["n_layer"]) == (None, "12")


def test_several_values_are_taken_as_one_change() -> None:
    state = train_form()
    before = dict(state.texts)
    state.take({"n_layer": 7, "minutes": 2.5, "sample_prompt": ("a b", "")})
    assert state.values["sample_prompt"] == ("a b", "")
    assert set(state.changed) == {"n_layer", "minutes", "sample_prompt"}
    assert state.undo() == EVERY
    assert state.texts == before
    assert state.redo() == EVERY
    assert state.values["n_layer"] == 7


def test_a_preset_that_is_gone_is_forgotten_on_the_way_back_too() -> None:
    state = train_form()
    state.load_preset("mine", {"n_layer": 7})
    state.set_text("n_head", "8")
    state.load_preset("other", {"n_layer": 9})
    state.drop_preset("mine")
    named = [state.preset]
    state.undo()
    named.append(state.preset)
    assert state.values["n_layer"] == 7
    assert state.changed == ["n_layer", "n_head"]
    state.redo()
    named.append(state.preset)
    state.drop_preset("other")
    assert [*named, state.preset] == ["other", None, "other", None]
    assert (state.values["n_layer"], state.changed) == (9, ["n_layer"])
