"""Pictures of meshes against a pixel-by-pixel loop, exact times, and films that play."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest

from analysis.errors import ConfigurationError, FaceError
from analysis.face.__main__ import main
from analysis.face.render import Panel, frame_pictures, gif_delays, rasterise, write_animation
from analysis.face.synthetic import face_mesh

WINDOW = np.array([[0.0, 0.0], [1.0, 1.0]])


def _by_pixel(vertices: np.ndarray, faces: np.ndarray, colours: np.ndarray, size: int) -> np.ndarray:
    picture, depth = np.full((size, size, 3), 255.0), np.full((size, size), -np.inf)
    for face in faces:
        (ax, ay, az), (bx, by, bz), (cx, cy, cz) = (vertices[v] * [size, size, 1] for v in face)
        area = (bx - ax) * (cy - ay) - (by - ay) * (cx - ax)
        for row in range(size):
            for column in range(size):
                x, y = column + 0.5, size - 1 - row + 0.5
                wb = ((x - ax) * (cy - ay) - (y - ay) * (cx - ax)) / area
                wc = ((bx - ax) * (y - ay) - (by - ay) * (x - ax)) / area
                wa = 1 - wb - wc
                z = wa * az + wb * bz + wc * cz
                if min(wa, wb, wc) >= 0 and z > depth[row, column]:
                    depth[row, column] = z
                    picture[row, column] = 255 * (wa * colours[face[0]] + wb * colours[face[1]] + wc * colours[face[2]])
    return picture


def test_a_picture_equals_the_loop_over_pixels() -> None:
    rng = np.random.default_rng(3)
    vertices = np.concatenate([rng.random((12, 3)), rng.random((12, 3)) * 0.1 + 0.4])
    faces = np.array([(3 * n, 3 * n + 1, 3 * n + 2) for n in range(8)])  # large and small, in front of one another
    colours = rng.random((24, 3))
    found = rasterise(vertices, faces, colours, 40, WINDOW)
    expected = _by_pixel(vertices, faces, colours, 40)
    assert (np.abs(found - expected).max(axis=2) <= 1).mean() > 0.998  # a pixel centre on an edge may fall either way
    assert (found == 255).all(axis=2).mean() < 0.9
    moved = rasterise(vertices - [0.9, 0, 0], faces, colours, 40, WINDOW)  # most of it is outside the window
    assert moved.shape == (40, 40, 3) and (moved != 255).any()


def test_gif_delays_lose_no_time() -> None:
    delays = gif_delays(300, 30)
    assert sum(delays) == 10_000 and set(delays) == {30, 40}
    assert gif_delays(4, 25) == [40] * 4


def _moving(n_frames: int = 12) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    neutral, faces, lips, _, movements = face_mesh("vocaset")
    return np.stack([neutral + 0.1 * np.sin(t / 2) * movements[0] for t in range(n_frames)]), faces, lips


def test_panels_titles_heat_and_close_up() -> None:
    sequence, faces, lips = _moving()
    heat = np.zeros(sequence.shape[:2])
    heat[:, lips] = 1.0
    pictures = list(frame_pictures([Panel(sequence, "one"), Panel(sequence[:9], "two", heat[:9])], faces=faces, size=81))
    assert len(pictures) == 9 and pictures[0].shape == (16 + 82, 164, 3)  # even, whatever was asked
    left, right = pictures[0][16:, :82].astype(int), pictures[0][16:, 82:].astype(int)
    assert np.ptp(left[..., 0] - left[..., 2]) < 30  # grey
    assert (right[..., 0] - right[..., 2]).max() > 60  # red lips
    assert (pictures[0][:16] < 128).any()  # a title
    close = next(frame_pictures([Panel(sequence)], faces=faces, size=80, close_up=lips))
    assert (close != 255).all(axis=2).mean() > (left != 255).all(axis=2).mean()
    with pytest.raises(FaceError, match="Sequences of 285 and of 3 vertices cannot stand side by side"):
        next(frame_pictures([Panel(sequence), Panel(sequence[:, :3])], faces=faces))
    with pytest.raises(FaceError, match=r"The triangles name vertex 284, but the meshes have 9 vertices\. Give their own\."):
        next(frame_pictures([Panel(sequence[:, :9])], faces=faces))


def test_what_cannot_be_written(tmp_path: Path, monkeypatch) -> None:
    sequence, faces, _ = _moving(2)

    def refused(name: str, **options) -> str:
        with pytest.raises((FaceError, ConfigurationError)) as error:
            write_animation(
                frame_pictures([Panel(sequence)], faces=faces, size=16), tmp_path / name, fps=30, n_frames=2, **options
            )
        return str(error.value).replace(f"{tmp_path}/", "")

    assert refused("a.avi") == "A sequence is drawn as .mp4 or .gif, not as .avi: a.avi."
    assert refused("a.mp4", audio=tmp_path / "no.wav") == "There is no recording no.wav."
    (tmp_path / "a.wav").write_bytes(b"RIFF")
    assert refused("a.gif", audio=tmp_path / "a.wav") == "A gif has no sound. Name the result a.mp4, or leave --audio out."
    monkeypatch.setenv("PATH", str(tmp_path))
    assert refused("a.mp4") == (
        "mp4 needs ffmpeg with an H.264 encoder, and there is no ffmpeg on the PATH. Install it (apt-get install ffmpeg, conda "
        "install -c conda-forge ffmpeg), or name the result a.gif."
    )


def test_titles_and_truths_that_do_not_fit(tmp_path: Path, capsys) -> None:
    np.save(tmp_path / "a.npy", _moving(3)[0])
    assert main(["render", str(tmp_path / "a.npy"), str(tmp_path / "a.gif"), "--title", "x", "--title", "y"]) == 2
    assert capsys.readouterr().err == "error: There are 1 sequences and 2 titles. Give one --title for each, or none.\n"
    assert main(["render", str(tmp_path / "a.npy"), str(tmp_path / "a.gif"), "--truth", str(tmp_path / "a.npy")]) == 2
    assert capsys.readouterr().err == "error: --truth colours a surface. Give its triangles with --faces.\n"


@pytest.mark.skipif(shutil.which("ffmpeg") is None, reason="there is no ffmpeg on the PATH")
@pytest.mark.parametrize("seconds", [0.2, 3.0])
def test_an_mp4_has_its_rate_its_length_and_its_sound(tmp_path: Path, seconds: float) -> None:
    import soundfile

    sequence, faces, _ = _moving(31)
    for name, offset in (("a", 0.0), ("b", 0.001)):
        np.save(tmp_path / f"{name}.npy", sequence + offset)
    np.save(tmp_path / "faces.npy", faces)
    soundfile.write(tmp_path / "s.wav", 0.1 * np.sin(np.arange(int(16000 * seconds)) / 10), 16000)
    out = tmp_path / "film.mp4"
    arguments = ["render", str(tmp_path / "a.npy"), str(tmp_path / "b.npy"), str(out), "--faces", str(tmp_path / "faces.npy")]
    arguments += ["--fps", "30", "--audio", str(tmp_path / "s.wav"), "--title", "a", "--title", "b", "--size", "64"]
    assert main([*arguments, "--truth", str(tmp_path / "a.npy")]) == 0
    said = subprocess.run(["ffmpeg", "-hide_banner", "-i", str(out), "-f", "null", "-"], capture_output=True, text=True).stderr
    assert "Video: h264" in said and "yuv420p" in said and "30 fps" in said and "Audio: aac" in said
    assert "frame=   31" in said or "frame=31" in said.replace(" ", "")
    hours, minutes, rest = said.partition("Duration: ")[2].partition(",")[0].split(":")
    assert abs(float(rest) - 31 / 30) < 1 / 30 and (hours, minutes) == ("00", "00")
