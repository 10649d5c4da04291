"""The codec of an mp4, read from boxes made here, and from a real one where ffmpeg is installed."""

from __future__ import annotations

import shutil
import struct
import subprocess
from pathlib import Path

import pytest

from analysis.errors import FaceError
from analysis.face.study import read_items
from analysis.face.study.codec import check_playable, video_codecs


def _box(kind: bytes, content: bytes, *, wide: bool = False) -> bytes:
    if wide:
        return struct.pack(">I4sQ", 1, kind, len(content) + 16) + content
    return struct.pack(">I4s", len(content) + 8, kind) + content


def _track(handler: bytes, code: bytes) -> bytes:
    described = _box(b"stsd", bytes(4) + struct.pack(">I", 1) + _box(code, bytes(8)))
    media = _box(b"hdlr", bytes(8) + handler + bytes(12)) + _box(b"minf", _box(b"stbl", described))
    return _box(b"trak", _box(b"mdia", media))


def _film(code: bytes = b"avc1", *, wide: bool = False) -> bytes:
    head = _box(b"ftyp", b"isom" + bytes(4)) + _box(b"mdat", bytes(50), wide=wide)
    return head + _box(b"moov", _box(b"mvhd", bytes(8)) + _track(b"soun", b"mp4a") + _track(b"vide", code))


@pytest.mark.parametrize("wide", [False, True])
def test_the_codec_is_that_of_the_video_track(tmp_path: Path, wide: bool) -> None:
    path = tmp_path / "a.mp4"
    for code in (b"avc1", b"av01", b"vp09"):
        path.write_bytes(_film(code, wide=wide))
        assert video_codecs(path) == [code.decode()]
        check_playable(path)
    path.write_bytes(_film(b"mp4v", wide=wide))
    with pytest.raises(FaceError) as error:
        check_playable(path)
    assert str(error.value) == (
        f"{path} holds mp4v video, which browsers do not play. Convert it: ffmpeg -i a.mp4 -c:v libx264 -pix_fmt yuv420p -c:a aac "
        "-movflags +faststart a_h264.mp4"
    )


def test_files_that_are_no_film(tmp_path: Path) -> None:
    path = tmp_path / "a.mp4"
    whole = _film()
    for content in (b"", b"hello", whole[: whole.index(b"moov") - 4], bytes(40)):
        path.write_bytes(content)
        with pytest.raises(FaceError, match=r"a\.mp4 has no list of tracks: it is cut short, or no mp4\. Write it again\."):
            video_codecs(path)
    path.write_bytes(_box(b"moov", _track(b"soun", b"mp4a")))
    with pytest.raises(FaceError, match=r"a\.mp4 holds no video\. Convert it"):
        check_playable(path)
    for end in range(len(whole) - 60, len(whole)):  # cut anywhere: a code, or the error above
        path.write_bytes(whole[:end])
        try:
            video_codecs(path)
        except FaceError as error:
            assert "no list of tracks" in str(error)


def test_a_study_refuses_what_browsers_do_not_play(tmp_path: Path) -> None:
    for name, code in (("a", b"avc1"), ("b", b"mp4v")):
        (tmp_path / f"{name}.mp4").write_bytes(_film(code))
    (tmp_path / "pairs.csv").write_text("item,method_a,media_a,method_b,media_b\nx,A,a.mp4,B,b.mp4\n")
    with pytest.raises(FaceError, match=r"pairs\.csv, line 2: .*b\.mp4 holds mp4v video, which browsers do not play"):
        read_items(tmp_path / "pairs.csv")


@pytest.mark.skipif(shutil.which("ffmpeg") is None, reason="there is no ffmpeg on the PATH")
@pytest.mark.parametrize(("encoder", "code"), [("libx264", "avc1"), ("mpeg4", "mp4v")])
def test_films_of_ffmpeg(tmp_path: Path, encoder: str, code: str) -> None:
    path = tmp_path / "a.mp4"
    command = ["ffmpeg", "-loglevel", "error", "-f", "lavfi", "-i", "color=s=32x32:r=25:d=0.2", "-c:v", encoder, str(path)]
    subprocess.run(command, check=True)
    assert video_codecs(path) == [code]
