"""Evaluation: a set of test images that is loaded and translated once, and metrics that read it.

A metric is one file with a `Metric`, and its line here; or, outside the package,
`unit.evaluation.METRICS["mine"] = Metric(measure, applies)`.
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from unit.evaluation.metric import Metric

METRICS: dict[str, "str | Metric"] = {
    "maps": "unit.evaluation.maps:METRIC",
    "psnr": "unit.evaluation.psnr:METRIC",
    "ssim": "unit.evaluation.ssim:METRIC",
    "lpips": "unit.evaluation.lpips:METRIC",
    "kid_efficientnet": "unit.evaluation.kid:EFFICIENTNET",
    "kid": "unit.evaluation.kid:INCEPTION",
    "fid": "unit.evaluation.fid:METRIC",
    "classifier": "unit.evaluation.classifier:METRIC",
    "round_trip": "unit.evaluation.round_trip:METRIC",
    "probe": "unit.evaluation.probe:METRIC",
    "neighbors": "unit.evaluation.neighbors:METRIC",
    "adaptation": "unit.evaluation.adaptation:METRIC",
    "pairing": "unit.evaluation.pairing:METRIC",
    "bound": "unit.evaluation.bound:METRIC",
    "error": "unit.evaluation.error:METRIC",
    "clusters": "unit.evaluation.clusters:METRIC",
    "reconstruction": "unit.evaluation.reconstruction:METRIC",
    "codes": "unit.evaluation.codes:METRIC",
    "recognition": "unit.evaluation.recognition:METRIC",
    "parzen": "unit.evaluation.parzen:METRIC",
}

JUDGES = {"judge": "unit.evaluation.judge:Judge"}
"""What a training is validated by, which imports it where it is."""
