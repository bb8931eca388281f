"""Contact sheet, gallery, curves and tables, from real photographs."""

import base64
import hashlib
import io
import json
import os
import re
from dataclasses import replace
from html.parser import HTMLParser
from itertools import combinations
from pathlib import Path

import numpy as np
import pytest
import skimage.data
import torch
from PIL import Image
from torch import Tensor

from mfv.errors import MfvError
from mfv.reports import contact_sheet as sheets
from mfv.reports import geometry, images, palette, typography, wording
from mfv.reports.contact_sheet import contact_sheet
from mfv.reports.curves import read_curves, write_curves
from mfv.reports.gallery import gallery
from mfv.reports.summary import final_numbers, mean_numbers, summary_table
from mfv.structures import Facet, FacetSet, Unit

PHOTOS = ("astronaut", "coffee", "cat", "rocket")
EVIL = "<img src=x onerror=alert(1)></script><script>document.title='owned'</script>\u2028"


def photo_crops(name: str, count: int, size: int, seed: int) -> Tensor:
    """Return crops (count, 3, size, size) of one of scikit-image's photographs."""
    photo = torch.from_numpy(getattr(skimage.data, name)().copy()).permute(2, 0, 1).float() / 255
    generator = torch.Generator().manual_seed(seed)
    side = min(photo.shape[1:]) // 2
    crops = []
    for _ in range(count):
        top = int(torch.randint(photo.shape[1] - side, (), generator=generator))
        left = int(torch.randint(photo.shape[2] - side, (), generator=generator))
        crops.append(photo[:, top : top + side, left : left + side])
    return torch.nn.functional.interpolate(torch.stack(crops), (size, size), mode="area")


def make_set(facets: int = 4, per_facet: int = 6, size: int = 64, label: str | None = "tabby") -> FacetSet:
    rng = np.random.default_rng(0)
    assignment = np.repeat(np.arange(facets), per_facet)
    ids = tuple(f"{PHOTOS[facet % 4]}/{number:04d}.png" for number, facet in enumerate(assignment))
    crops = [photo_crops(PHOTOS[facet % 4], 6, size, facet) for facet in range(facets)]
    records = tuple(
        Facet(
            index=facet,
            members=ids[facet * per_facet : (facet + 1) * per_facet],
            exemplars=ids[facet * per_facet : facet * per_facet + 3],
            activation_start=4.25 + facet,
            activation=31.0 - facet,
            probability=0.92,
            is_argmax=facet % 2 == 0,
            natural_percentile=97.0,
        )
        for facet in range(facets)
    )
    return FacetSet(
        unit=Unit("mobilenet_v2", "classifier.1", 281, label),
        facets=records,
        mean_images=torch.stack([some.mean(0) for some in crops]),
        ids=ids,
        assignment=assignment,
        embedding=(rng.normal(size=(len(ids), 2)) + 8 * np.stack([assignment, assignment % 3], 1)).astype(np.float32),
        activations=rng.gamma(5, 2, len(ids)).astype(np.float32),
        images=torch.stack([some[0].flip(-1) for some in crops]),
        metrics={"fidelity": {"start": 0.5, "final": 0.9}, "chosen": True},
        discovery={"method": "tsne"},
        timing={"render": 1.5},
    )


def exemplars_of(facet_set: FacetSet) -> list[Tensor]:
    return [photo_crops(PHOTOS[facet.index % 4], 6, 64, facet.index) for facet in facet_set.facets]


def page_of(facet_set: FacetSet, command: str = "mfv seed=0", snapshots: dict[int, Tensor] | None = None) -> str:
    thumbnails = [facet_set.mean_images[max(facet, 0)] for facet in facet_set.assignment]
    return gallery(facet_set, exemplars_of(facet_set), thumbnails, snapshots, command)


@pytest.fixture(scope="module")
def facet_set() -> FacetSet:
    return make_set()


class Page(HTMLParser):
    """The start tags and the scripts of a page."""

    def __init__(self, text: str):
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.scripts: list[str] = []
        self.styles = ""
        self.text = ""
        self.inside = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        self.inside = tag
        if tag == "script":
            self.scripts.append("")

    def handle_endtag(self, tag: str) -> None:
        self.inside = ""

    def handle_data(self, data: str) -> None:
        if self.inside == "script":
            self.scripts[-1] += data
        elif self.inside == "style":
            self.styles += data
        else:
            self.text += data

    def named(self, tag: str, **attributes: str) -> list[dict[str, str | None]]:
        return [
            found
            for name, found in self.tags
            if name == tag and all(value in (found.get(key) or "").split() for key, value in attributes.items())
        ]


