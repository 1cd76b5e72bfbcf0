"""A preset beside what somebody said: what it says and they did not is scaled to what they did.

A warm-up of 200 steps belongs to 5,000; of 60 it is more than all. Where nothing of a preset is
asked for, its values are taken as they are.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeGuard

_SHARES = ("warmup_steps", "eval_every", "sample_every", "checkpoint_every")
"""What a preset says in steps is a share of its run."""


def fitted(preset: Mapping[str, Any], said: Mapping[str, Any]) -> dict[str, Any]:
    """A preset's values for a run of which `said` was asked for, which is not among them. Values
    that are none of a run's stay out of it: they are refused when the run is built."""
    values = dict(preset)
    steps, rate = _ratio(preset, said, "max_steps"), _ratio(preset, said, "learning_rate")
    for key in _SHARES:
        if values.get(key) and steps != 1:
            values[key] = max(1, round(values[key] * steps))
    if "min_learning_rate" in values and rate != 1:
        values["min_learning_rate"] = float(f"{values['min_learning_rate'] * rate:.3g}")
    _fit_shape(values, said)
    _fit_batch(values, said)
    return values


def fitted_defaults(usual: Mapping[str, Any], said: Mapping[str, Any]) -> dict[str, Any]:
    """Those of the defaults that contradict what was asked for, as they do not."""
    values = fitted(usual, said)
    wrong = ["n_head", "n_embd"]
    for key, most in (("warmup_steps", "max_steps"), ("min_learning_rate", "learning_rate")):
        if _number(said.get(most)) and usual[key] > said[most]:
            wrong.append(key)
    return {key: values[key] for key in wrong if values[key] != usual[key]}


def _ratio(preset: Mapping[str, Any], said: Mapping[str, Any], key: str) -> float:
    """What was asked for as a multiple of what the preset has; 1 where either is unknown."""
    before, now = preset.get(key), said.get(key)
    if not (_number(before) and _number(now)):
        return 1.0
    return float(now / before)


def _number(value: object) -> TypeGuard[int | float]:
    return isinstance(value, int | float) and 0 < value < 1e12


def _whole(value: object) -> TypeGuard[int]:
    return isinstance(value, int) and _number(value)


def _fit_shape(values: dict[str, Any], said: Mapping[str, Any]) -> None:
    """Heads that divide the width, of about as many dimensions as before."""
    before, heads = values.get("n_embd"), values.get("n_head")
    if not (_whole(before) and _whole(heads)):
        return
    size = before / heads
    heads, width = said.get("n_head", heads), said.get("n_embd", before)
    if not (_whole(heads) and _whole(width)):
        return
    if width % (2 * heads) and "n_head" not in said:
        fitting = [n for n in range(1, min(width, 4_096) + 1) if width % (2 * n) == 0]
        heads = min(fitting, key=lambda n: abs(width / n - size), default=heads)
        values["n_head"] = heads
    elif width % (2 * heads) and "n_embd" not in said:
        width = max(1, round(width / (2 * heads))) * 2 * heads
        values["n_embd"] = width
    hidden, shared = values.get("n_hidden"), values.get("n_kv_head")
    if _whole(hidden) and width != before:
        values["n_hidden"] = max(1, round(hidden * width / before / 64)) * 64
    if _whole(shared) and heads % shared:
        values["n_kv_head"] = max(n for n in range(1, min(shared, heads) + 1) if heads % n == 0)


def _fit_batch(values: dict[str, Any], said: Mapping[str, Any]) -> None:
    """A step's tokens are said in one way: as batches added up, or as their total."""
    if said.get("total_batch_size") is not None:
        values.pop("grad_accum_steps", None)
    elif "grad_accum_steps" in said:
        values.pop("total_batch_size", None)
    total, one = values.get("total_batch_size"), 1
    for key in ("batch_size", "context_len"):
        size = said.get(key, values.get(key))
        one *= size if _whole(size) else 1
    if _whole(total) and "total_batch_size" not in said and total % one:
        values["total_batch_size"] = max(1, round(total / one)) * one
