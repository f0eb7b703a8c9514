"""Which rankers weigh the candidates of a query, and how those of two rankers come into one order.

Items that nobody described have nothing but their content, which says far less than what others say
of an item: by weights that were learned for the described they would come last, whatever they show.
They are weighed by a ranker of their own, learned from questions for what had lost its links. Both
rankers say how likely each of their candidates is right; log-odds are linear in the score, so that
one straight line puts the undescribed on the others' scale. That of the undescribed hears the score
alone: one new item stands among no others that would tell how much better it fits.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from graphretrieval.errors import NotFitted
from graphretrieval.protocols import Ranker
from graphretrieval.retriever.model import ALIKE, TEXT_KINDS, UNDESCRIBED, Model
from graphretrieval.types import Array


@dataclass(frozen=True)
class Gate:
    """The rankers of one direction.

    Args:
        ranker: of all candidates, or of those that have links.
        mark: the column that tells those that have none; it is worth nothing by itself.
        undescribed: of those that have none, if they have one of their own.
        lift: what their odds are multiplied by beside the described (see
            :mod:`~graphretrieval.retriever.undescribed`); None where ``ranker`` weighs both, unless
            no candidate is described.
    """

    ranker: Ranker
    mark: int
    undescribed: Ranker | None = None
    lift: float | None = 1.0

    def weights(self, columns: int, known: float, *, undescribed: bool = False) -> Array:
        """What one of each column adds to the score of the described, or of others ``(p,)``."""
        ranker = self.undescribed if undescribed and self.undescribed else self.ranker
        return np.diag(ranker.weigh(np.eye(columns, dtype=np.float32), known))

    def weigh(self, columns: Array, known: float) -> tuple[Array, Array]:
        """What the candidates ``(t, p)`` of one query are worth, and how sure each is.

        Returns:
            Contributions ``(t, p)``, of which a row's sum is the candidate's score, and calibrated
            probabilities ``(t,)``, in the same order as the scores.
        """
        out = self._weighed(self.ranker, columns, known)
        bare = columns[:, self.mark] > 0
        apart = bare.all() or self.lift is not None
        if self.undescribed is None or not bare.any() or not apart:
            return out, _sure(out, self.ranker.log_odds(out.sum(axis=1), known))
        own = self._weighed(self.undescribed, columns[bare], known)
        slope, level = self.undescribed.log_odds(own.sum(axis=1), known)
        if bare.all():
            return own, _sure(own, (slope, level))
        others = self.ranker.log_odds(out[~bare].sum(axis=1), known)
        if self.lift is not None and others[0] > 0:
            out[bare] = own * np.float32(slope / others[0])
            out[bare, self.mark] += (level + np.log(self.lift) - others[1]) / others[0]
        return out, _sure(out, others)

    def _weighed(self, ranker: Ranker, columns: Array, known: float) -> Array:
        out = ranker.weigh(columns, known)
        out[:, self.mark] = 0
        return out


def _sure(weighed: Array, line: tuple[float, float]) -> Array:
    z = line[0] * weighed.sum(axis=1, dtype=np.float64) + line[1]
    return np.asarray(1 / (1 + np.exp(-np.clip(z, -500, 500))), np.float32)


def gate(model: Model, source: str, target: str, relevance: str) -> Gate:
    """The rankers for one direction; ``source`` is a modality or a kind of text.

    Where that relevance was never seen the other's serves, where no such text was, other texts',
    and where the direction was never seen, one that weighs all parts alike.

    Raises:
        NotFitted: the model has no gates.
    """
    other = "category" if relevance == "instance" else "instance"
    mark = model.columns.index(UNDESCRIBED)
    kinds = (source, *(reversed(TEXT_KINDS) if source in TEXT_KINDS else ()))
    for kind in kinds:
        for key in (f"{kind}>{target}>{relevance}", f"{kind}>{target}>{other}"):
            if key in model.gates:
                own = f"{kind}>{target}>{UNDESCRIBED}"
                bare = model.gates.get(own) if key.endswith(">instance") else None
                lift = model.meta.get("lift", {}).get(own)
                return Gate(model.gates[key], mark, bare, lift)
    if ALIKE in model.gates:
        return Gate(model.gates[ALIKE], mark)
    raise NotFitted("the model has no gates", remedy="fit again")
