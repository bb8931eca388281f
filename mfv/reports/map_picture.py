"""The 2-D map of a unit's images, as a picture."""

from PIL import Image, ImageDraw

from mfv.reports.geometry import label_places
from mfv.reports.palette import LIGHT_GROUND, facet_colours
from mfv.structures import FacetSet

DOT, MARGIN = 4, 12  # pixels


def map_picture(facet_set: FacetSet, side: int = 640) -> Image.Image:
    """Return the map with a dot for each image, in the facets' colours, and the facets' numbers; `side` in pixels."""
    canvas = Image.new("RGB", (side, side), LIGHT_GROUND)
    draw = ImageDraw.Draw(canvas)
    embedding, assignment = facet_set.embedding, facet_set.assignment
    low, high = embedding.min(0), embedding.max(0)
    scale = (side - 2 * MARGIN) / max(float((high - low).max()), 1e-12)
    places = MARGIN + (embedding - low) * scale
    places[:, 1] = side - places[:, 1]
    colours = facet_colours(len(facet_set))
    for (x, y), facet in zip(places.tolist(), assignment.tolist(), strict=True):
        draw.ellipse((x - DOT, y - DOT, x + DOT, y + DOT), fill=colours[facet])
    numbers = [facet.index for facet in facet_set.facets]
    for number, place in zip(numbers, label_places(places, assignment, numbers), strict=True):
        draw.text(place, str(number), fill="black", stroke_width=3, stroke_fill="white", anchor="mm")
    return canvas
