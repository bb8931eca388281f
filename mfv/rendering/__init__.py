"""Rendering: one image per facet by activation maximization with strong regularizers."""

from mfv.rendering.maximizer import ActivationMaximizer
from mfv.rendering.octave import Octave, Recipe
from mfv.rendering.paper import PaperOctave, paper_recipe
from mfv.rendering.parts import UnitPart
from mfv.rendering.recipes import octaves_recipe, one_octave_recipe
from mfv.rendering.render import bound_part, render, render_units
from mfv.rendering.rendering import Rendering
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