# Images


def test_pixels_become_the_nearest_byte_and_are_clipped():
    pixels = torch.tensor([-1.0, 0.0, 0.5, 1.0, 7.0, float("nan")]).expand(3, 1, 6)
    assert np.asarray(images.to_pil(pixels))[0, :, 0].tolist() == [0, 0, 128, 255, 255, 0]
    as_bytes = torch.tensor([0, 128, 255], dtype=torch.uint8).expand(3, 1, 3)
    assert np.asarray(images.to_pil(as_bytes))[0, :, 0].tolist() == [0, 128, 255]
    with pytest.raises(ValueError, match=r"\(3, H, W\)"):
        images.to_pil(torch.zeros(1, 4, 4))


def test_png_is_lossless_and_replaces_its_older_version_in_one_move(tmp_path, monkeypatch):
    crop = photo_crops("cat", 1, 48, 0)[0]
    path = tmp_path / "deep" / "down" / "cat.png"
    images.save_png(crop, path)
    read = torch.from_numpy(np.asarray(Image.open(path)).copy()).permute(2, 0, 1)
    assert torch.equal(read, (crop * 255).round().to(torch.uint8))
    assert [other.name for other in path.parent.iterdir()] == ["cat.png"]
    before = path.read_bytes()
    monkeypatch.setattr(os, "replace", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
    with pytest.raises(KeyboardInterrupt):
        images.save_png(torch.zeros(3, 8, 8), path)
    assert path.read_bytes() == before


def test_thumbnail_is_a_small_picture_of_the_same_thing():
    crop = photo_crops("coffee", 1, 200, 0)[0][:, :100]
    uri = images.thumbnail_data_uri(crop, 40, 80)
    kind, content = uri.split(",")
    assert re.fullmatch(r"data:image/(webp|jpeg);base64", kind)
    decoded = Image.open(io.BytesIO(base64.b64decode(content)))
    assert decoded.size == (40, 20)
    shrunk = torch.nn.functional.interpolate(crop[None], (20, 40), mode="area")[0]
    read = torch.from_numpy(np.asarray(decoded.convert("RGB")).copy()).permute(2, 0, 1) / 255
    assert (read - shrunk).abs().mean() < 0.05


def test_square_is_the_centre():
    pixels = torch.zeros(3, 10, 30)
    pixels[:, :, 10:20] = 1
    assert np.asarray(images.square(pixels, 10)).min() == 255


# Colours


@pytest.mark.parametrize("ground", [palette.LIGHT_GROUND, palette.DARK_GROUND])
def test_ten_facet_colours_stay_apart_for_every_kind_of_vision(ground):
    colours = palette.facet_colours(10, ground)
    assert len(set(colours)) == 10
    # Okabe and Ito's eight, the usual colour-blind-safe set, keep .076; the ten of Matplotlib .007.
    assert min(palette.distance(one, other) for one, other in combinations(colours, 2)) > 0.07
    assert all(palette.contrast(colour, ground) >= palette.MINIMUM_CONTRAST for colour in colours)


def test_more_facets_keep_the_first_colours():
    assert palette.facet_colours(30)[:10] == palette.facet_colours(10)
    assert len(set(palette.facet_colours(48))) == 48
    assert len(palette.facet_colours(100)) == 100
    assert palette.facet_colours(0) == []


def test_contrast_of_black_and_white_is_21():
    assert palette.contrast("#000000", "#ffffff") == pytest.approx(21)
    assert palette.distance("#000000", "#ffffff") == pytest.approx(1, abs=1e-3)


# Words and numbers


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "–"),
        (31.04, "31.0"),
        (1234.6, "1235"),
        (-0.421, "-0.42"),
        (0, "0.00"),
        (3.2e-5, "3e-05"),
        (0.996, "1.0"),
    ],
)
def test_numbers_read_well(value, text):
    assert wording.number(value) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "–"),
        (100, "100th"),
        (99.9, "99th"),
        (0, "0th"),
        (0.2, "1st"),
        (92.4, "92nd"),
        (13, "13th"),
        (33, "33rd"),
    ],
)
def test_percentiles_read_well(value, text):
    assert wording.ordinal(value) == text


@pytest.mark.parametrize(("value", "text"), [(None, "–"), (0.92, ".92"), (1.0, ">.99"), (1e-4, "<.01"), (0.5, ".50")])
def test_probabilities_read_well(value, text):
    assert wording.probability(value) == text


