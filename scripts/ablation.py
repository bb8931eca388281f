"""Leave out or change one part of a preset at a time: which part buys what.

    python scripts/ablation.py fast --on data=folder data.root=/photos unit=498 facets=10 --out outputs/ablation

Takes what scripts/compare.py takes, and leaves what that leaves: a table, a panel and the runs.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence

import compare

CLASS_ALONE = (  # the class's value, as other programs maximize it, in place of its margin over the others
    "~render.objectives.margin +render.objectives.unit="
    "{weight:48,objective:{_target_:mfv.objectives.UnitActivation,natural:true}}"
)
FOURIER = (
    "+render.parameterization._target_=mfv.parameterizations.Fourier +render.optimizer=adam +render.normalize=false "
    "render.momentum=0.9 render.step.first=0.05 render.step.last=0.01 render.regularizers.spectrum=null "
    "render.regularizers.tv=null"
)
CHANGES = (  # overrides, each behind the preset
    "",
    "render.objectives.codes.weight=0 render.objectives.middle.weight=0",
    "render.objectives.middle.weight=0",
    "render.objectives.codes.weight=0",
    "render.objectives.codes.objective.cap=null render.objectives.middle.objective.cap=null",
    "render.objectives.codes.objective.rivals=0 render.objectives.middle.objective.rivals=0",
    CLASS_ALONE,
    "render.regularizers.affine=null",
    "render.regularizers.tone=null",
    "render.regularizers.spectrum.exponent=0",
    "render.regularizers.spectrum.chroma=1 render.regularizers.spectrum.blur=0",
    "render.regularizers.spectrum.blur=0",
    "render.regularizers.tv=null",
    "render.start=mean",
    "render.iterations=80",
    FOURIER,
)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run every change of the preset that is the first argument; return 1 where a run failed."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    if not given or given[0].startswith("-"):
        print(__doc__)
        return 0 if given[:1] in (["-h"], ["--help"]) else 2
    return compare.main([*(f"{given[0]} {change}".strip() for change in CHANGES), *given[1:]])


if __name__ == "__main__":
    sys.exit(main())
