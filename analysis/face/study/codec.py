"""Which codec the video in an mp4 has, read from its boxes (ISO/IEC 14496-12), and whether browsers play it."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from pathlib import Path

from analysis.errors import FaceError

__all__ = ["check_playable", "video_codecs"]

#: Sample entries that Chromium, Firefox and Safari play.
_PLAYED = frozenset({"avc1", "avc3", "vp08", "vp09", "av01"})
_FOLDERS = (b"moov", b"trak", b"mdia", b"minf", b"stbl")


def video_codecs(path: str | Path) -> list[str]:
    """Four-letter codes of the video tracks of an mp4, mov or m4v, such as ``avc1`` (H.264) or ``mp4v`` (MPEG-4 part 2).

    Raises
    ------
    FaceError
        If the file has no list of tracks: it is cut short, or something else.
    """
    path = Path(path)
    data = b""
    with path.open("rb") as stream:
        size = path.stat().st_size
        while stream.tell() + 8 <= size:
            start = stream.tell()
            length, kind = struct.unpack(">I4s", stream.read(8))
            head = 8
            if length == 1:
                length, head = struct.unpack(">Q", stream.read(8))[0] if start + 16 <= size else 0, 16
            length = size - start if length == 0 else length
            if length < head:
                break
            if kind == b"moov":
                data = stream.read(length - head)
                break
            stream.seek(start + length)
    if not data:
        raise FaceError(f"{path} has no list of tracks: it is cut short, or no mp4. Write it again.")
    return [code for track in _boxes(data, b"trak") if _is_video(track) for code in _entries(track)]


def check_playable(path: str | Path) -> None:
    """Raise FaceError for an mp4 that browsers do not play, with the command that converts it."""
    path = Path(path)
    codecs = video_codecs(path)
    other = [code for code in codecs if code not in _PLAYED]
    if other or not codecs:
        what = f"holds {other[0]} video, which browsers do not play" if other else "holds no video"
        raise FaceError(
            f"{path} {what}. Convert it: ffmpeg -i {path.name} -c:v libx264 -pix_fmt yuv420p -c:a aac -movflags +faststart "
            f"{path.stem}_h264.mp4"
        )


def _boxes(data: bytes, wanted: bytes) -> Iterator[bytes]:
    """Contents of all boxes of one kind, looked for in the folders only."""
    at = 0
    while at + 8 <= len(data):
        length, kind = struct.unpack_from(">I4s", data, at)
        head = 8
        if length == 1 and at + 16 <= len(data):
            length, head = struct.unpack_from(">Q", data, at + 8)[0], 16
        length = len(data) - at if length == 0 else length
        if length < head:
            return
        content = data[at + head : at + length]
        if kind == wanted:
            yield content
        elif kind in _FOLDERS:
            yield from _boxes(content, wanted)
        at += length


def _is_video(track: bytes) -> bool:
    return any(handler[8:12] == b"vide" for handler in _boxes(track, b"hdlr"))


def _entries(track: bytes) -> list[str]:
    return [description[12:16].decode("latin-1") for description in _boxes(track, b"stsd") if len(description) >= 16]