def test_caption_says_what_is_known(facet_set):
    caption = wording.caption(facet_set[0])
    assert caption == "facet 0 · 6 images · activation 4.2 → 31.0 (97th percentile) · p .92"
    assert wording.caption(Facet(3, ("a",), ("a",))) == "facet 3 · 1 image"


def test_summary_table_lines_up_and_ends_with_the_means(facet_set):
    lines = summary_table(facet_set).splitlines()
    assert lines[0] == "mobilenet_v2 classifier.1 unit 281 (tabby): 24 images"
    table = lines[1:9]
    assert len({len(line) for line in table}) == 1
    assert table[2].split() == ["0", "6", "4.2", "→", "31.0", "97th", ".92", "yes"]
    assert table[-1].split() == ["mean", "6.0", "5.8", "→", "29.5", "97th", ".92", "50%"]
    assert lines[9:] == ["fidelity/start  0.50", "fidelity/final  0.90", "chosen          yes", "render 1.5 s"]


@pytest.mark.parametrize("of_class", [True, False])
def test_the_summary_of_a_judged_unit_fits_a_terminal(facet_set, of_class):
    judged = [
        replace(
            facet,
            probability=0.9 if of_class else None,
            fidelity=facet.index != 1,
            judge_nearest=0,
            judge_probability=0.8 if of_class else None,
            judge_class="West Highland white terrier",
        )
        for facet in facet_set.facets
    ]
    metrics = {f"{name}{kind}": 0.5 for name in ("fidelity", "typicality") for kind in ("", "_start", "_shuffled")}
    timing = dict.fromkeys(("collect", "select", "discover", "render", "evaluate", "judge", "report"), 1234.5)
    table = summary_table(facet_set.with_(facets=tuple(judged), metrics=metrics | {"judge": "net"}, timing=timing))
    assert max(map(len, table.splitlines())) <= 80
    assert "West Highland white…" in table
    assert ("probability" in table) == of_class
    assert all(line.endswith(("s", "·")) for line in table.splitlines()[-2:])


def test_means_leave_out_what_is_not_known():
    records = (Facet(0, ("a",), ("a",), activation=4.0), Facet(1, ("b", "c"), ("b",)))
    facet_set = make_set(2).with_(facets=records, images=None, metrics={})
    assert mean_numbers(facet_set) == {"images": 1.5, "activation": 4.0}
    assert final_numbers(facet_set.with_(timing={})) == {
        "final/images": 1.5,
        "final/activation": 4.0,
        "final/facets": 2,
    }
    assert "–" in summary_table(facet_set)


# Curves


@pytest.mark.parametrize("precision", [np.float32, np.float64])
def test_curves_read_back_exactly(tmp_path, precision):
    rng = np.random.default_rng(1)
    values = rng.normal(size=50).astype(precision)
    values[[3, 7]] = np.nan, np.inf
    path = tmp_path / "new" / "metrics.csv"
    write_curves(path, np.arange(50) * 5, {'loss, "all"': values, "count": np.arange(50)})
    steps, columns = read_curves(path)
    assert steps.tolist() == list(range(0, 250, 5))
    assert list(columns) == ['loss, "all"', "count"]
    np.testing.assert_array_equal(columns['loss, "all"'].astype(precision), values)
    assert [other.name for other in path.parent.iterdir()] == ["metrics.csv"]


def test_curves_of_unequal_length_and_foreign_files_are_refused(tmp_path):
    with pytest.raises(ValueError, match="'short'"):
        write_curves(tmp_path / "a.csv", np.arange(3), {"short": np.zeros(2)})
    (tmp_path / "b.csv").write_text("x,y\n1,2\n")
    with pytest.raises(MfvError, match="not a file of curves"):
        read_curves(tmp_path / "b.csv")
    (tmp_path / "c.csv").write_text("step,y\n1\n")
    with pytest.raises(MfvError, match="line 2"):
        read_curves(tmp_path / "c.csv")


# Contact sheet


