"""Pickles from strangers: what the field's files hold is read, and a payload does not run."""

from __future__ import annotations

import io
import os
import pickle
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from analysis.errors import FaceError
from analysis.face.datasets import read_templates
from analysis.face.regions import read_region
from analysis.face.restricted_pickle import load_pickle, loads_pickle

VALUE = {
    "F2": np.arange(12, dtype=np.float32).reshape(4, 3),
    "M3": np.arange(12, dtype=">f8").reshape(4, 3, order="F"),
    "name": "naïve",
    "list": [1, 2.5, True, None, (3,), b"\x80bytes"],
    "scalar": np.float64(1.5),
    "integer": np.int32(7),
    "flag": np.bool_(True),
}

# A dictionary {"lips": array([3, 1, 2], int32)} as Python 2's pickle wrote it with protocol 2: strings are bytes in latin1.
PYTHON_2 = (
    b"\x80\x02}q\x00U\x04lipsq\x01cnumpy.core.multiarray\n_reconstruct\nq\x02cnumpy\nndarray\nq\x03K\x00\x85U\x01bq\x04\x87Rq\x05"
    b"(K\x01K\x03\x85cnumpy\ndtype\nq\x06U\x02i4q\x07K\x00K\x01\x87Rq\x08(K\x03U\x01<q\tNNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00t"
    b"q\nb\x89U\x0c\x03\x00\x00\x00\x01\x00\x00\x00\x02\x00\x00\x00q\x0btq\x0cbs."
)


class Payload:
    """Makes a file when unpickled by the ordinary unpickler."""

    def __init__(self, target: Path) -> None:
        self.target = target

    def __reduce__(self):
        return os.mkdir, (str(self.target),)


@pytest.mark.parametrize("protocol", range(6))
def test_reads_what_templates_are_made_of(protocol: int) -> None:
    found = loads_pickle(pickle.dumps(VALUE, protocol=protocol))
    assert found.keys() == VALUE.keys()
    for key in ("F2", "M3"):
        assert found[key].dtype.newbyteorder("=") == VALUE[key].dtype.newbyteorder("=")
        np.testing.assert_array_equal(found[key], VALUE[key])
    assert {key: found[key] for key in list(VALUE)[2:]} == {key: VALUE[key] for key in list(VALUE)[2:]}


def test_reads_python_2() -> None:
    found = loads_pickle(PYTHON_2)
    assert list(found) == ["lips"]
    assert found["lips"].tolist() == [3, 1, 2]


@pytest.mark.parametrize("protocol", range(6))
@pytest.mark.parametrize(
    "wrap", [lambda p: p, lambda p: {"F2": np.zeros((4, 3)), "M3": p}, lambda p: np.array([p], dtype=object)]
)
def test_a_payload_does_not_run(tmp_path: Path, protocol: int, wrap) -> None:
    target = tmp_path / "pwned"
    data = pickle.dumps(wrap(Payload(target)), protocol=protocol)
    with pytest.raises(FaceError, match="which could run code"):
        loads_pickle(data)
    assert not target.exists()
    pickle.loads(data)  # the payload is real
    assert target.exists()


def test_the_message_names_what_was_asked_for(tmp_path: Path) -> None:
    path = tmp_path / "templates.pkl"
    path.write_bytes(pickle.dumps(Payload(tmp_path / "pwned"), protocol=2))
    with pytest.raises(FaceError) as error:
        read_templates(path)
    assert str(error.value) == (
        f"{path} asks for the name posix.mkdir, which could run code. Only NumPy arrays, dictionaries, lists, strings and "
        "numbers are "
        f"read, so nothing of it was run. If you trust the file, open it yourself and save its arrays with numpy.savez."
    )


@pytest.mark.parametrize(
    ("text", "name"),
    [
        (b"c__builtin__\neval\n(S'1'\ntR.", "__builtin__.eval"),
        (b"\x80\x04\x8c\x08builtins\x8c\x07getattr\x93.", "builtins.getattr"),
        (b"\x80\x04\x8c\x05numpy\x8c\x0endarray.tofile\x93.", "numpy.ndarray.tofile"),
        (b"cnumpy\nload\n.", "numpy.load"),
        (b"cnumpy.core.multiarray\nfromfile\n.", "numpy.core.multiarray.fromfile"),
        (b"ctorch.storage\n_load_from_bytes\n.", "torch.storage._load_from_bytes"),
        (b"(S'ls'\nios\nsystem\n.", "os.system"),
        (b"ccopy_reg\n_reconstructor\n.", "copy_reg._reconstructor"),
    ],
)
def test_other_names_are_refused(text: bytes, name: str) -> None:
    with pytest.raises(FaceError) as error:
        loads_pickle(text)
    assert f"asks for the name {name}, which could run code" in str(error.value)


