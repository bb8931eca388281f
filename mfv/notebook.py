"""A unit's facets as a notebook shows them: the pictures themselves, not their description."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import overload

from markupsafe import Markup, escape
from PIL import Image
from torch import Tensor

from mfv.errors import MfvError, check_count
from mfv.reports import wording
from mfv.reports.images import save_png, thumbnail_data_uri, to_pil
from mfv.reports.map_picture import map_picture
from mfv.structures import Facet, FacetSet
from mfv.threads import in_threads

SHOWN = 168  # pixels a side of a visualization in the table; its mean image has a third


@dataclass(frozen=True)
class PaintedFacet(Facet):
    """A facet with its pictures, (3, H, W) float32 in [0, 1]; a notebook shows the visualization."""

    image: Tensor | None = field(default=None, repr=False, compare=False)
    mean_image: Tensor | None = field(default=None, repr=False, compare=False)

    def save(self, path: str | Path) -> None:
        """Write the visualization: as a PNG, or as what the file's name ends in, without more loss than need be.

        Raises:
            MfvError: Pillow writes no such files.

        """
        path = Path(path).expanduser()
        kind = Image.registered_extensions().get(path.suffix.lower(), "" if path.suffix else "PNG")
        if kind == "PNG":
            save_png(self._shown, path)
        elif kind in Image.SAVE:
            path.parent.mkdir(parents=True, exist_ok=True)
            self.pil().save(path, kind, quality=95)
        else:
            raise MfvError(f"{path}: no pictures are written as {path.suffix} files; end it in .png, .jpg or .webp")

    def pil(self) -> Image.Image:
        """Return the visualization, or the mean image of a facet that is not rendered, as a PIL image."""
        return to_pil(self._shown)

    def _repr_png_(self) -> bytes | None:
        return self.pil()._repr_png_()

    def __repr__(self) -> str:
        return _words(self)

    @property
    def _shown(self) -> Tensor:
        shown = self.mean_image if self.image is None else self.image
        assert shown is not None, "a painted facet has a picture"
        return shown


@dataclass(frozen=True, eq=False)
class Facets(FacetSet):
    """A unit's facets; a notebook shows them side by side, a console lists them; `facets[3]` has its pictures.

    What it holds is described at `FacetSet`; `facets[3]` is a `PaintedFacet`, with `image` and `mean_image`
    (3, H, W) in [0, 1] besides what a `Facet` has.

    Attributes:
        stopped: "stopped at step 87 of 200", where the user interrupted the rendering; else empty.

    Example:
        >>> facets = mfv.visualize(network, layer="layer4.1.conv2", unit=12, images=dataset)
        >>> facets[3].save("facet.png"), facets[3].exemplars, facets.plot_map()
        >>> facets = mfv.Facets.load("outputs/2026-11-25/10-00-00")  # of a run

    """

    stopped: str = ""

    @classmethod
    def of(cls, found: FacetSet, stopped: str = "") -> Facets:
        """Return the same facets, for a notebook."""
        return cls(**{each.name: getattr(found, each.name) for each in fields(FacetSet)}, stopped=stopped)

    @overload
    def __getitem__(self, index: int) -> PaintedFacet: ...

    @overload
    def __getitem__(self, index: slice) -> list[PaintedFacet]: ...

    def __getitem__(self, index: int | slice) -> PaintedFacet | list[PaintedFacet]:
        if isinstance(index, slice):
            return [self[number] for number in range(len(self))[index]]
        facet = self.facets[index]
        own = {each.name: getattr(facet, each.name) for each in fields(Facet)}
        image = None if self.images is None else self.images[index]
        return PaintedFacet(**own, image=image, mean_image=self.mean_images[index])

    def __iter__(self) -> Iterator[PaintedFacet]:
        return (self[index] for index in range(len(self)))

    def plot_map(self, side: int = 640) -> Image.Image:
        """Return the 2-D map of the images, a dot each, in the facets' colours, with the facets' numbers.

        Args:
            side: of the picture, in pixels, at least 32.

        """
        check_count("side", side, 32, "pixels, the side of the picture")
        return map_picture(self, side)

    def __repr__(self) -> str:
        return "\n".join([self._title, *(f"  {_words(facet)}" for facet in self.facets)])

    @property
    def _title(self) -> str:
        title = f"{self.unit}: {len(self)} facets of {len(self.ids)} images"
        return f"{title} · {self.stopped}" if self.stopped else title

    def _repr_html_(self) -> str:
        pictures = in_threads(lambda facet: thumbnail_data_uri(facet.pil(), 2 * SHOWN), self)
        means = in_threads(lambda mean: thumbnail_data_uri(mean, 2 * SHOWN // 3), self.mean_images)
        cards = [
            _card(facet, picture, mean) for facet, picture, mean in zip(self, pictures, means, strict=True)
        ]  # fmt: skip
        row = f'<div style="display:flex;flex-wrap:wrap;gap:12px">{"".join(cards)}</div>'
        return f"<div><p>{escape(self._title)}</p>{row}</div>"


def _words(facet: Facet) -> str:
    labels = ", ".join(label for label, _ in facet.labels)
    words = [f"facet {facet.index}", f"{facet.size} images", labels, facet.judge_class or ""]
    if facet.activation is not None:
        words.insert(2, f"{wording.number(facet.activation_start)} → {wording.number(facet.activation)}")
    return " · ".join(word for word in words if word)


def _card(facet: Facet, picture: str, mean: str) -> Markup:
    return Markup(
        '<figure style="margin:0;width:{0}px"><img src="{1}" alt="facet {2}" width="{0}" height="{0}">'
        '<img src="{3}" alt="mean image of facet {2}" title="mean image" width="{4}" height="{4}" '
        'style="margin-top:2px"><figcaption style="font-size:12px">{5}</figcaption></figure>'
    ).format(SHOWN, picture, facet.index, mean, SHOWN // 3, _words(facet))
