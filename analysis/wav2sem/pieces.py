"""Pieces of words, which a training head spells while it learns meaning.

The vector of a sentence says little about which frame held which word. Spelling the transcript along the way (CTC over a few
hundred pieces of words) shows the module where the words are, and it learns meaning from far less speech. The speller is thrown
away after training.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

import torch
from torch import nn
from torch.nn import functional

from analysis.wav2sem.text import normalized

__all__ = ["Speller", "learn_pieces"]


def learn_pieces(texts: Iterable[str], path: Path, *, size: int = 512) -> None:
    """Learn byte-pair pieces of words from normalised texts and write them to ``path``."""
    from tokenizers import Tokenizer, models, pre_tokenizers, trainers

    tokenizer = Tokenizer(models.BPE(unk_token="[unknown]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    trainer = trainers.BpeTrainer(vocab_size=size, special_tokens=["[blank]", "[unknown]"], show_progress=False)
    tokenizer.train_from_iterator((normalized(text) for text in texts), trainer)
    tokenizer.save(str(path))


class Speller(nn.Module):
    """CTC over pieces of words from the module's frames."""

    def __init__(self, path: Path, width: int) -> None:
        from tokenizers import Tokenizer

        super().__init__()
        self._tokenizer = Tokenizer.from_file(str(path))
        self.norm = nn.LayerNorm(width)
        self.out = nn.Linear(width, self._tokenizer.get_vocab_size())

    def forward(self, frames: torch.Tensor, lengths: torch.Tensor, texts: Sequence[str]) -> torch.Tensor:
        """CTC loss per piece; transcripts with more pieces than frames count nothing."""
        pieces = [encoding.ids for encoding in self._tokenizer.encode_batch([normalized(text) for text in texts])]
        scores = functional.log_softmax(self.out(self.norm(frames)).float(), dim=-1).transpose(0, 1)
        flat = torch.tensor([piece for row in pieces for piece in row], device=frames.device)
        counts = torch.tensor([len(row) for row in pieces], device=frames.device)
        losses = functional.ctc_loss(scores, flat, lengths, counts, blank=0, reduction="none", zero_infinity=True)
        return losses.sum() / counts.sum()
