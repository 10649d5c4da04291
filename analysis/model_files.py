"""What lies in a model's folder, looked at before any library loads it.

Loaders of transformers take a web page for a configuration, a pointer for weights and an adapter for nothing at all; what they
then raise names neither the file nor the cause. Everything here reads headers and names only: no weights, no code.
"""

from __future__ import annotations

import io
import json
import pickletools
import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

__all__ = ["config_fault", "file_fault", "folder_fault", "unlike_a_model", "weight_files"]

# Weights of other frameworks and programs, which nothing here reads.
_FOREIGN = {
    ".h5": "TensorFlow's",
    ".msgpack": "Flax's",
    ".onnx": "ONNX's",
    ".gguf": "llama.cpp's",
    ".ggml": "whisper.cpp's",
    ".nemo": "NeMo's",
    ".tflite": "TensorFlow Lite's",
}
_ARRAYS = (".npy", ".npz")
_PICKLES = (".bin", ".pt", ".pth", ".ckpt", ".tar")
_JSON = ("config.json", "preprocessor_config.json", "processor_config.json", "vocab.json", "tokenizer_config.json")
# No header of a real model is longer; more is another kind of file.
_LONGEST_HEADER = 100_000_000


def folder_fault(folder: Path, *, weights: bool = True) -> str | None:
    """What keeps a folder from being loaded as a model of transformers, and the remedy; None where nothing is seen.

    Weights, configuration and the other JSON files are looked at by their first bytes and their headers. With ``weights=False``
    the folder need not hold weights, and those that it holds are not looked at.
    """
    config = folder / "config.json"
    if not config.is_file():
        return f"{folder} holds no config.json, so it is no model folder. {_what_instead(folder)}"
    for name in _JSON:
        if (folder / name).is_file() and (fault := _json_fault(folder / name)):
            return fault
    if not weights:
        return None
    files, fault = weight_files(folder)
    if fault:
        return fault
    if not files:
        if (folder / "adapter_config.json").is_file():
            return f"{folder} holds a config.json and no weights. {_lonely_adapter(folder)}"
        foreign = [path for path in sorted(folder.iterdir()) if path.suffix in _FOREIGN]
        held = f"Its {foreign[0].name} is {_FOREIGN[foreign[0].suffix]}, which is not read. " if foreign else ""
        return (
            f"{folder} holds a config.json and no weights. {held}Copy model.safetensors (or pytorch_model.bin) of the same model "
            f"into it."
        )
    return next((fault for path in files if (fault := file_fault(path))), None)


def weight_files(folder: Path) -> tuple[list[Path], str | None]:
    """The files of weights that would be loaded, all shards of them, and what is wrong with their list."""
    for single, index in (
        ("model.safetensors", "model.safetensors.index.json"),
        ("pytorch_model.bin", "pytorch_model.bin.index.json"),
    ):
        if (folder / single).exists():
            return [folder / single], None
        if not (folder / index).is_file():
            continue
        if fault := _json_fault(folder / index):
            return [], fault
        listed = json.loads((folder / index).read_text(encoding="utf-8")).get("weight_map")
        if not isinstance(listed, dict) or not listed or not all(isinstance(name, str) for name in listed.values()):
            return [], f"{folder / index} lists no weights: it has no weight_map. Fetch it again."
        names = sorted(set(listed.values()))
        absent = [name for name in names if not (folder / name).is_file()]
        if absent:
            some = ", ".join(absent[:4]) + (f" and {len(absent) - 4} more" if len(absent) > 4 else "")
            return [], (
                f"{folder} lacks {len(absent)} of the {len(names)} files that its weights are divided among: {some}. Copy them "
                f"beside {index}; the model needs all of them."
            )
        return [folder / name for name in names], None
    return [], None


def file_fault(path: Path) -> str | None:
    """What keeps a file of weights from being read, and the remedy: pointers, pages, files that are cut short or damaged."""
    if fault := _disguised(path):
        return fault
    if path.suffix != ".safetensors":
        with path.open("rb") as file:
            first = file.read(2)
        if first == b"PK" and not zipfile.is_zipfile(path):
            return f"{path} is cut short: the end of the archive is missing. Fetch it again."
        if first != b"PK" and first[:1] != b"\x80":
            return f"{path} is no file of torch.save. It is damaged or of another kind; fetch it again."
        return None
    size = path.stat().st_size
    header, end = _read_header(path)
    if header is None:
        return f"{path} is no safetensors file: its header cannot be read. It is damaged or of another kind; fetch it again."
    if size < end:
        return f"{path} is cut short: its header asks for {end} bytes, and it has {size}. Fetch it again."
    return None