@pytest.mark.parametrize("text", [b"", b"not a pickle", PYTHON_2[:-20], b"\x80\x04\x82\x01.", b"Pid\n.", b"\x80\xff."])
def test_damaged_pickles_are_told_as_such(text: bytes) -> None:
    with pytest.raises(FaceError, match="no readable pickle"):
        loads_pickle(text)


def test_other_codecs_and_subclasses_are_refused() -> None:
    with pytest.raises(FaceError, match="the codec 'zip'"):
        loads_pickle(b"c_codecs\nencode\n(Vabc\nVzip\ntR.")
    with pytest.raises(FaceError, match="an array of the class"):
        loads_pickle(b"cnumpy.core.multiarray\n_reconstruct\n(ccollections\nOrderedDict\n(K\x00tS'b'\ntR.")


def test_tensors_only_where_asked_for() -> None:
    torch = pytest.importorskip("torch")
    tensor = torch.arange(6.0).reshape(2, 3)
    data = pickle.dumps({"D1": tensor})
    with pytest.raises(FaceError, match="which could run code"):
        loads_pickle(data)
    np.testing.assert_array_equal(loads_pickle(data, tensors=True)["D1"].numpy(), tensor.numpy())


def test_a_payload_in_a_tensors_storage_does_not_run(tmp_path: Path) -> None:
    pytest.importorskip("torch")
    target = tmp_path / "pwned"
    inner = pickle.dumps(Payload(target), protocol=2)

    class Storage:
        def __reduce__(self):
            import torch

            return torch.storage._load_from_bytes, (inner,)

    with pytest.raises(FaceError, match="no readable pickle"):
        loads_pickle(pickle.dumps(Storage()), tensors=True)
    assert not target.exists()


def test_masks_and_templates_through_it(tmp_path: Path) -> None:
    masks = tmp_path / "FLAME_masks.pkl"
    masks.write_bytes(
        pickle.dumps({"lips": np.array([5, 5, 2]), "forehead": np.array([9, 1]), "eye_region": np.array([1, 4])}, 2)
    )
    lips = read_region(f"{masks}:lips")
    assert (lips.name, lips.size, lips.n_unique) == ("FLAME_masks.pkl:lips", 3, 2)
    assert read_region(f"{masks}:forehead+eye_region").indices.tolist() == [1, 4, 9]
    with pytest.raises(FaceError) as error:
        read_region(f"{masks}:mouth")
    assert str(error.value) == f"{masks} holds no region 'mouth'. It holds: eye_region, forehead, lips."
    with pytest.raises(FaceError) as error:
        read_region(masks)
    assert str(error.value) == (
        f"{masks} holds several regions. Name one after a colon, as in FLAME_masks.pkl:lips. It holds: eye_region, "
        "forehead, lips."
    )
    assert load_pickle(masks).keys() == {"lips", "forehead", "eye_region"}


def test_the_command_line_refuses_a_payload_and_says_so(small_set, repository: Path) -> None:
    target = small_set.folder / "pwned"
    (small_set.folder / "templates.pkl").write_bytes(pickle.dumps({"F2": Payload(target)}))
    command = [sys.executable, "-m", "analysis.face", *small_set.arguments()]
    done = subprocess.run(command, cwd=repository, capture_output=True, text=True)
    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr.startswith("error: ")
    assert "asks for the name posix.mkdir, which could run code" in done.stderr
    assert "Traceback" not in done.stderr
    assert not target.exists()


def test_a_pickled_npy_is_refused(small_set) -> None:
    from analysis.face.__main__ import main

    target = small_set.folder / "pwned"
    stream = io.BytesIO()
    np.save(stream, np.array([Payload(target)], dtype=object), allow_pickle=True)
    small_set.prediction_file("F2_e37").write_bytes(stream.getvalue())
    assert main(small_set.arguments()) == 2
    assert not target.exists()
