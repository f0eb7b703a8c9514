"""Losses of the neural aligners: which vectors should be near, and how near is judged."""

from __future__ import annotations

import torch

Tensor = torch.Tensor


def contrast(a: Tensor, b: Tensor, positive: Tensor, sharpness: Tensor) -> Tensor:
    """Each a among all b: cross-entropy spread over its positives.

    ``−1/|P(i)| Σ_{j∈P(i)} log softmax_j(s ⟨aᵢ, bⱼ⟩)``: InfoNCE (van den Oord et al. 2018) where
    there is one positive, supervised contrast (Khosla et al. 2020, outside form) where there are
    several. Rows without a positive do not count.

    Args:
        a: ``(n, d)``, unit length.
        b: ``(m, d)``, unit length.
        positive: ``(n, m)`` bool.
        sharpness: s, the inverse temperature.
    """
    logits = sharpness * (a @ b.T)  # (n, m)
    log_p = torch.log_softmax(logits, dim=1)
    count = positive.sum(dim=1)
    each = -(log_p * positive).sum(dim=1) / count.clamp_min(1)
    return each.sum() / (count > 0).sum().clamp_min(1)


def symmetric(a: Tensor, b: Tensor, positive: Tensor, sharpness: Tensor) -> Tensor:
    """The mean of both directions, as in CLIP (Radford et al. 2021)."""
    there = contrast(a, b, positive, sharpness)
    back = contrast(b, a, positive.T, sharpness)
    return 0.5 * (there + back)


def within(x: Tensor, positive: Tensor, sharpness: Tensor) -> Tensor:
    """Supervised contrast among all rows, of whatever modality; none is its own positive.

    Args:
        x: ``(n, d)``, unit length.
        positive: ``(n, n)`` bool.
        sharpness: the inverse temperature.
    """
    own = torch.eye(len(x), dtype=torch.bool)
    logits = (sharpness * (x @ x.T)).masked_fill(own, -1e9)
    positive = positive & ~own
    log_p = torch.log_softmax(logits, dim=1)
    count = positive.sum(dim=1)
    each = -(log_p * positive).sum(dim=1) / count.clamp_min(1)
    return each.sum() / (count > 0).sum().clamp_min(1)
