"""Errors of classes and of clusters, on models whose answers are known."""

from typing import Any

import pytest
import torch
from digit_toys import uniforms
from image_sets import SIDE, approx, categorical, in_small_parts, labeled, model_of, one_hot, set_of
from torch import Tensor

from unit.data.images import to_intensity, to_uint8
from unit.evaluation import clusters, error, reconstruction
from unit.models.categorical import log_odds

small = pytest.fixture(autouse=True)(in_small_parts)


def error_of(images: Any) -> float:
    rows = error.METRIC.measure(images).rows
    assert rows.keys() == {"error"}
    return rows["error"]["share of images"]


def test_the_error_is_the_share_of_images_named_wrongly() -> None:
    labels = torch.arange(10) * 3 % 10
    pixels = (256 * uniforms(10, 1, SIDE, SIDE, seed=0)).to(torch.uint8)
    pixels[:, 0, 0, 0] = labels
    model = model_of("m1")
    # It names each image after its first pixel's brightness.
    model.classify = lambda x: one_hot(to_uint8(x[:, 0, 0, 0]).long())
    assert error_of(set_of(model, labeled(pixels, labels))) == 0
    pixels[[1, 5, 9], 0, 0, 0] = ((labels[[1, 5, 9]] + 1) % 10).to(torch.uint8)
    assert error_of(set_of(model, labeled(pixels, labels))) == pytest.approx(0.3)


def test_m1_names_classes_by_its_codes() -> None:
    model = model_of("m1")
    images = set_of(model)
    x = images.images.tensor / 255
    with torch.no_grad():
        named = model.classifier(model.vae.encoder(x)[:, :2]).argmax(1)
    assert error_of(images) == approx((named != images.images.class_labels).float().mean())


def test_the_surest_of_saturated_images_names_the_cluster() -> None:
    # Both probabilities are 1 in float32, and in float64 too; the second image is the surer one.
    logits = torch.tensor([[40.0, 0.0, 0.0], [80.0, 0.0, 0.0], [-5.0, 0.0, 3.0]])
    sure = log_odds(logits)
    assert sure[:, 0].argmax() == 1
    torch.testing.assert_close(sure[2].sigmoid(), logits.double().softmax(1)[2])


def test_the_clusters_of_m2_are_what_it_calls_classes() -> None:
    labels = torch.arange(10) * 3 % 10
    pixels = (256 * uniforms(10, 1, SIDE, SIDE, seed=0)).to(torch.uint8)
    pixels[:, 0, 0, 0] = labels
    model = model_of("m2 unlabeled")
    # It calls every class by the number of the next one.
    model.classify = lambda x: one_hot((to_uint8(x[:, 0, 0, 0]).long() + 1) % 10)
    assert error_of(set_of(model, labeled(pixels, labels))) == 1
    assert clusters.METRIC.measure(set_of(model, labeled(pixels, labels))).rows == {
        "error": {"value": 0.0}, "clusters in use": {"value": 10.0},
    }  # fmt: skip


def test_a_cluster_is_named_after_the_class_of_its_surest_image() -> None:
    # Clusters 0 and 2 are in use. Cluster 0's surest image is number 4, a seven; cluster 2's is number 1, a three.
    logits = torch.tensor(
        [[2.0, 0, 0], [0, 0, 4.0], [3.0, 0, 0], [0, 0, 2.0], [5.0, 0, 0], [0, 0, 3.0], [1.0, 0, 0], [4.0, 0, 3.5]]
    )
    images = categorical("aae_cluster", logits, torch.tensor([7, 3, 1, 3, 7, 7, 7, 3]), model__categories=3)
    # In cluster 0: 7, 1, 7, 7, 3 and so two errors; in cluster 2: 3, 3, 7 and so one.
    found = clusters.METRIC.measure(images).rows
    assert found == {"error": {"value": approx(3 / 8)}, "clusters in use": {"value": 2.0}}
    with torch.no_grad():
        image: Tensor = images.model.image(logits.softmax(1), torch.zeros(8, 2))  # type: ignore[operator]
    squared = (to_intensity(image) - images.images.tensor / 255).square().sum() / 8
    assert reconstruction.METRIC.measure(images).rows == {"squared error": {"per image": approx(squared)}}


def test_clusters_are_not_named_after_labels_that_there_are_not() -> None:
    images = categorical("aae_cluster", torch.eye(3), torch.zeros(3, dtype=torch.long), model__categories=3)
    assert not clusters.METRIC.applies(images)
    unlabeled = set_of(images.model, type(images.images)(images.images.tensor, list("abc"), ""))
    assert clusters.METRIC.applies(unlabeled) == "the images have no labels to name clusters after"


def test_a_supervised_category_is_its_own_class() -> None:
    images = categorical("aae_semi", 3 * one_hot(torch.arange(6)), torch.tensor([0, 1, 9, 3, 9, 5]))
    assert error_of(images) == approx(2 / 6)
    assert clusters.METRIC.applies(images)


# Averages do not depend on the parts that the images are taken in.


@pytest.mark.parametrize(("name", "metric"), [("aae_semi", error), ("aae_cluster", clusters), ("m2", error)])
def test_parts_change_no_average(name: str, metric: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    model, images = model_of(name), None
    found = []
    for part in (1, 4, 11, 100):
        monkeypatch.setattr("unit.evaluation.sets.BATCH", part)
        images = set_of(model)
        found.append(metric.METRIC.measure(images).rows)
        if name != "m2":
            found[-1] |= reconstruction.METRIC.measure(images).rows
    for other in found[1:]:
        assert other == {row: {key: approx(x) for key, x in values.items()} for row, values in found[0].items()}
