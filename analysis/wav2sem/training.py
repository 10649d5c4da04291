"""Training of a semantic module, resumable to the bit."""

from __future__ import annotations

import csv
import json
import logging
import math
import os
import shutil
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from analysis.errors import ConfigurationError, SemanticsError
from analysis.wav2sem.data import Batch, TrainingData, loaded, plan_batches
from analysis.wav2sem.evaluation import scores
from analysis.wav2sem.losses import SemanticLoss
from analysis.wav2sem.pieces import Speller, learn_pieces
from analysis.wav2sem.text import TextModel, normalized

__all__ = ["TrainingSettings", "train"]

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class TrainingSettings:
    """How a module is trained.

    Attributes
    ----------
    loss : str
        ``l1``, ``l2``, ``cosine`` or ``infonce``.
    target : str
        ``cls`` or ``mean`` pooling of the text model.
    epochs : int
    max_steps : int
        Stop after so many updates; 0 for no such limit.
    learning_rate, weight_decay, beta2 : float
        Of AdamW.
    schedule : str
        ``cosine`` (after the warm-up, down to nought) or ``step`` (the paper's: halved every ``step_epochs`` epochs).
    warmup : int
        Updates over which the rate rises from nought.
    step_epochs : int
    batch_seconds : float
        Audio per batch, padding included.
    batch_size : int
        Utterances per batch at most; 0 for no such limit.
    accumulate : int
        Batches per update.
    clip : float
        Largest gradient norm; 0 for no limit.
    ema : float
        Decay of the running mean of the weights that is evaluated and kept; 0 for none.
    precision : str
        ``no``, ``fp16`` or ``bf16``.
    spelling : float
        Weight of the spelling loss (see :mod:`analysis.wav2sem.pieces`); 0 for none.
    pieces : int
        Pieces of words to spell with.
    cosine_weight : float
        See :class:`analysis.wav2sem.losses.SemanticLoss`.
    validate_every, save_every : int
        Updates between validations and checkpoints; 0 for once per epoch.
    workers : int
        Processes that read ahead.
    seed : int
    """

    loss: str = "infonce"
    target: str = "mean"
    epochs: int = 10
    max_steps: int = 0
    learning_rate: float = 1e-3
    weight_decay: float = 0.01
    beta2: float = 0.98
    schedule: str = "cosine"
    warmup: int = 200
    step_epochs: int = 20
    batch_seconds: float = 200.0
    batch_size: int = 0
    accumulate: int = 1
    clip: float = 1.0
    ema: float = 0.0
    precision: str = "no"
    spelling: float = 0.0
    pieces: int = 512
    cosine_weight: float = 1.0
    validate_every: int = 0
    save_every: int = 0
    workers: int = 0
    seed: int = 0

    def __post_init__(self) -> None:
        if self.schedule not in {"cosine", "step"}:
            raise ConfigurationError(f"The schedule is 'cosine' or 'step', not {self.schedule!r}.")
        if self.precision not in {"no", "fp16", "bf16"}:
            raise ConfigurationError(f"The precision is 'no', 'fp16' or 'bf16', not {self.precision!r}.")
        for name in ("epochs", "accumulate"):
            if getattr(self, name) < 1:
                raise ConfigurationError(f"{name} must be at least 1, not {getattr(self, name)}.")
        if not self.learning_rate > 0 or not self.batch_seconds > 0:
            raise ConfigurationError("The learning rate and the audio per batch must be positive.")
        if not 0 <= self.ema < 1:
            raise ConfigurationError(f"The decay of the running mean must be in [0, 1), not {self.ema}.")

    def rate(self, step: int, steps: int, steps_per_epoch: int) -> float:
        """Learning rate of update ``step`` (from 0) of ``steps``."""
        if step < self.warmup:
            return self.learning_rate * (step + 1) / self.warmup
        if self.schedule == "step":
            return self.learning_rate * 0.5 ** (step // max(1, steps_per_epoch * self.step_epochs))
        done = (step - self.warmup) / max(1, steps - self.warmup)
        return self.learning_rate * 0.5 * (1 + math.cos(math.pi * min(1.0, done)))


class _Learner(nn.Module):
    """Module, loss and speller as one, so that one call gives the loss of a batch on any number of devices."""

    def __init__(self, module: nn.Module, loss: SemanticLoss, speller: Speller | None, weight: float) -> None:
        super().__init__()
        self.module, self.loss, self.speller, self.weight = module, loss, speller, weight

    def forward(self, batch: Batch, texts: torch.Tensor, bank: torch.Tensor) -> torch.Tensor:
        frames, mask = self.module.frames(*batch.inputs)
        loss = self.loss(self.module.pooled(frames, mask).float(), texts, bank)
        self.parts = [float(loss.detach())]
        if self.speller is not None:
            spelling = self.speller(frames, mask.sum(1), batch.texts)
            self.parts.append(float(spelling.detach()))
            loss = loss + self.weight * spelling
        return loss


class _Run:
    """Files of one training run: checkpoint, log, best module."""

    def __init__(self, out: Path, settings: dict[str, Any]) -> None:
        self.out = out
        out.mkdir(parents=True, exist_ok=True)
        told = out / "training.json"
        if told.exists():
            before = json.loads(told.read_text())
            changed = sorted(k for k in before.keys() | settings.keys() if before.get(k) != settings.get(k))
            if changed:
                shown = ", ".join(f"{k}: {before.get(k)!r} is now {settings.get(k)!r}" for k in changed)
                raise SemanticsError(
                    f"{out} holds a run with other settings ({shown}). Go on with the same settings, or choose another --out."
                )
        told.write_text(json.dumps(settings, indent=2) + "\n")

    def latest(self) -> Path | None:
        pointer = self.out / "latest.json"
        return self.out / json.loads(pointer.read_text())["checkpoint"] if pointer.exists() else None

    def save(self, step: int, tensors: dict[str, torch.Tensor], state: dict[str, Any]) -> None:
        """Write a checkpoint; a kill in the middle leaves the one before in force."""
        from safetensors.torch import save_file

        folder = self.out / f"checkpoint-{step}"
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
        save_file({k: v.detach().cpu().contiguous() for k, v in tensors.items()}, folder / "state.safetensors")
        (folder / "state.json").write_text(json.dumps(state))
        fresh = self.out / "latest.tmp"
        fresh.write_text(json.dumps({"checkpoint": folder.name}))
        os.replace(fresh, self.out / "latest.json")
        for old in self.out.glob("checkpoint-*"):
            if old != folder:
                shutil.rmtree(old, ignore_errors=True)

    def log(self, row: dict[str, Any]) -> None:
        """Append a row to ``log.csv``."""
        path = self.out / "log.csv"
        new = not path.exists()
        with path.open("a", newline="") as file:
            writer = csv.DictWriter(file, LOG_COLUMNS, restval="", extrasaction="ignore")
            if new:
                writer.writeheader()
            writer.writerow({k: f"{v:.6g}" if isinstance(v, float) else v for k, v in row.items()})

    def forget_after(self, step: int) -> None:
        """Drop the rows of the log that a killed run wrote after its last checkpoint."""
        path = self.out / "log.csv"
        if path.exists():
            with path.open(newline="") as file:
                rows = [row for row in csv.DictReader(file) if int(row["step"]) <= step]
            with path.open("w", newline="") as file:
                writer = csv.DictWriter(file, LOG_COLUMNS)
                writer.writeheader()
                writer.writerows(rows)


LOG_COLUMNS = (
    *("step", "epoch", "loss", "spelling", "learning_rate", "audio_hours"),
    *("val_l1", "val_cosine", "val_r1", "val_r10", "val_mrr"),
)


def train(
    module: nn.Module,
    data: TrainingData,
    validation: TrainingData,
    text_model: TextModel,
    settings: TrainingSettings,
    out: Path,
    *,
    save_module: Callable[[nn.Module, Path], None],
    tensorboard: bool = False,
    progress: bool = True,
    stop_at: int | None = None,
) -> dict[str, float]:
    """Train, or go on from the last checkpoint in ``out``; the best module by validation is written to ``out`` itself.

    Parameters
    ----------
    module : Module
        Has ``frames(*inputs)`` and ``pooled(frames, mask)``.
    data, validation : TrainingData
    text_model : TextModel
    settings : TrainingSettings
    out : Path
        Also holds ``training.json``, ``log.csv`` and the last checkpoint.
    save_module : callable
        Writes a module to a folder.
    tensorboard : bool
        Log there as well (package ``tensorboard``).
    stop_at : int, optional
        Stop before this update, as a kill would, with a checkpoint.

    Returns
    -------
    dict
        Scores of the best module on the validation data.

    Raises
    ------
    SemanticsError
        If the training diverges: a loss, a gradient or a held-out vector is not finite. The last checkpoint and the best module
        before that are kept.

    Notes
    -----
    Batches depend on seed and epoch alone and the random state is part of a checkpoint, so a run that was stopped and resumed
    gives the same weights as one that was not. On several devices every process takes its share of each epoch's batches.
    """
    from accelerate import Accelerator
    from accelerate.utils import set_seed
    from tqdm import tqdm

    set_seed(settings.seed)
    accelerator = Accelerator(
        mixed_precision=settings.precision,
        gradient_accumulation_steps=settings.accumulate,
        cpu=not torch.cuda.is_available(),
    )
    device, main = accelerator.device, accelerator.is_main_process
    run = _Run(out, asdict(settings)) if main else None

    bank_texts = data.texts()
    where = {normalized(text): i for i, text in enumerate(bank_texts)}
    vectors = text_model.embed(bank_texts, pooling=settings.target, progress=progress)
    if vectors.shape[1] != module_dims(module):
        raise SemanticsError(
            f"The text model {text_model.card.name!r} gives {vectors.shape[1]} dims and the module {module_dims(module)}. "
            "Give the module a projection to the text space, or another --text-model."
        )
    bank = torch.from_numpy(vectors).to(device)

    speller = None
    if settings.spelling:
        pieces = out / "pieces.json"
        if main and not pieces.exists():
            learn_pieces(bank_texts, pieces, size=settings.pieces)
        accelerator.wait_for_everyone()
        speller = Speller(pieces, module.config.width if hasattr(module, "config") else module.wav2vec2.config.hidden_size)
    learner = _Learner(module, SemanticLoss(settings.loss, cosine_weight=settings.cosine_weight), speller, settings.spelling)
    optimizer = torch.optim.AdamW(
        [p for p in learner.parameters() if p.requires_grad],
        lr=settings.learning_rate,
        weight_decay=settings.weight_decay,
        betas=(0.9, settings.beta2),
    )
    learner, optimizer = accelerator.prepare(learner, optimizer)
    bare = accelerator.unwrap_model(learner)
    mean = {k: v.detach().clone() for k, v in bare.module.state_dict().items()} if settings.ema else None

    share = slice(accelerator.process_index, None, accelerator.num_processes)
    even = lambda batches: len(batches) - len(batches) % (accelerator.num_processes * settings.accumulate)  # noqa: E731

    def batches_of(epoch: int) -> list[list[tuple]]:
        items = data.plan(epoch, settings.seed)
        planned = plan_batches([item[0] for item in items], seconds=settings.batch_seconds, seed=[settings.seed, epoch, 7])
        if settings.batch_size:
            planned = [b[i : i + settings.batch_size] for b in planned for i in range(0, len(b), settings.batch_size)]
        planned = planned[: even(planned)] or planned
        return [[items[i] for i in batch] for batch in planned][share]

    first_epoch = batches_of(0)
    per_epoch = max(1, math.ceil(len(first_epoch) / settings.accumulate))
    steps = settings.max_steps or per_epoch * settings.epochs
    state = {"step": 0, "epoch": 0, "batch": 0, "hours": 0.0, "best": -math.inf, "best_scores": {}}
    latest = run.latest() if run else _latest_for(out)
    if latest:
        state = _restore(latest, bare, optimizer, mean)
        if run:
            run.forget_after(state["step"])
    board = _board(out) if tensorboard and main else None

    def checkpoint() -> None:
        if run:
            run.save(state["step"], _tensors(bare, optimizer, mean), state)

    def validate() -> dict[str, float]:
        kept = None
        if mean is not None:
            kept = {k: v.detach().clone() for k, v in bare.module.state_dict().items()}
            bare.module.load_state_dict(mean)
        result = validated(bare.module, validation, text_model, settings, device)
        if math.isinf(result["l1"]):
            raise _diverged("Vectors of held-out utterances are no finite numbers", state, out)
        if result["mrr"] > state["best"] and run:
            state["best"], state["best_scores"] = result["mrr"], result
            save_module(bare.module, out)
        if kept is not None:
            bare.module.load_state_dict(kept)
        if main:
            # where there is no terminal for a bar, a job's log says how far it is
            log.info(
                "update %d of %d, %.1f hours heard: held-out mrr %.4f, r10 %.4f",
                state["step"],
                steps,
                state["hours"],
                result["mrr"],
                result["r10"],
            )
        return result

    bar = tqdm(total=steps, initial=state["step"], unit="step", disable=None if progress and main else True)
    losses: list[list[float]] = []
    finished = stop_at is not None and state["step"] >= stop_at
    while state["step"] < steps and not finished:
        epoch = state["epoch"]
        batches = first_epoch if epoch == 0 else batches_of(epoch)
        learner.train()
        for batch in loaded(data, batches[state["batch"] :], workers=settings.workers):
            batch = batch.to(device)
            texts = torch.tensor([_row_of(text, where, bank_texts) for text in batch.texts], device=device)
            texts, wider = _with_new_texts(texts, batch.texts, bank, text_model, settings.target)
            with accelerator.accumulate(learner):
                for group in optimizer.param_groups:
                    group["lr"] = settings.rate(state["step"], steps, per_epoch)
                with accelerator.autocast():
                    loss = learner(batch, texts, wider)
                if not all(map(math.isfinite, bare.parts)):
                    raise _diverged(f"The loss is {bare.parts[0]:g}", state, out)
                accelerator.backward(loss)
                if accelerator.sync_gradients and settings.clip:
                    norm = float(accelerator.clip_grad_norm_(learner.parameters(), settings.clip))
                    # in fp16 the scale of the loss is found by such gradients, whose updates are left out
                    if not math.isfinite(norm) and settings.precision != "fp16":
                        raise _diverged(f"The norm of the gradient is {norm:g}", state, out)
                optimizer.step()
                optimizer.zero_grad()
            losses.append(bare.parts)
            state["batch"] += 1
            state["hours"] += batch.seconds * accelerator.num_processes / 3600
            if not accelerator.sync_gradients:
                continue
            state["step"] += 1
            if mean is not None:
                decay = min(settings.ema, (1 + state["step"]) / (10 + state["step"]))
                for name, value in bare.module.state_dict().items():
                    mean[name].lerp_(value, 1 - decay)
            bar.update()
            bar.set_postfix(
                loss=f"{np.mean([parts[0] for parts in losses[-50:]]):.3f}", hours=f"{state['hours']:.1f}", refresh=False
            )
            step, last = state["step"], state["step"] >= steps
            stopping = stop_at is not None and step >= stop_at
            row = {"step": step, "epoch": epoch, "audio_hours": state["hours"], "learning_rate": optimizer.param_groups[0]["lr"]}
            if settings.validate_every and step % settings.validate_every == 0 and not last:
                row |= {f"val_{k}": v for k, v in validate().items()}
                learner.train()
            if run and (step % 20 == 0 or len(row) > 4 or last):
                row |= dict(zip(("loss", "spelling"), np.mean(losses, axis=0).tolist(), strict=False))
                losses = []
                run.log(row)
                if board:
                    for name, value in row.items():
                        if isinstance(value, float):
                            board.add_scalar(name, value, step)
            if (settings.save_every and step % settings.save_every == 0) or stopping:
                checkpoint()
            if last or stopping:
                finished = True
                break
        else:
            state["epoch"], state["batch"] = epoch + 1, 0
            if not settings.validate_every and state["step"] < steps:
                result = validate()
                if run:
                    run.log({"step": state["step"], "epoch": epoch, **{f"val_{k}": v for k, v in result.items()}})
            if not settings.save_every:
                checkpoint()
    bar.close()
    if stop_at is None or state["step"] >= steps:
        result = validate()
        if run:
            run.log({"step": state["step"], "epoch": state["epoch"], **{f"val_{k}": v for k, v in result.items()}})
        checkpoint()
    if board:
        board.close()
    return state["best_scores"]


def _diverged(what: str, state: dict[str, Any], out: Path) -> SemanticsError:
    return SemanticsError(
        f"{what} at update {state['step']} (epoch {state['epoch']}): the training has diverged. What {out} holds is of before. "
        "Train again into another --out with a lower --learning-rate, a longer --warmup, --clip 1, or --precision no."
    )


def blend(
    module: nn.Module,
    begun: dict[str, torch.Tensor],
    validation: TrainingData,
    text_model: TextModel,
    settings: TrainingSettings,
    out: Path,
    *,
    save_module: Callable[[nn.Module, Path], None],
    shares: tuple[float, ...] = (0.25, 0.5, 0.75),
) -> dict[str, float]:
    """Mix the weights at the end of a finished run with those that it began with; what validation likes best is kept in ``out``.

    Parameters
    ----------
    module : Module
    begun : dict of str to Tensor
        Its weights before training.
    shares : tuple of float
        Of the weights at the end, tried one after the other; the best module of the run itself is in the running too.

    Returns
    -------
    dict
        Scores of the best, with the ``share`` at the end where one was better than the run's own.

    Notes
    -----
    Weights in between keep what both ends know: the first saw more speech, the last was trained to the end of its rate.

    References
    ----------
    Wortsman, M. et al. (2022). Robust fine-tuning of zero-shot models. CVPR.
    """
    from safetensors.torch import load_file

    latest = _latest_for(out)
    tensors = load_file(latest / "state.safetensors")
    best = json.loads((latest / "state.json").read_text())["best_scores"]
    prefix = "mean." if settings.ema else "learner.module."
    end = {name.removeprefix(prefix): value for name, value in tensors.items() if name.startswith(prefix)}
    device = next(module.parameters()).device
    for share in shares:
        module.load_state_dict({name: torch.lerp(begun[name].float(), value, share) for name, value in end.items()})
        found = validated(module, validation, text_model, settings, device) | {"share": share}
        log.info("share %.2f of the last weights: mrr %.4f, r1 %.4f, r10 %.4f", share, found["mrr"], found["r1"], found["r10"])
        if found["mrr"] > best["mrr"]:
            best = found
            save_module(module, out)
    return best


def module_dims(module: nn.Module) -> int:
    """Dims of a module's output."""
    return module.config.dims if hasattr(module, "config") else module.dims


def _row_of(text: str, where: dict[str, int], texts: list[str]) -> int:
    return where.get(normalized(text), -1)


def _with_new_texts(
    rows: torch.Tensor, texts: list[str], bank: torch.Tensor, text_model: TextModel, pooling: str
) -> tuple[torch.Tensor, torch.Tensor]:
    """Rows and bank with the texts of the batch appended that the bank does not hold: runs of sentences out of a clip."""
    new = (rows < 0).nonzero().flatten().tolist()
    if not new:
        return rows, bank
    vectors = text_model.embed([texts[i] for i in new], pooling=pooling)
    rows = rows.clone()
    rows[new] = torch.arange(len(bank), len(bank) + len(new), device=rows.device)
    return rows, torch.cat([bank, torch.from_numpy(vectors).to(bank.device)])


@torch.inference_mode()
def module_vectors(
    module: nn.Module, data: TrainingData, device: torch.device, *, seconds: float = 400.0
) -> tuple[np.ndarray, list[str], np.ndarray]:
    """Vectors ``(U, D)``, texts and durations (s) of all items of the data, in order."""
    was = module.training
    module.eval()
    items = data.plan(0, 0)
    order = plan_batches([item[0] for item in items], seconds=seconds, seed=0)
    rows: dict[int, tuple[np.ndarray, str]] = {}
    for numbers in order:
        batch = data.batch([items[i] for i in numbers]).to(device)
        for i, vector, text in zip(numbers, module(*batch.inputs).float().cpu().numpy(), batch.texts, strict=True):
            rows[i] = vector, text
    module.train(was)
    return (
        np.stack([rows[i][0] for i in range(len(items))]),
        [rows[i][1] for i in range(len(items))],
        np.array([item[0] for item in items]),
    )


def validated(
    module: nn.Module, data: TrainingData, text_model: TextModel, settings: TrainingSettings, device: torch.device
) -> dict[str, float]:
    """Scores of a module on held-out data, its own texts being the gallery."""
    vectors, texts, _ = module_vectors(module, data, device)
    gallery = list(dict.fromkeys(normalized(text) for text in texts))
    embedded = text_model.embed(gallery, pooling=settings.target)
    right = np.array([gallery.index(normalized(text)) for text in texts])
    return scores(vectors, embedded[right], embedded, right)


def _tensors(learner: _Learner, optimizer: Any, mean: dict[str, torch.Tensor] | None) -> dict[str, torch.Tensor]:
    tensors = {f"learner.{k}": v for k, v in learner.state_dict().items()}
    for number, values in optimizer.state_dict()["state"].items():
        tensors |= {f"optimizer.{number}.{k}": torch.as_tensor(v).clone() for k, v in values.items()}
    tensors |= {f"mean.{k}": v for k, v in (mean or {}).items()}
    tensors["random.cpu"] = torch.get_rng_state()
    if torch.cuda.is_available():
        tensors["random.cuda"] = torch.cuda.get_rng_state()
    return tensors


def _restore(folder: Path, learner: _Learner, optimizer: Any, mean: dict[str, torch.Tensor] | None) -> dict[str, Any]:
    from safetensors.torch import load_file

    tensors = load_file(folder / "state.safetensors")

    def part(prefix: str) -> dict[str, torch.Tensor]:
        return {k.removeprefix(prefix): v for k, v in tensors.items() if k.startswith(prefix)}

    learner.load_state_dict(part("learner."))
    states: dict[int, dict[str, torch.Tensor]] = {}
    for name, value in part("optimizer.").items():
        number, _, key = name.partition(".")
        states.setdefault(int(number), {})[key] = value
    whole = optimizer.state_dict()
    optimizer.load_state_dict({"state": states, "param_groups": whole["param_groups"]})
    if mean is not None:
        for name, value in part("mean.").items():
            mean[name].copy_(value)
    torch.set_rng_state(tensors["random.cpu"])
    if torch.cuda.is_available() and "random.cuda" in tensors:
        torch.cuda.set_rng_state(tensors["random.cuda"])
    return json.loads((folder / "state.json").read_text())


def _latest_for(out: Path) -> Path | None:
    """The checkpoint to start from, for processes that write none."""
    pointer = out / "latest.json"
    return out / json.loads(pointer.read_text())["checkpoint"] if pointer.exists() else None


def _board(out: Path) -> Any:
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError as error:
        raise ConfigurationError("Logging to TensorBoard needs the package tensorboard: pip install tensorboard") from error
    return SummaryWriter(str(out / "tensorboard"))


def target_norm(text_model: TextModel, texts: list[str], pooling: str) -> float:
    """Mean norm of the texts' vectors: the norm that a module trained by direction alone gives its outputs."""
    return float(np.linalg.norm(text_model.embed(texts, pooling=pooling), axis=1).mean())