def test_sheet_shows_each_picture_in_its_place():
    facet_set = make_set(2, size=sheets.LARGE)
    exemplars = [photo_crops("rocket", 7, sheets.SMALL, facet) for facet in range(2)]
    sheet = np.asarray(contact_sheet(facet_set, exemplars))
    row = sheets.CAPTION + sheets.LARGE + 2 * sheets.GUTTER
    top = sheets.MARGIN + sheets.TITLE + sheets.HEADER + sheets.CAPTION
    left = sheets.MARGIN + sheets.START + sheets.BETWEEN
    for facet in range(2):
        y = top + facet * row
        large = sheet[y : y + sheets.LARGE, left : left + sheets.LARGE]
        np.testing.assert_array_equal(large, np.asarray(images.to_pil(facet_set.images[facet])))
        x = left + sheets.LARGE + 2 * sheets.GUTTER
        for place in range(6):
            down, across = divmod(place, 3)
            tile_y, tile_x = (
                y + down * (sheets.SMALL + sheets.GUTTER),
                x + across * (sheets.SMALL + sheets.GUTTER),
            )
            tile = sheet[tile_y : tile_y + sheets.SMALL, tile_x : tile_x + sheets.SMALL]
            np.testing.assert_array_equal(tile, np.asarray(images.to_pil(exemplars[facet][place])))
        caption = sheet[y - sheets.CAPTION : y, sheets.MARGIN : sheets.MARGIN + 400]
        assert (caption < 100).all(-1).sum() > 300  # ink
    assert (sheet[:20] == 255).all()
    assert (sheet[:, :20] == 255).all()
    assert (sheet[:, -20:] == 255).all()


def test_sheet_stays_of_a_handy_size():
    heights = []
    for count in (1, 4, 12, 40):
        facet_set = make_set(count, per_facet=2, size=16)
        heights.append(contact_sheet(facet_set, [some[:1] for some in exemplars_of(facet_set)]).height)
    assert heights[2] < 2000
    assert heights[3] < 4200


def test_sheet_without_visualizations_and_with_any_label(facet_set):
    unknown = facet_set.with_(images=None, unit=Unit("m", "l", 3, "机器 Ωμέγα — naïve\n" + "long " * 60))
    sheet = contact_sheet(unknown, [some[:0] for some in exemplars_of(unknown)])
    rendered = contact_sheet(facet_set, exemplars_of(facet_set))
    assert sheet.width < rendered.width
    assert (np.asarray(sheet)[:, -20:] == 255).all()
    with pytest.raises(ValueError, match="4 facets"):
        contact_sheet(facet_set, [])


def test_text_keeps_to_the_letters_of_the_font():
    assert typography.printable("naïve café → 5 × 3 – 机…") == "naive cafe → 5 x 3 - ?…"
    shortened = typography.fit("a rather long sentence", 16, 90)
    assert shortened.endswith("…")
    assert typography.text_width(shortened, 16) <= 90


# Geometry of the page


def test_map_keeps_proportions_and_stays_inside():
    points = np.array([[0, 0], [4, 0], [0, 2], [np.nan, 1]])
    placed, height = geometry.map_layout(points)
    assert np.linalg.norm(placed[1] - placed[0]) == pytest.approx(2 * np.linalg.norm(placed[2] - placed[0]))
    assert (placed > 0).all()
    assert (placed < [geometry.MAP_WIDTH, height]).all()
    for degenerate in (np.zeros((3, 2)), np.full((3, 2), np.inf), np.zeros((0, 2)), np.full((1, 2), 1e30)):
        placed, height = geometry.map_layout(degenerate)
        assert placed.shape == degenerate.shape
        np.testing.assert_allclose(placed, np.broadcast_to([500, height / 2], placed.shape))


def test_strips_share_one_axis():
    axis = geometry.Axis.over([1.0, None], np.array([3.0, np.nan]))
    assert axis == geometry.Axis(1.0, 3.0)
    assert axis.place(1.0) == geometry.STRIP_BORDER
    assert axis.place(2.0) == geometry.STRIP_WIDTH / 2
    assert axis.place(None) is None
    assert axis.ticks(np.array([1.0, 1.0, 3.0]), 0, 5) == "M10 0v5M590 0v5"
    assert axis.bars([2, 0, 4, 0], 1.0, 3.0, 50, 30) == "M10 50v-15.0H155V50zM300 50v-30.0H445V50z"
    assert geometry.Axis.over([]).place(0.5) == geometry.STRIP_WIDTH / 2


# Gallery


def test_page_shows_every_facet_and_every_image(facet_set):
    page = Page(page_of(facet_set))
    assert len(page.named("article")) == 4
    assert len([dot for dot in page.named("circle") if "cx" in dot and "data-facet" in dot]) == 24
    assert len(page.named("g", role="button", tabindex="0")) == 4
    pictures = page.named("img")
    assert all("alt" in picture for picture in pictures)
    assert {f"Visualization of facet {facet}" for facet in range(4)} <= {picture["alt"] for picture in pictures}
    assert "Nearest image 1 of facet 2: cat/0012.png" in {picture["alt"] for picture in pictures}
    for text in ("4.2 → 31.0", "97th", ".92", "fidelity/final", "mfv seed=0", "tsne"):
        assert text in page.text
    data = json.loads(page.scripts[0])
    assert data["ids"] == list(facet_set.ids)
    assert data["members"]["1"] == list(range(6, 12))


