"""The classifier of two domains and the discriminators that share its layers."""

import torch
from architectures import images, table
from torch import nn

from unit.networks.classifier import ClassifyingDiscriminators, DomainClassifier, Judged


def test_layer_by_layer() -> None:
    with torch.device("meta"):
        classifier = DomainClassifier(1, 3, 10, width=4, layers=3, shared_layers=2, kernel=3, slope=0.2, dropout=0.5)
        discriminators = ClassifyingDiscriminators(classifier, own_logits=True)
    for own, channels in ((classifier.a, 1), (classifier.b, 3)):
        assert table(own) == [("conv", channels, 4, 3, 2), ("leaky", 0.2)]
    assert table(classifier.shared) == [("conv", 4, 8, 3, 2), ("leaky", 0.2), ("conv", 8, 16, 3, 2), ("leaky", 0.2)]
    (last,) = [module for module in classifier.head if isinstance(module, nn.Linear)]
    assert (last.in_features, last.out_features) == (4 * 16, 10)
    for real in (discriminators.real_a, discriminators.real_b):
        assert real is not None and table(nn.Sequential(real)) == [("conv", 16, 1, 1, 1)]


def test_what_is_shared() -> None:
    classifier = DomainClassifier(1, 1, 3, width=2, layers=2, shared_layers=1)
    own, one = ClassifyingDiscriminators(classifier, own_logits=True), ClassifyingDiscriminators(classifier)
    assert own.real_a is not own.real_b and one.real_a is one.real_b
    names = [name for name, _ in one.named_parameters()]
    assert len([name for name in names if name.startswith("real")]) == 2  # once, though both domains have it
    assert ClassifyingDiscriminators(classifier, adversarial=False).real_a is None


def test_both_domains_in_one_pass_are_as_each_alone() -> None:
    torch.manual_seed(0)
    classifier = DomainClassifier(1, 3, 5, width=2, layers=2, shared_layers=1).double()
    discriminators = ClassifyingDiscriminators(classifier, own_logits=True).double()
    x = {"a": images(4, 1, 32, 32, seed=1), "b": images(6, 3, 32, 32, seed=2)}
    judged = dict(zip("ab", discriminators(x["a"], x["b"]), strict=True))
    for domain, low, real in (
        ("a", classifier.a, discriminators.real_a),
        ("b", classifier.b, discriminators.real_b),
    ):
        features = classifier.shared(low(x[domain]))
        assert real is not None
        torch.testing.assert_close(judged[domain].features, features)
        torch.testing.assert_close(judged[domain].real, real(features))
        torch.testing.assert_close(judged[domain].classes, classifier(x[domain], "a" if domain == "a" else "b"))
    parts = judged["b"].parts(2)
    assert len(parts) == 3 and all(len(tensor) == 2 for part in parts for tensor in part)
    assert torch.equal(parts[1].classes, judged["b"].classes[2:4])
    assert Judged(x["b"], x["b"]).parts(3)[1].real is None
