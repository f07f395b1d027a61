"""The classifier of drawn images: what it learns, and its figures by hand."""

from typing import Any

import pytest
import torch
from image_sets import approx, model_of
from torch import Tensor, nn

from unit.data.domain import Domain, domain_of_array
from unit.evaluation import recognition
from unit.evaluation.sets import ImageSet

SIDE = 16


@pytest.fixture(autouse=True)
def few(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recognition, "DRAWN", 100)


def squares(count: int, *, seed: int = 0, classes: int = 3) -> Domain:
    """Images of class k are bright in column k alone, but for noise."""
    random = torch.Generator().manual_seed(seed)
    labels = torch.arange(count) % classes
    images = torch.randint(0, 60, (count, 1, SIDE, SIDE), generator=random, dtype=torch.uint8)
    for image, label in zip(images, labels, strict=True):
        image[:, :, 4 * label : 4 * label + 4] += 190
    return domain_of_array(images, labels)


def told(model: Any) -> Any:
    """An autoencoder of three classes whose encoder gives an image's class, and whose decoder draws the class that is
    nearest to the code's first number."""

    class Encoder(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            columns = x[:, 0].mean(1).view(-1, 4, 4).mean(2)
            return torch.stack([columns.argmax(1).to(x.dtype), torch.zeros(len(x))], dim=1)

    class Decoder(nn.Module):
        def forward(self, z: Tensor) -> Tensor:
            label = z[:, 0].round().clamp(0, 2).long()
            image = torch.zeros(len(z), 1, SIDE, SIDE)
            for row, k in zip(image, label, strict=True):
                row[:, :, 4 * k : 4 * k + 4] = 0.8
            return image

    model.encoder, model.decoder = Encoder(), Decoder()
    return model


def test_recognized_images_and_the_share_of_the_class_that_is_drawn_most() -> None:
    model = told(model_of("ae", model__likelihood="gaussian", data__name="auto"))
    images = ImageSet(model, squares(90, seed=1), squares(600))
    figures = recognition.measure(images)
    assert figures.notes[0].startswith("the classifier is right on 1.000 of the test images")
    rows = figures.rows
    for name in ("test images", "reconstructions"):
        assert rows[name]["recognized"] == 1 and rows[name]["confidence"] > 0.95
        assert rows[name]["most frequent class"] == approx(1 / 3)
    z = model.prior.sample(100, recognition.draws.generator(0, "recognition"))[:, 0]
    assert rows["samples of the prior"]["most frequent class"] == approx((z < 0.5).double().mean())
    # The codes' mean is 1 and their variance ⅔: class 1 is drawn from 0.5 to 1.5, about 46 of 100 times.
    like = rows["samples of a normal distribution like the codes"]["most frequent class"]
    assert 0.3 < like < 0.6


def test_figures_by_hand() -> None:
    probabilities = torch.tensor([[0.9, 0.1], [0.05, 0.95], [0.4, 0.6], [0.2, 0.8]])
    assert recognition.figures_of(probabilities) == {
        "confidence": approx((0.9 + 0.95 + 0.6 + 0.8) / 4), "recognized": 0.5, "most frequent class": 0.75,
    }  # fmt: skip


def test_samples_like_codes_have_their_mean_and_covariance(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recognition, "DRAWN", 40_000)
    random = torch.Generator().manual_seed(0)
    codes = torch.randn(500, 3, generator=random) @ torch.randn(3, 3, generator=random) + torch.tensor([1.0, -2.0, 5.0])
    z = recognition.samples_like(codes)
    torch.testing.assert_close(z.mean(0), codes.mean(0), rtol=0, atol=0.1)
    torch.testing.assert_close(torch.cov(z.T), torch.cov(codes.T), rtol=0.05, atol=0.1)


def test_the_classifier_is_the_same_each_time_and_leaves_others_draws_alone() -> None:
    torch.manual_seed(3)
    one = recognition.train_classifier(squares(60))
    after = torch.rand(1)
    torch.manual_seed(3)
    assert torch.equal(torch.rand(1), after)
    other = recognition.train_classifier(squares(60))
    assert all(map(torch.equal, one.parameters(), other.parameters()))


def test_images_of_one_class_teach_nothing() -> None:
    images = ImageSet(model_of("ae"), squares(9), squares(9, classes=1))
    assert recognition.applies(images) == "a classifier needs training images of at least 2 classes"
