"""mfv: multifaceted feature visualization. What a neuron fires for, one image per kind.

`mfv.visualize` is all of it in one call, and `mfv.visualize_units` for many units. The parts, for those who want to
change one:

- `mfv.models`: networks under study (`TargetModel`), their layers and units
- `mfv.data`: image sources
- `mfv.activations`: what layers give, collected once for all images
- `mfv.discovery`: from the codes of a unit's images to its facets
- `mfv.objectives`: what is maximized
- `mfv.regularizers`: what keeps an image natural
- `mfv.parameterizations`: what the optimizer moves
- `mfv.schedules`: numbers that change over the steps
- `mfv.rendering`: recipes, and the images that come of them
- `mfv.evaluation`: the numbers, and what a second network says
- `mfv.reports`: contact sheet, gallery, loggers
- `mfv.structures`: the records that pass from stage to stage
- `mfv.experiment`: the stages one by one, for many units (`mfv.jobs`)
"""

from typing import TYPE_CHECKING

from mfv.libraries import on_first_use

if TYPE_CHECKING:
    from mfv.api import visualize, visualize_units
    from mfv.errors import MfvError
    from mfv.interruption import Interrupted
    from mfv.models.target import TargetModel
    from mfv.notebook import Facets
    from mfv.presets import preset
    from mfv.rendering.fast import fast_recipe
    from mfv.structures import Facet, FacetSet, Unit
    from mfv.version import __version__ as __version__

__all__ = [
    "Facet",
    "FacetSet",
    "Facets",
    "Interrupted",
    "MfvError",
    "TargetModel",
    "Unit",
    "fast_recipe",
    "preset",
    "visualize",
    "visualize_units",
]

_HOMES = {
    "Facet": "mfv.structures",
    "FacetSet": "mfv.structures",
    "Facets": "mfv.notebook",
    "Interrupted": "mfv.interruption",
    "MfvError": "mfv.errors",
    "TargetModel": "mfv.models.target",
    "Unit": "mfv.structures",
    "__version__": "mfv.version",
    "fast_recipe": "mfv.rendering.fast",
    "preset": "mfv.presets",
    "visualize": "mfv.api",
    "visualize_units": "mfv.api",
}

# The command line answers --help without loading PyTorch.
__getattr__ = on_first_use(__name__, _HOMES)