def _read_header(path: Path) -> tuple[dict[str, Any] | None, int]:
    """Names, shapes and places of the tensors of a safetensors file, and the size that the file must have; None for others."""
    with path.open("rb") as file:
        length = int.from_bytes(file.read(8), "little")
        if not 2 <= length <= _LONGEST_HEADER:
            return None, 0
        raw = file.read(length)
    if len(raw) < length and raw.startswith(b"{"):
        return {}, 8 + length
    try:
        header = json.loads(raw)
        end = max((entry["data_offsets"][1] for name, entry in header.items() if name != "__metadata__"), default=0)
        return header, 8 + length + int(end)
    except (ValueError, RecursionError, KeyError, TypeError, IndexError, AttributeError):
        return None, 0


def _array_files(folder: Path) -> list[Path]:
    """Arrays of NumPy in a folder or one below it."""
    return sorted(path for depth in ("*", "*/*") for path in folder.glob(depth) if path.suffix in _ARRAYS)


def config_fault(name: str, config: Mapping[str, Any]) -> str | None:
    """What a configuration says that keeps its weights from being used as they are: that they are quantised."""
    quantised = config.get("quantization_config")
    if not quantised:
        return None
    method = quantised.get("quant_method", "an unnamed method") if isinstance(quantised, Mapping) else "an unnamed method"
    if isinstance(quantised, Mapping) and (quantised.get("load_in_8bit") or quantised.get("load_in_4bit")):
        method = "bitsandbytes"
    return (
        f"The weights of {name} are quantised ({method}, as quantization_config in its config.json says), and only that program "
        f"reads them. Give the model that they were made from."
    )


def unlike_a_model(path: Path) -> str:
    """What a file is that was given where a model was asked for, and what to give instead."""
    if fault := _disguised(path):
        return fault
    if path.suffix == ".json":
        what = "a configuration" if path.name == "config.json" else "a JSON file"
        return f"{path} is {what} and holds no weights. Give the folder that it is in: {path.parent}"
    if path.suffix == ".safetensors":
        return f"{path} is a file of weights. Give the folder that it is in: {path.parent}"
    if path.suffix in _ARRAYS:
        return f"{path} is an array and no model. Frames made elsewhere are read by folder: features:{path.parent}?rate=50"
    if path.suffix in _FOREIGN:
        return (
            f"{path} is {_FOREIGN[path.suffix]} file, which is not read. Give a folder that save_pretrained of transformers wrote, or "
            f"make the frames there and give them as features:DIR?rate=50."
        )
    names = set(_names_in_pickle(path))
    if names:
        return _what_pickle_is(path, names)
    return f"{path} is no model that is known here. Give a folder that save_pretrained wrote, or a .safetensors file in one."


def _what_pickle_is(path: Path, names: set[str]) -> str:
    """Of a file that torch.save wrote, from the text in it; nothing of it is run."""
    if _says_fairseq(names):
        family = "hubert" if any("hubert" in name for name in names) else "wav2vec2"
        converter = f"convert_{family}_original_pytorch_checkpoint_to_pytorch.py"
        return (
            f"{path} is a checkpoint of fairseq, whose tensors have other names and whose settings are objects of fairseq. Convert it "
            f"where fairseq is installed, with the script of transformers' repository:\n"
            f"    python src/transformers/models/{family}/{converter} --checkpoint_path {path.name} "
            f"--pytorch_dump_folder_path FOLDER --not_finetuned\n"
            f"and give FOLDER. Check a frame of both before you trust it."
        )
    if any(name.endswith((".weight", ".bias")) for name in names):
        return (
            f"{path} holds weights alone; what model they belong to stands in no file beside them. Put it into a folder as "
            f"pytorch_model.bin, with config.json and preprocessor_config.json of the model, and give the folder. The checkpoint of "
            f"an animation framework is given as FRAMEWORK:{path}, such as faceformer:{path}."
        )
    return (
        f"{path} holds tensors that are not named as weights: are they frames? Save each utterance's as an array, "
        f"numpy.save('ID.npy', frames.numpy()), and give the folder as features:DIR?rate=50."
    )


def _says_fairseq(names: set[str]) -> bool:
    own = ("fairseq", "omegaconf")
    inner = ("w2v_encoder.", "feature_extractor.conv_layers.0.0.weight")
    return any(name.split(".")[0] in own or name.startswith(inner) or name.endswith(inner[1]) for name in names)


