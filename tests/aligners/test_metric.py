from __future__ import annotations

import numpy as np

from graphretrieval.aligners.metric import FEWEST, _Alike, learned
from graphretrieval.aligners.pairs import Material
from graphretrieval.arrays import normalise
from graphretrieval.protocols import silent
from graphretrieval.types import Supervision


def descriptions(things=150, each=3, seed=0, told=1.0):
    """Texts of which 6 columns say what they describe and 10 say anything.

    ``told`` is how much of a thing its descriptions tell; returns the texts and their things.
    """
    rng = np.random.default_rng(seed)
    thing = np.repeat(np.arange(things), each)
    said = told * rng.standard_normal((things, 6))[thing]
    said += 0.2 * rng.standard_normal(said.shape)
    noise = rng.standard_normal((len(thing), 10))
    return normalise(np.hstack([said, noise]).astype(np.float32)), thing


def material_of(x, thing, validation=None):
    pairs = np.stack([np.arange(len(thing)), thing], 1)
    marks = {}
    if validation is not None:
        marks = {"text": validation[thing], "image": validation}
    supervision = Supervision(pairs={("text", "image"): pairs}, validation=marks)
    image = np.ones((thing.max() + 1, 2), np.float32)
    return Material.of({"text": x, "image": image}, supervision, 0)


def metric_of(x, thing, *, validation=None, unseen=None, seed=0):
    return learned(x, material_of(x, thing, validation), unseen, seed, silent)


def found(x, thing):
    """The share of texts of which the nearest other describes the same thing."""
    scores = normalise(x) @ normalise(x).T
    np.fill_diagonal(scores, -np.inf)
    return float((thing[scores.argmax(1)] == thing).mean())


def test_descriptions_of_things_never_seen_find_each_other_sooner():
    metric = metric_of(*descriptions(things=1000))
    x, thing = descriptions(seed=1)
    assert found(metric(x), thing) > 1.1 * found(x, thing)


def test_a_text_keeps_its_length_and_nothing_stays_nothing():
    x, thing = descriptions()
    metric = metric_of(x, thing)
    some = x[:3] * np.array([[1.0], [0.3], [0.0]], np.float32)
    np.testing.assert_allclose(np.linalg.norm(metric(some), axis=1), [1, 0.3, 0], atol=1e-5)


def test_few_things_with_two_descriptions_teach_nothing():
    assert metric_of(*descriptions(FEWEST - 1)) is None
    assert metric_of(*descriptions(3 * FEWEST, each=1)) is None
    assert metric_of(*descriptions(FEWEST)) is not None


def test_where_held_descriptions_find_each_other_no_better_nothing_is_learned():
    x, thing = descriptions(things=60, told=0.0)
    validation = np.arange(60) % 2 == 0
    assert metric_of(x, thing, validation=validation) is None


def test_held_texts_are_not_learned_from():
    x, thing = descriptions()
    validation = np.arange(150) % 3 == 0
    moved = x.copy()
    moved[validation[thing]] = moved[validation[thing]][::-1]
    a = metric_of(x, thing, validation=validation)
    b = metric_of(moved, thing, validation=validation)
    np.testing.assert_array_equal(a.turn, b.turn)


def test_what_others_say_of_held_things_is_learned_from_but_not_the_texts_that_ask():
    x, thing = descriptions(things=1000)
    validation = np.arange(1000) % 3 == 0
    asking = validation[thing] & (np.arange(len(thing)) % 3 == 0)
    turns = [metric_of(x, thing, validation=validation, unseen=asking).turn]
    for rows in (asking, validation[thing] & ~asking):
        moved = x.copy()
        moved[rows] *= 0.9
        turns.append(metric_of(moved, thing, validation=validation, unseen=asking).turn)
    np.testing.assert_array_equal(turns[0], turns[1])
    assert not np.array_equal(turns[0], turns[2])


def test_a_text_that_asks_is_put_beside_another_one_of_the_same_thing():
    x, thing = descriptions()
    validation = np.arange(150) % 3 == 0
    asking = validation[thing] & (np.arange(len(thing)) % 3 == 1)
    material = material_of(x, thing, validation)
    asked, wanted = _Alike.of(material, material.held).questions(asking, seed=0)
    assert len(asked) == validation.sum()
    assert asking[asked].all()
    assert not asking[wanted].any()
    np.testing.assert_array_equal(thing[asked], thing[wanted])


def test_the_same_seed_learns_the_same_metric():
    x, thing = descriptions()
    np.testing.assert_array_equal(metric_of(x, thing).turn, metric_of(x, thing).turn)
