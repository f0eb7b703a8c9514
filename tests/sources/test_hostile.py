"""Broken, misnamed and hostile files: each is refused with a reason, and the rest comes in."""

from __future__ import annotations

import json
import os
import struct
import subprocess
import sys
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest

LIMIT_MB = 1500


def _huge_png(side: int) -> bytes:
    """A grey PNG of side × side pixels, all zero, packed into some kilobytes."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        crc = struct.pack(">I", zlib.crc32(kind + data))
        return struct.pack(">I", len(data)) + kind + data + crc

    header = struct.pack(">IIBBBBB", side, side, 1, 0, 0, 0, 0)  # one bit a pixel
    pack = zlib.compressobj(9)
    row = bytes(1 + (side + 7) // 8)
    body = b"".join(pack.compress(row) for _ in range(side)) + pack.flush()
    head = b"\x89PNG\r\n\x1a\n"
    return head + chunk(b"IHDR", header) + chunk(b"IDAT", body) + chunk(b"IEND", b"")


def _nested_entities() -> str:
    lines = ['<!ENTITY a0 "lollollollol">']
    lines += [f'<!ENTITY a{i} "{f"&a{i - 1};" * 10}">' for i in range(1, 10)]
    return f"<!DOCTYPE svg [{''.join(lines)}]><svg xmlns='http://www.w3.org/2000/svg'>&a9;</svg>"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    import soundfile
    from PIL import Image

    root = tmp_path_factory.mktemp("hostile")
    box = root / "box"
    box.mkdir()
    rng = np.random.default_rng(0)
    Image.fromarray(rng.integers(0, 255, (40, 60, 3), np.uint8)).save(box / "good.png")
    soundfile.write(box / "good.wav", rng.normal(0, 0.1, 16_000), 16_000)
    (box / "good.txt").write_text("A good text.\n", "utf-8")
    (box / "good.svg").write_text(
        '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 9 9">'
        '<rect width="5" height="5"/></svg>'
    )
    (box / "huge.png").write_bytes(_huge_png(13_000))
    (box / "bomb.svg").write_text(_nested_entities())
    (box / "reads.svg").write_text(
        '<!DOCTYPE svg [<!ENTITY x SYSTEM "file:///etc/passwd">]>'
        '<svg xmlns="http://www.w3.org/2000/svg"><text>&x;</text></svg>'
    )
    with soundfile.SoundFile(box / "hours.flac", "w", 16_000, 1, format="FLAC") as f:
        for _ in range(180):
            f.write(np.zeros(60 * 16_000, np.int16))
    for name in ("empty.png", "empty.wav", "empty.txt", "empty.svg", "empty.pdf"):
        (box / name).touch()
    (box / "random.txt").write_bytes(rng.bytes(5000))
    (box / "random.mp3").write_bytes(rng.bytes(5000))
    (box / "cut.png").write_bytes((box / "good.png").read_bytes()[:2000])
    (box / "cut.wav").write_bytes((box / "good.wav").read_bytes()[:20])
    (box / "text.jpg").write_text("This is no picture at all.")
    (box / "picture.txt").write_bytes((box / "good.png").read_bytes())
    (root / "secret.txt").write_text("not for you")
    (box / "out.txt").symlink_to(root / "secret.txt")
    (box / "circle.txt").symlink_to(box / "circle.txt")
    os.mkfifo(box / "pipe.txt")
    return box


_MEASURED = """
import resource, runpy, sys
sys.argv[0] = "graphretrieval"
try:
    runpy.run_module("graphretrieval", run_name="__main__")
finally:
    # a process's ru_maxrss begins at that of the process that started it; VmHWM is its own
    own = next(int(x.split()[1]) for x in open("/proc/self/status") if x.startswith("VmHWM"))
    children = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
    print(f"PEAK {(own + children) / 1024:.0f}", file=sys.stderr)
"""


@pytest.fixture(scope="module")
def added(folder: Path) -> tuple[subprocess.CompletedProcess[str], dict[str, Any]]:
    store = folder.parent / "box.db"
    arguments = ["--store", str(store), "add", str(folder), "--json"]
    done = subprocess.run(
        [sys.executable, "-c", _MEASURED, *arguments], capture_output=True, text=True, timeout=300
    )
    return done, json.loads(done.stdout)[0]


def test_some_refused_files_give_exit_code_3(
    added: tuple[subprocess.CompletedProcess[str], dict[str, Any]],
) -> None:
    assert added[0].returncode == 3
    assert "Traceback" not in added[0].stderr


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("huge.png", "pixels"),
        ("bomb.svg", "entities"),
        ("reads.svg", "read from elsewhere"),
        ("empty.png", "empty"),
        ("empty.wav", "empty"),
        ("empty.txt", "empty"),
        ("empty.svg", "empty"),
        ("empty.pdf", ""),
        ("random.txt", "text"),
        ("random.mp3", ""),
        ("cut.png", "damaged"),
        ("cut.wav", ""),
        ("text.jpg", "content is"),
        ("picture.txt", "content is"),
        ("out.txt", "leads out"),
        ("circle.txt", "circle"),
        ("pipe.txt", "not a regular file"),
    ],
)
def test_each_is_refused_with_its_reason(
    added: tuple[subprocess.CompletedProcess[str], dict[str, Any]], name: str, reason: str
) -> None:
    refused = {Path(r["uri"]).name: r["reason"] for r in added[1]["refused"]}
    assert name in refused
    assert reason in refused[name]
    assert len(refused[name]) > 10


def test_all_good_files_come_in_and_a_long_recording_as_fragments(
    added: tuple[subprocess.CompletedProcess[str], dict[str, Any]], folder: Path
) -> None:
    import graphretrieval as gr

    with gr.open(folder.parent / "box.db") as kb:
        ids = {n.id for n in kb.store.nodes()}
        assert {"box/good.png", "box/good.wav", "box/good.txt", "box/good.svg"} <= ids
        parts = [n for n in kb.store.nodes("audio") if n.id.startswith("box/hours.flac#")]
    assert len(parts) == 360
    assert max(n.end or 0 for n in parts) == 10_800
    assert "not for you" not in str(ids)


def test_memory_stays_bounded(
    added: tuple[subprocess.CompletedProcess[str], dict[str, Any]],
) -> None:
    peak = float(added[0].stderr.rsplit("PEAK ", 1)[1])
    assert peak < LIMIT_MB
