"""Pictures of handwritten digits, in copies that are turned, stretched and moved.

Scikit-learn's 1797 pictures of 8 × 8 pixels, which ship with it. Maps and split are drawn once, so
that every process has the same examples.
"""

from __future__ import annotations

import hashlib
import importlib
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

SOURCE = "sklearn.datasets"
INSTALL = 'pip install --constraint constraints.txt --editable ".[digits]"'
SIDE = 8
"""Pixels of an original picture's edge."""

BRIGHTEST = 16
SPLIT_SEED = 11
TRAINING_SEED, HELD_OUT_SEED = 12, 13
"""Of the maps."""


@dataclass(frozen=True)
class Making:
    """What is made of the original pictures.

    Attributes:
        side: pixels of an example's edge, the digit in its middle before it is moved.
        held_out: pictures that are for evaluation only.
        copies: of each training picture, each under an affine map of its own.
        held_out_copies: the same, of each picture held out.
        turn: the largest angle, in radians.
        stretch: the largest logarithm of a factor; each axis has its own.
        shift: the farthest way along each axis, in pixels of the original.
    """

    side: int = 12
    held_out: int = 797
    copies: int = 16
    held_out_copies: int = 4
    turn: float = 0.6
    stretch: float = 0.3
    shift: float = 1.5


@dataclass(frozen=True)
class Examples:
    """Pictures and what they show; an id is a place among them.

    Attributes:
        images: float32 (examples, 1, side, side), from 0 to 1.
        answers: digits, int64 (examples,).
    """

    images: Tensor
    answers: Tensor

    def __len__(self) -> int:
        return len(self.answers)


@dataclass(frozen=True)
class Pictures:
    """Examples of different pictures to train and to evaluate on, and a hash of them all."""

    train: Examples
    held_out: Examples
    fingerprint: str


@lru_cache(maxsize=2)
def load_pictures(making: Making) -> Pictures:
    """Make the examples.

    Raises:
        ValueError: scikit-learn is not installed, or no picture is left to train on.
    """
    images, answers = _source()
    if not 0 < making.held_out < len(answers):
        raise ValueError(
            f"0 < held_out < {len(answers)} must hold, but got held_out={making.held_out}"
        )
    order = np.random.default_rng(SPLIT_SEED).permutation(len(answers))
    held_out, train = order[: making.held_out], order[making.held_out :]
    return Pictures(
        _copied(images[train], answers[train], training_maps(making, len(train)), making.side),
        _copied(images[held_out], answers[held_out], held_out_maps(making), making.side),
        _fingerprint(images, answers, making),
    )


def _source() -> tuple[Tensor, Tensor]:
    try:
        loaded = importlib.import_module(SOURCE).load_digits()
    except ImportError as error:
        raise ValueError(
            f"the handwritten digits come with scikit-learn, but {SOURCE} cannot be imported "
            f"({error}); install it with {INSTALL}"
        ) from error
    images = torch.from_numpy(loaded.images.astype(np.float32) / BRIGHTEST)
    return images[:, None], torch.from_numpy(loaded.target.astype(np.int64))


def training_maps(making: Making, pictures: int) -> Tensor:
    """``affine_maps`` of all first copies of the training pictures, then of all second ones, and so
    on.
    """
    return affine_maps(making, making.copies * pictures, TRAINING_SEED)


def held_out_maps(making: Making) -> Tensor:
    """``affine_maps`` of the copies of the held-out pictures, in the same order."""
    return affine_maps(making, making.held_out_copies * making.held_out, HELD_OUT_SEED)


def affine_maps(making: Making, count: int, seed: int) -> Tensor:
    """Affine maps from a place in an example to its place in the picture: turn, stretch and shift.

    Float32 (count, 2, 3); places lie between -1 and 1, the edges of both.
    """
    draws = np.random.default_rng(seed).uniform(-1, 1, size=(5, count))
    angle, stretch = making.turn * draws[0], np.exp(making.stretch * draws[1:3])
    across, down = stretch * making.side / SIDE
    moved = making.shift * draws[3:] * 2 / SIDE
    cos, sin = np.cos(angle), np.sin(angle)
    rows = [[cos * across, -sin * down, moved[0]], [sin * across, cos * down, moved[1]]]
    return torch.from_numpy(np.array(rows, dtype=np.float32)).permute(2, 0, 1)


def _copied(images: Tensor, answers: Tensor, maps: Tensor, side: int) -> Examples:
    copies = len(maps) // len(images)
    grid = functional.affine_grid(maps, [len(maps), 1, side, side], align_corners=False)
    made = functional.grid_sample(images.repeat(copies, 1, 1, 1), grid, align_corners=False)
    return Examples(made, answers.repeat(copies))


def _fingerprint(images: Tensor, answers: Tensor, making: Making) -> str:
    digest = hashlib.sha256(images.numpy().tobytes() + answers.numpy().tobytes())
    digest.update(repr(making).encode())
    return digest.hexdigest()[:16]