def test_page_asks_the_network_for_nothing(facet_set):
    text = page_of(facet_set, snapshots={0: facet_set.mean_images})
    page = Page(text)
    for _, attributes in page.tags:
        for name in ("src", "href", "xlink:href", "action", "srcset", "data", "poster"):
            assert (attributes.get(name) or "#").startswith(("data:", "#"))
    assert "url(" not in page.styles
    assert "@import" not in page.styles
    policy = next(meta["content"] for meta in page.named("meta") if "http-equiv" in meta)
    assert "default-src 'none'" in policy
    digest = base64.b64encode(hashlib.sha256(page.scripts[-1].encode()).digest()).decode()
    assert f"script-src 'sha256-{digest}'" in policy


def test_what_comes_from_outside_stays_text(facet_set):
    ids = (EVIL + "0", *facet_set.ids[1:])
    facets = (
        Facet(0, ids[:6], ids[:3], labels=((EVIL, 4), ("tabby", 2))),
        *facet_set.facets[1:],
    )
    evil = facet_set.with_(
        unit=Unit(EVIL, EVIL, 1, EVIL), ids=ids, facets=facets, metrics={EVIL: EVIL}, discovery={"x": [EVIL]}
    )
    text = page_of(evil, command=EVIL)
    page = Page(text)
    harmless = Page(page_of(facet_set))
    assert len(page.named("script")) == len(harmless.named("script"))
    assert not any(name.startswith("on") for _, attributes in page.tags for name in attributes)
    assert "src=x" not in {attributes.get("src") for _, attributes in page.tags}
    assert json.loads(page.scripts[0])["ids"][0] == EVIL + "0"
    assert "\u2028" not in page.scripts[0]
    assert page.text.count("<img src=x onerror=alert(1)>") >= 6
    assert f"4 {EVIL}"[:30] in page.text
    assert "2 tabby" in page.text


def test_slider_has_a_few_snapshots_and_always_the_first_and_last(facet_set):
    snapshots = {5 * step: facet_set.mean_images for step in range(25)}
    page = Page(page_of(facet_set, snapshots=snapshots))
    data = json.loads(page.scripts[0])
    assert data["steps"][0] == 0
    assert data["steps"][-1] == 120
    assert len(data["steps"]) == len(data["snapshots"]) == 10
    assert all(len(images) == 4 for images in data["snapshots"])
    assert page.named("input")[0]["max"] == "11"
    assert Page(page_of(facet_set)).named("input") == []


def test_page_of_facets_that_are_not_rendered(facet_set):
    bare = tuple(Facet(facet.index, facet.members, facet.exemplars) for facet in facet_set.facets)
    assignment = facet_set.assignment.copy()
    assignment[0] = -1
    page = Page(page_of(facet_set.with_(images=None, facets=bare, assignment=assignment)))
    assert page.text.count("not rendered") == 4
    assert "None" not in page.text
    assert "nan" not in page.text


def test_wrong_numbers_of_pictures_are_refused(facet_set):
    exemplars = exemplars_of(facet_set)
    thumbnails = [facet_set.mean_images[0]] * 24
    with pytest.raises(ValueError, match="thumbnails"):
        gallery(facet_set, exemplars, thumbnails[1:], None, "")
    with pytest.raises(ValueError, match="exemplars"):
        gallery(facet_set, exemplars[1:], thumbnails, None, "")
    with pytest.raises(ValueError, match="step 7"):
        gallery(facet_set, exemplars, thumbnails, {7: facet_set.mean_images[1:]}, "")


def test_page_of_1300_images_is_below_three_megabytes():
    facet_set = make_set(10, per_facet=130, size=224)
    thumbnails = [image for facet in range(10) for image in photo_crops(PHOTOS[facet % 4], 130, 48, facet)]
    exemplars = [photo_crops(PHOTOS[facet % 4], 8, 128, facet) for facet in range(10)]
    snapshots = dict.fromkeys(range(10), facet_set.images)
    text = gallery(facet_set, exemplars, thumbnails, snapshots, "mfv")
    assert len(text.encode()) < 3_000_000


def test_templates_travel_with_the_package():
    folder = Path(geometry.__file__).parent
    assert {path.name for path in folder.glob("*.jinja")} == {
        "gallery.html.jinja",
        "gallery.css.jinja",
        "gallery.js.jinja",
        "index.html.jinja",
        "index.css.jinja",
        "index.js.jinja",
    }
