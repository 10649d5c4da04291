"""How far a semantic vector is from the vector of what was said."""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional

from analysis.errors import ConfigurationError

__all__ = ["LOSSES", "SemanticLoss"]

LOSSES = ("l1", "l2", "cosine", "infonce")


class SemanticLoss(nn.Module):
    """Loss between module outputs and the vectors of their texts.

    Parameters
    ----------
    name : str
        ``l1`` (the paper's), ``l2``, ``cosine``, or ``infonce``: cross-entropy of the right text among all training texts, by
        cosine over a learned temperature, plus ``cosine_weight`` times the cosine distance to the right one, without which only
        the order of texts would be learned and not their geometry.
    cosine_weight : float
    negatives : int
        Texts that an utterance is told apart from, at most; drawn anew at every step when there are more.
    alike : float
        Texts whose vectors have a cosine over this to the right one are no negatives: they say the same.
    """

    def __init__(self, name: str, *, cosine_weight: float = 1.0, negatives: int = 65536, alike: float = 0.95) -> None:
        super().__init__()
        if name not in LOSSES:
            raise ConfigurationError(f"There is no loss {name!r}. Choose one of: {', '.join(LOSSES)}.")
        self.name, self.cosine_weight, self.negatives, self.alike = name, cosine_weight, negatives, alike
        self.log_scale = nn.Parameter(torch.tensor(3.0)) if name == "infonce" else None

    def forward(self, vectors: torch.Tensor, texts: torch.Tensor, bank: torch.Tensor) -> torch.Tensor:
        """Mean loss of a batch.

        Parameters
        ----------
        vectors : Tensor, shape (B, dims)
        texts : Tensor of int, shape (B,)
            Row of each utterance's text in the bank.
        bank : Tensor, shape (texts, dims)
        """
        targets = bank[texts]
        if self.name == "l1":
            return functional.l1_loss(vectors, targets)
        if self.name == "l2":
            return functional.mse_loss(vectors, targets)
        unit, right = functional.normalize(vectors, dim=1), functional.normalize(targets, dim=1)
        cosine = (1 - (unit * right).sum(1)).mean()
        if self.name == "cosine":
            return cosine
        others = bank
        if len(bank) > self.negatives:
            others = bank[torch.randint(len(bank), (self.negatives,), device=bank.device)]
        others = functional.normalize(others, dim=1)
        scale = self.log_scale.clamp(max=4.6).exp()
        too_alike = right @ others.T > self.alike
        logits = (unit @ others.T).masked_fill(too_alike, -2.0) * scale
        own = (unit * right).sum(1, keepdim=True) * scale
        entropy = functional.cross_entropy(torch.cat([own, logits], 1), torch.zeros_like(texts))
        return entropy + self.cosine_weight * cosine
