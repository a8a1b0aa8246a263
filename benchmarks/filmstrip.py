"""Frames of a video side by side, as in README: `python benchmarks/filmstrip.py agent.mp4 agent.png`."""

import argparse
from pathlib import Path

import numpy as np
from moviepy.video.io.VideoFileClip import VideoFileClip
from PIL import Image

FRAMES, WIDTH, GAP, COLORS = 6, 200, 4, 64  # WIDTH of a frame and GAP between two in pixels


def filmstrip(video: Path, frames: int = FRAMES) -> Image.Image:
    """The first frame, the last, and those between at equal distances."""
    with VideoFileClip(str(video)) as clip:
        shown = [Image.fromarray(frame) for frame in clip.iter_frames()]
    chosen = [shown[index] for index in np.linspace(0, len(shown) - 1, frames).round().astype(int)]
    height = round(WIDTH * chosen[0].height / chosen[0].width)
    strip = Image.new("RGB", ((WIDTH + GAP) * frames - GAP, height), "white")
    for number, frame in enumerate(chosen):
        strip.paste(frame.resize((WIDTH, height), Image.Resampling.LANCZOS), ((WIDTH + GAP) * number, 0))
    return strip.quantize(COLORS)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("video", type=Path)
    parser.add_argument("picture", type=Path)
    given = parser.parse_args()
    filmstrip(given.video).save(given.picture, optimize=True)


if __name__ == "__main__":
    main()
