"""The settings of the optimizers."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from talm_core.settings.schema import Component, Setting


class OptimizerConfig(Component):
    """How weights are moved, and what holds them against learning by heart."""

    optimizer: Annotated[
        Literal["adamw", "muon"],
        Setting(
            "Training",
            "How the layers' matrices are moved.",
            more="muon learns more from each token and takes a tenth or two longer for a step of a"
            " small model. Embeddings and norms are moved by AdamW either way.",
            advanced=True,
            shape=True,
        ),
    ] = "muon"
    weight_decay: Annotated[
        float,
        Field(ge=0, le=10),
        Setting(
            "Training",
            "AdamW's weight decay, on matrices only.",
            more="Usual: 0.1; 0.01 for short runs. More holds against learning by heart.",
            advanced=True,
        ),
    ] = 0.1
    dropout: Annotated[
        float,
        Field(ge=0, lt=1),
        Setting(
            "Training",
            "Share of what each layer adds, and of the embedding, that is left out at random.",
            more="0.1 to 0.2 holds against learning by heart where a text is read many times, and "
            "wants more steps. Never in evaluations and samples.",
            advanced=True,
        ),
    ] = 0.0
    beta1: Annotated[
        float,
        Field(ge=0, lt=1),
        Setting(
            "Training", "AdamW's decay of the gradient average.", more="Usual: 0.9.", advanced=True
        ),
    ] = 0.9
    beta2: Annotated[
        float,
        Field(ge=0, lt=1),
        Setting(
            "Training",
            "AdamW's decay of the squared gradient average.",
            more="Usual: 0.95 for large batches, 0.98 to 0.99 for small ones, whose gradients are "
            "noisy.",
            advanced=True,
        ),
    ] = 0.98
    grad_clip: Annotated[
        float,
        Field(ge=0),
        Setting(
            "Training",
            "Largest gradient norm; 0 turns clipping off.",
            more="Usual: 1. It tames a single bad batch and costs next to nothing.",
            advanced=True,
        ),
    ] = 1.0
