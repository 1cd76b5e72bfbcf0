"""What a run finds out about its model: the loss on the validation text, and samples."""

from __future__ import annotations

from dataclasses import dataclass

from talm_core.data.dataloader import Windows
from talm_core.jobs.pretrain.config import PretrainConfig
from talm_core.model.generate import split_prompt, stream
from talm_core.runtime.events import Evaluated, Progress, Sampled
from talm_core.tokenizer.tokenizer import Tokenizer
from talm_core.training.conversation import Conversation, Talk
from talm_core.training.evaluation import evaluate, judged
from talm_core.training.inputs import Inputs
from talm_core.training.pace import Pace
from talm_core.training.standing import Standing
from talm_core.training.trainer import Trainer


@dataclass(frozen=True, slots=True)
class Judgement:
    """Judges a run's model at the step where it stands, and says so. What was found out is taken
    off what is due before it is said: whoever stops the run there has it."""

    config: PretrainConfig
    inputs: Inputs
    validation: Windows
    trainer: Trainer
    tokenizer: Tokenizer
    standing: Standing
    pace: Pace
    conversation: Conversation

    def evaluate(self) -> Talk:
        """Loss and bits per byte on a fixed set of validation tokens."""
        total = min(self.config.eval_tokens, self.inputs.manifest.val_tokens)
        with self.pace.costing("evaluate"):
            for score in evaluate(self.trainer, self.validation, self.inputs.vocabulary):
                event = Progress(phase="evaluating", done=score.tokens, total=total, unit="tokens")
                yield from self.conversation.sign_of_life(event)
        self.standing.evaluated = {"val_loss": score.loss, "bits_per_byte": score.bits_per_byte}
        self.standing.evaluated_step = self.trainer.step
        self.standing.due.pop(0)
        yield from self.conversation.say(
            Evaluated(
                step=self.trainer.step,
                val_loss=score.loss,
                bits_per_byte=score.bits_per_byte,
                tokens=score.tokens,
                seconds=self.pace.cost("evaluate"),
            )
        )

    def sample(self, prompt: str) -> Talk:
        """What the model writes after a prompt; the same seed every time."""
        end = self.inputs.vocabulary.end_of_text
        ids, begin = split_prompt(self.tokenizer, prompt)
        total, pieces = self.config.sample_tokens, []
        model = self.trainer.whole_model()
        if model is None:
            self.standing.due.pop(0)
            return
        with self.pace.costing("sample"), judged(model):
            for step in stream(
                model,
                self.tokenizer,
                [end, *ids],
                max_tokens=total,
                temperature=0.8,
                top_p=0.95,
                seed=self.config.seed,
                stop_token=end,
                begin=begin,
            ):
                pieces.append(step.text)
                event = Progress(phase="sampling", done=len(pieces), total=total, unit="tokens")
                yield from self.conversation.breathe(event)
        self.standing.due.pop(0)
        yield from self.conversation.say(
            Sampled(
                step=self.trainer.step,
                prompt=prompt,
                text="".join(pieces),
                tokens=len(pieces),
                tokens_per_second=len(pieces) / max(1e-9, self.pace.cost("sample")),
            )
        )
