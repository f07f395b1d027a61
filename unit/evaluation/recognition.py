"""Would a classifier take what is drawn for one of the classes, and say which?

A small network learns on training images and their labels; it never sees what the model makes. How sure it is of drawn
images says whether codes of the prior are those of images, and the share of the class that it names most often whether
they are of all classes. Of test images it says how far the classifier itself can be trusted.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from unit import draws
from unit.data.domain import Domain
from unit.data.images import to_float
from unit.evaluation.metric import Figures, Metric
from unit.evaluation.sets import BATCH, EvaluationSet, ImageSet
from unit.models.autoencoder import ImageAutoencoder

DRAWN, LEARNED = 2000, 20_000
"""Images that are drawn, and that the classifier learns on at most."""
EPOCHS, LEARNING_BATCH = 4, 100
SURE = 0.9
"""From this probability on an image is recognized."""


def applies(images: EvaluationSet) -> str:
    if not isinstance(images.model, ImageAutoencoder):
        return f"a model {images.model.name} is scored by other figures"
    assert isinstance(images, ImageSet)
    if len(set(images.seen.class_labels.tolist())) < 2:
        return "a classifier needs training images of at least 2 classes"
    return images.unlabeled_because


@torch.inference_mode()
def measure(images: ImageSet) -> Figures:
    """Of test images, of their reconstructions, and of images of codes that are drawn: from the prior, and from the
    normal distribution with the mean and covariance of training images' codes (where the decoder gets no label)."""
    model = images.model
    assert isinstance(model, ImageAutoencoder)
    with torch.inference_mode(False), torch.enable_grad():
        classifier = train_classifier(images.seen)
    classes = model.images.classes
    y = torch.arange(DRAWN) % max(1, classes)
    drawn = {"samples of the prior": model.prior.sample(DRAWN, draws.generator(0, "recognition"))}
    if model.labels == "none":
        some = images.seen.tensor[rows_of(images.seen)]
        codes = torch.cat([model.code(to_float(x)) for x in torch.split(some, BATCH)])
        drawn["samples of a normal distribution like the codes"] = samples_like(codes)
    tested = []
    for x, labels in images.parts():
        rebuilt = model.image(model.code(x, labels), labels)
        tested.append((probabilities(classifier, x), probabilities(classifier, rebuilt), labels))
    real, rebuilt, labels = (torch.cat(part) for part in zip(*tested, strict=True))
    rows = {"test images": figures_of(real), "reconstructions": figures_of(rebuilt)}
    for name, z in drawn.items():
        parts = zip(torch.split(z, BATCH), torch.split(y, BATCH), strict=True)
        rows[name] = figures_of(torch.cat([probabilities(classifier, model.image(*part)) for part in parts]))
    right = float((real.argmax(1) == labels).float().mean())
    note = f"the classifier is right on {right:.3f} of the test images; recognized: a probability of {SURE} or more"
    return Figures(rows, title="recognition", notes=[note])


def figures_of(p: Tensor) -> dict[str, float]:
    """The mean probability of the class that is named, the share of images of SURE or more, and the share of the class
    that is named most often: (N, K)."""
    best, named = p.max(1)
    most = named.bincount(minlength=p.shape[1]).max() / len(named)
    sure = (best >= SURE).float().mean()
    return {"confidence": float(best.mean()), "recognized": float(sure), "most frequent class": float(most)}


def probabilities(classifier: nn.Module, x: Tensor) -> Tensor:
    """The classes' probabilities: images (B, C, H, W) in [-1, 1] → (B, K)."""
    logits: Tensor = classifier(x)
    return logits.softmax(1)


def samples_like(codes: Tensor) -> Tensor:
    """Samples of the normal distribution with the mean and the covariance of codes (N, d): (DRAWN, d)."""
    values, directions = torch.linalg.eigh(torch.cov(codes.double().T).reshape(codes.shape[1], codes.shape[1]))
    noise = torch.randn(DRAWN, codes.shape[1], generator=draws.generator(1, "recognition"), dtype=torch.float64)
    samples: Tensor = codes.double().mean(0) + noise @ (directions * values.clamp(min=0).sqrt()).T
    return samples.to(codes.dtype)


def rows_of(images: Domain) -> Tensor:
    """Which of the training images are learned on: all, or LEARNED of them."""
    return draws.permutation(len(images), "recognition")[:LEARNED]


def train_classifier(images: Domain) -> nn.Module:
    """A classifier of images (B, C, H, W) in [-1, 1]: logits (B, K)."""
    chosen = rows_of(images)
    channels, side = images.tensor.shape[1], -(-images.tensor.shape[2] // 4)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(draws.derive_seed("recognition"))
        classifier = nn.Sequential(
            nn.Conv2d(channels, 16, 5, 2, 2),
            nn.ReLU(),
            nn.Conv2d(16, 32, 5, 2, 2),
            nn.ReLU(),
            nn.Flatten(),
            nn.Linear(32 * side**2, 128),
            nn.ReLU(),
            nn.Linear(128, images.classes),
        )
    optimizer = torch.optim.Adam(classifier.parameters(), 2e-3)
    for epoch in range(EPOCHS):
        order = chosen[draws.permutation(len(chosen), "recognition", epoch)]
        for rows in torch.split(order, LEARNING_BATCH):
            loss = F.cross_entropy(classifier(to_float(images.tensor[rows])), images.class_labels[rows])
            optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
    return classifier.eval()


METRIC = Metric(measure, applies, better="higher")
