from __future__ import annotations

import numpy as np
import scipy.sparse as sp
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from graphretrieval.gnn.kernel import Messages, heard, hop


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 30), st.integers(0, 80), st.integers(1, 20), st.integers(0, 999))
def test_a_hop_is_scipys_product(n, m, d, seed):
    rng = np.random.default_rng(seed)
    rows, columns = rng.integers(0, n, m), rng.integers(0, n, m)
    a = sp.csr_matrix((rng.random(m).astype(np.float32), (rows, columns)), (n, n))
    x = rng.standard_normal((n, d)).astype(np.float32)
    y = hop(a.indptr, a.indices, a.data, x)
    assert y.shape == (n, d)
    assert y.dtype == np.float32
    np.testing.assert_allclose(y, a @ x, atol=1e-5, rtol=1e-5)


def test_half_precision_keeps_about_three_digits():
    rng = np.random.default_rng(0)
    a = sp.csr_matrix(sp.random(300, 300, 0.05, random_state=0), dtype=np.float32)
    a = sp.csr_matrix(a.multiply(1 / np.maximum(a.sum(1), 1e-9)), dtype=np.float32)
    x = rng.standard_normal((300, 64)).astype(np.float32)
    y = heard(Messages.of(a.indptr, a.indices, a.data), x, half=True)
    assert y.dtype == np.float32
    error = np.linalg.norm(y - a @ x) / np.linalg.norm(a @ x)
    assert 0 < error < 0.01


def test_no_edges_give_zeros():
    y = hop(np.zeros(4, np.int64), np.empty(0, np.int64), np.empty(0, np.float32), np.ones((3, 2)))
    np.testing.assert_array_equal(y, np.zeros((3, 2)))


def test_16_bit_rows_stay_16_bit():
    messages = Messages.of(np.array([0, 1]), np.array([0]), np.array([2.0], np.float32))
    y = messages.hear(torch.ones((1, 8), dtype=torch.bfloat16))
    assert y.dtype == torch.bfloat16
    assert y.tolist() == [[2.0] * 8]
