"""Rendering: one image per facet by activation maximization with strong regularizers."""

from typing import TYPE_CHECKING

from mfv.libraries import on_first_use

if TYPE_CHECKING:
    from mfv.rendering.maximizer import ActivationMaximizer
    from mfv.rendering.octave import Octave, Recipe
    from mfv.rendering.paper import PaperOctave, paper_recipe
    from mfv.rendering.parts import UnitPart
    from mfv.rendering.recipes import octaves_recipe, one_octave_recipe
    from mfv.rendering.rendering import Rendering
    from mfv.rendering.stage import bound_part, render, render_units
    from mfv.rendering.subject import UnitSubject

__all__ = [
    "ActivationMaximizer",
    "Octave",
    "PaperOctave",
    "Recipe",
    "Rendering",
    "UnitPart",
    "UnitSubject",
    "bound_part",
    "octaves_recipe",
    "one_octave_recipe",
    "paper_recipe",
    "render",
    "render_units",
]

_HOMES = {
    "ActivationMaximizer": "mfv.rendering.maximizer",
    "Octave": "mfv.rendering.octave",
    "PaperOctave": "mfv.rendering.paper",
    "Recipe": "mfv.rendering.octave",
    "Rendering": "mfv.rendering.rendering",
    "UnitPart": "mfv.rendering.parts",
    "UnitSubject": "mfv.rendering.subject",
    "bound_part": "mfv.rendering.stage",
    "octaves_recipe": "mfv.rendering.recipes",
    "one_octave_recipe": "mfv.rendering.recipes",
    "paper_recipe": "mfv.rendering.paper",
    "render": "mfv.rendering.stage",
    "render_units": "mfv.rendering.stage",
}

# What is said of wrong settings (`mfv.rendering.checks`) needs no PyTorch.
__getattr__ = on_first_use(__name__, _HOMES)
