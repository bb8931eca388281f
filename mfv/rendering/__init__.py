"""Rendering: one image per facet by activation maximization with strong regularizers."""

from mfv.rendering.maximizer import ActivationMaximizer
from mfv.rendering.octave import Octave, Recipe
from mfv.rendering.octaves import octave_recipe
from mfv.rendering.paper import PaperOctave, paper_recipe
from mfv.rendering.recipes import anchored_recipe
from mfv.rendering.render import render
from mfv.rendering.rendering import Rendering
from mfv.rendering.subject import UnitSubject

__all__ = [
    "ActivationMaximizer",
    "Octave",
    "PaperOctave",
    "Recipe",
    "Rendering",
    "UnitSubject",
    "anchored_recipe",
    "octave_recipe",
    "paper_recipe",
    "render",
]