def _names_in_pickle(path: Path, most: int = 64_000_000) -> Iterator[str]:
    """Texts in what torch.save wrote, in either of its formats, read as a list of instructions and never carried out."""
    try:
        if zipfile.is_zipfile(path):
            with zipfile.ZipFile(path) as archive:
                inside = next((name for name in archive.namelist() if name.endswith("data.pkl")), None)
                raw = archive.read(inside) if inside and archive.getinfo(inside).file_size <= most else b""
        else:
            with path.open("rb") as file:
                raw = file.read(most)
        stream = io.BytesIO(raw)
        while raw[stream.tell() : stream.tell() + 1] == b"\x80":  # the old format begins with pickles of a number, a version, ...
            for _, argument, _ in pickletools.genops(stream):
                if isinstance(argument, str):
                    yield argument.replace(" ", ".", 1)
    except (ValueError, OSError, zipfile.BadZipFile, NotImplementedError, EOFError, RuntimeError):
        return


def _disguised(path: Path) -> str | None:
    """A file that is not what its name says, by its first bytes."""
    try:
        size = path.stat().st_size
        with path.open("rb") as file:
            first = file.read(512)
    except OSError as error:
        return f"{path} cannot be read: {error.strerror}. Check its rights."
    if not size:
        return f"{path} is empty. Fetch it again."
    if first.startswith(b"version https://git-lfs"):
        words = first.decode("utf-8", errors="replace").split()
        wanted = words[words.index("size") + 1] if "size" in words[:-1] else "more"
        return (
            f"{path} is a pointer of git-lfs and not the file: it has {size} bytes, the file has {wanted}. Run `git lfs pull` in its "
            f"folder, or fetch the model again with `hf download`."
        )
    if first.lstrip(b"\xef\xbb\xbf \t\r\n").lower().startswith((b"<!doctype", b"<html", b"<head", b"<?xml")):
        return (
            f"{path} is a web page that was saved under this name. Fetch the file itself: with `hf download`, or from the address with "
            f"/resolve/ in place of /blob/."
        )
    return None


def _json_fault(path: Path) -> str | None:
    if fault := _disguised(path):
        return fault
    try:
        held = json.loads(path.read_text(encoding="utf-8-sig"))
    except (ValueError, RecursionError) as error:
        reason = "nested too deeply" if isinstance(error, RecursionError) else (str(error).splitlines() or [""])[0]
        return f"{path} is no JSON ({reason}). Fetch it again."
    if not isinstance(held, dict):
        return f"{path} holds a {type(held).__name__} where an object {{...}} is expected. Fetch it again."
    return None


def _what_instead(folder: Path) -> str:
    """What a folder without a configuration holds, and how that is given."""
    arrays = _array_files(folder)
    if arrays:
        return (
            f"It holds arrays, such as {arrays[0].relative_to(folder)}; give frames made elsewhere as features:{folder}?rate=50"
        )
    if (folder / "adapter_config.json").is_file():
        return _lonely_adapter(folder)
    inside = sorted(path.parent for depth in ("*", "snapshots/*") for path in folder.glob(f"{depth}/config.json"))
    if inside:
        return f"There is one in {inside[-1]}: give that folder."
    files = sorted(path for path in folder.iterdir() if path.is_file())
    pickled = next((path for path in files if path.suffix in _PICKLES and set(_names_in_pickle(path))), None)
    if pickled is not None:
        return _what_pickle_is(pickled, set(_names_in_pickle(pickled)))
    foreign = next((path for path in files if path.suffix in _FOREIGN), None)
    if foreign is not None:
        return unlike_a_model(foreign)
    held = ", ".join(path.name for path in files[:4]) or "no file"
    return (
        f"It holds {held}. A model folder holds config.json, preprocessor_config.json and model.safetensors, as save_pretrained "
        f"writes them."
    )


def _lonely_adapter(folder: Path) -> str:
    try:
        base = json.loads((folder / "adapter_config.json").read_text(encoding="utf-8")).get("base_model_name_or_path")
    except (ValueError, AttributeError, RecursionError):
        base = None
    return (
        f"It holds an adapter of peft alone, without the model that it was trained on ({base or 'which it does not name'}). Merge the "
        f"two where peft is installed, and give the folder of the result:\n"
        f"    model = PeftModel.from_pretrained(AutoModel.from_pretrained({str(base or 'MODEL')!r}), {str(folder)!r})\n"
        f"    model.merge_and_unload().save_pretrained(FOLDER)"
    )
