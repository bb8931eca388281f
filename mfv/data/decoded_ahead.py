"""Photographs that a copy of this process decodes while this one loads libraries."""

from __future__ import annotations

import logging
import mmap
import multiprocessing
import sys
import warnings
from contextlib import suppress
from multiprocessing.context import ForkProcess
from typing import Self

import numpy as np
import torch
from torch import Tensor

from mfv.data.source import ImageSource
from mfv.data.transforms import Preprocess
from mfv.errors import UnreadableImage
from mfv.fork_server import end_with_parent, ignoring_interrupts
from mfv.threads import processors

MEMORY = 1 << 28  # bytes of pixels: 1,783 images of 224 pixels


class DecodedAhead:
    """The first images of a source, as far as they are decoded by the time that they are asked for.

    Loading PyTorch's libraries takes one processor, for seconds; a copy of this process decodes on another meanwhile.
    Nobody waits for it: what it has not done when the images are wanted, or cannot be read, is left to who wants it.
    So nothing depends on it but the time. Only where processes can be copied (Linux), with more than one processor.

    Used as a context, it ends the copy, and gives the memory back, at the end of the block.

    Args:
        source: the images; several threads, and so a copied process, may load them (`ImageSource.concurrent`).
        preprocess: how they are prepared.
        memory: bytes that their pixels may take.

    """

    def __init__(self, source: ImageSource, preprocess: Preprocess, memory: int = MEMORY):
        self.source, self.preprocess = source, preprocess
        each = 3 * preprocess.size**2
        self.count = min(len(source), memory // each) if source.concurrent and able() else 0
        shared = np.frombuffer(mmap.mmap(-1, 1 + self.count * (1 + each)), np.uint8)[1:]  # zeros, taken as it is filled
        self._done: np.ndarray = shared[: self.count]
        self._pixels: np.ndarray = shared[self.count :].reshape(self.count, preprocess.size, preprocess.size, 3)
        self._copy: ForkProcess | None = None

    def begin(self) -> None:
        """Have them decoded, the first one first."""
        if not self.count:
            return
        copy = multiprocessing.get_context("fork").Process(target=self._decode, daemon=True)
        with ignoring_interrupts(), warnings.catch_warnings(), suppress(OSError):  # a limit of processes, or memory
            warnings.simplefilter("ignore", DeprecationWarning)  # of copies of a process with threads: it uses none
            copy.start()
            self._copy = copy

    def end(self) -> None:
        """End the copy; what it has decoded stays."""
        if self._copy is not None:
            self._copy.kill()
            self._copy.join()
            self._copy = None

    def pixels(self, index: int) -> Tensor | None:
        """Return an image as `Preprocess.bytes` does, (3, S, S) uint8; None where it is not there, or not yet."""
        there = index < self.count and self._copy is None and self._done[index]
        return torch.from_numpy(self._pixels[index]).permute(2, 0, 1) if there else None

    def forget(self) -> None:
        """End the copy, and give the memory back."""
        self.end()
        self.count = 0
        self._done = self._pixels = self._pixels[:0].copy()

    def __enter__(self) -> Self:
        """Begin."""
        self.begin()
        return self

    def __exit__(self, *_: object) -> None:
        """End, and keep nothing."""
        self.forget()

    def _decode(self) -> None:
        """Decode, in the copy."""
        end_with_parent()
        logging.disable()
        warnings.simplefilter("ignore")
        torch.set_num_threads(1)  # others are not copied
        with suppress(Exception):  # who wants the image is told what is wrong
            for index in range(self.count):
                with suppress(UnreadableImage):
                    self._pixels[index] = self.preprocess.loaded(self.source, index).permute(1, 2, 0).numpy()
                    self._done[index] = True


def able() -> bool:
    """Say whether a copy of this process could work beside it."""
    return sys.platform == "linux" and processors() > 1 and not multiprocessing.current_process().daemon
