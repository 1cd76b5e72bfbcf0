"""Continue a text, a token at a time.

    for step in stream(model, tokenizer, prompt_ids, max_tokens=200, ...): print(step.text, end="")

The prompt is read once into a cache of keys and values; each token after that costs one pass over
a single position, whatever came before.
"""

from __future__ import annotations

import codecs
import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from talm_core.model.transformer import Transformer
from talm_core.tokenizer.tokenizer import Tokenizer

ALTERNATIVES = 5

# So many have the share `top_p` together, in all but the least certain moments.
_LIKELIEST = 256
# A model of so few parameters reads a single token no faster with several threads, and where other
# programs want the cores, waiting for one of them takes longer than the token.
_SMALL = 20_000_000
# Divided by less, the logarithms of all probabilities are minus infinity.
_COLDEST = 1e-300


@dataclass(frozen=True, slots=True)
class Step:
    """A sampled token. `text` is what it completes: empty while a character's bytes are still
    missing. `probability` is the model's own, before temperature and cuts, and so are those of
    the likeliest `alternatives`, the token's own among them where it is one."""

    token: int
    text: str
    probability: float
    alternatives: list[tuple[str, float]]


def stream(
    model: Transformer,
    tokenizer: Tokenizer,
    prompt_ids: Sequence[int],
    *,
    max_tokens: int,
    temperature: float = 1.0,
    top_k: int = 0,
    top_p: float = 1.0,
    seed: int = 0,
    stop_token: int | None = None,
    begin: bytes = b"",
) -> Iterator[Step]:
    """Sample up to `max_tokens` tokens after `prompt_ids`; ends early before `stop_token`.

    `temperature` 0 takes the likeliest token; `top_k` 0 and `top_p` 1 cut nothing. The same
    arguments give the same tokens on the same device. Randomness comes from a generator of its
    own and disturbs no other. A text longer than the model's context goes on from its newer half.
    The first token starts with the bytes `begin`, which are left out of its text: `split_prompt`.
    """
    assert prompt_ids, "a model needs something to go on from"
    generator = torch.Generator().manual_seed(seed)
    decoder = codecs.getincrementaldecoder("utf-8")("replace")
    reader = _Reader(model, prompt_ids)
    for _ in range(max_tokens):
        logits = reader.next_logits()  # (V,)
        # Sampling happens on the CPU in double precision: the same draw on every device.
        likelihood = logits.double().cpu().softmax(-1)
        if begin:
            likelihood = _beginning(likelihood, tokenizer, begin)
        token = choose(likelihood, temperature, top_k, top_p, generator)
        if token == stop_token:
            break
        best, ids = likelihood.topk(min(ALTERNATIVES, len(likelihood)))
        yield Step(
            token,
            decoder.decode(_bytes(tokenizer, token)[len(begin) :]),
            float(likelihood[token]),
            [
                (_bytes(tokenizer, i).decode("utf-8", "replace"), p)
                for i, p in zip(ids.tolist(), best.tolist(), strict=True)
            ],
        )
        reader.append(token)
        begin = b""


def split_prompt(
    tokenizer: Tokenizer, prompt: str, *, healing: bool = True
) -> tuple[list[int], bytes]:
    """The ids of a prompt, and what the first token after it has to start with.

    In text a space belongs to the word that follows it, and a model has hardly ever seen one that
    stands alone before a word. With `healing`, `def ` is therefore read as `def`, to be gone on
    with by a token that starts with a space; without, as every other program reads it.
    """
    if healing and len(prompt) > 1 and prompt.endswith(" ") and not prompt[-2].isspace():
        return tokenizer.encode_ordinary(prompt[:-1]), b" "
    return tokenizer.encode_ordinary(prompt), b""


def _beginning(likelihood: Tensor, tokenizer: Tokenizer, begin: bytes) -> Tensor:
    """Probabilities (V,) with only the tokens left that start with `begin`."""
    fits = [_bytes(tokenizer, token).startswith(begin) for token in range(len(likelihood))]
    kept = likelihood * torch.tensor(fits)
    return kept / kept.sum().clamp_min(1e-300)


def choose(
    likelihood: Tensor, temperature: float, top_k: int, top_p: float, generator: torch.Generator
) -> int:
    """One token id out of probabilities (V,), sharpened by 1 / temperature and cut to the `top_k`
    likeliest, then to the fewest likeliest that together have `top_p`."""
    if temperature < _COLDEST:
        return int(likelihood.argmax())
    sharpened = (likelihood.log() / temperature).softmax(-1)
    ordered, ids = _sorted(sharpened, top_k, top_p)
    if top_k:
        ordered = ordered[:top_k] / ordered[:top_k].sum()
    if top_p < 1:
        # A token stays while those before it have not reached the share; the first always does.
        before = ordered.cumsum(-1) - ordered
        ordered = ordered[before < top_p]
    return int(ids[torch.multinomial(ordered, 1, generator=generator)])


def _sorted(likelihood: Tensor, top_k: int, top_p: float) -> tuple[Tensor, Tensor]:
    """Probabilities (V,) and their ids, the likeliest first and among equals the lower id; at least
    as many as the cuts leave. Sorting a whole vocabulary takes longer than a small model's step."""
    count = top_k or (_LIKELIEST if top_p < 1 else 0)
    if 0 < count < len(likelihood):
        # All that are as likely as the last of them, or the lower id would not come first.
        near = (likelihood >= likelihood.topk(count).values[-1]).nonzero().flatten()
        ordered, places = likelihood[near].sort(descending=True, stable=True)
        # A little more than the share, for sums are rounded.
        if top_k or ordered.sum() > top_p + 1e-9:
            return ordered, near[places]
    ordered, ids = likelihood.sort(descending=True, stable=True)
    return ordered, ids


class _Reader:
    """Feeds a model the tokens it has not seen yet."""

    def __init__(self, model: Transformer, prompt_ids: Sequence[int]) -> None:
        self.model = model
        self._context = model.config.context_len
        self._text = list(prompt_ids[-self._context :])
        self._unread = len(self._text)
        self._cache = model.new_cache()
        parameters = sum(parameter.numel() for parameter in model.parameters())
        self._small = parameters <= _SMALL and model.embedding.device.type == "cpu"

    @torch.inference_mode()
    def next_logits(self) -> Tensor:
        """Logits (V,) of what follows all tokens so far."""
        if self._cache.length + self._unread > self._context:
            # Positions end here: begin again with the newer half, which is read at once and
            # leaves room for as many new tokens.
            self._text = self._text[-max(1, self._context // 2) :]
            self._unread = len(self._text)
            self._cache.length = 0
        new = torch.tensor([self._text[-self._unread :]], device=self.model.embedding.device)
        alone = self._small and self._unread == 1
        self._unread = 0
        with _one_thread() if alone else contextlib.nullcontext():
            return self.model.last_logits(new, self._cache)[0]

    def append(self, token: int) -> None:
        self._text.append(token)
        self._unread = 1


@contextlib.contextmanager
def _one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _bytes(tokenizer: Tokenizer, token: int) -> bytes:
    try:
        return tokenizer.decode_single_token_bytes(token)
    except KeyError:
        # Ids between special tokens may belong to nothing.
        return b""
