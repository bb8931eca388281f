"""Figures for papers: text that stays text, the run's own pixels, every facet with its size, and clear refusals."""

import importlib
import importlib.util
import io
import re
import struct
import sys
import zlib
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

pytest.importorskip("matplotlib", reason='figures need matplotlib (pip install "mfv[figures]")')

from loading import load_script

from mfv.data import PhotoCrops
from mfv.errors import MfvError
from mfv.finished import only_facets, read_growth, read_run, seen_photographs, units_of
from mfv.reports.figures.facets import facets_figure
from mfv.reports.figures.grid import Column, grid_figure
from mfv.reports.figures.layers import LayerUnits, layers_figure
from mfv.reports.figures.map import map_figure
from mfv.reports.figures.methods import methods_figure
from mfv.reports.figures.phases import phases_figure
from mfv.reports.figures.sheet import Sheet, fit, save, text_width, wrapped
from mfv.structures import FacetSet

ON = [
    "data=photos",
    "data.photos=[coffee,cat]",
    "data.scales=[0.8]",
    "facets=2",
    "evaluation=none",
    "machine.progress=false",
    "render.iterations=4",
    "snapshot_every=1",
]
COARSE = ["--dpi", "50", "--out"]  # the PDF is looked at
CLASS = [*ON, "layer=classifier.1", "unit=967"]
DEEP = "features.4"  # a layer whose units see a part of the image


@pytest.fixture(scope="module")
def figures() -> ModuleType:
    return load_script("figures")


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("figures")


@pytest.fixture(scope="module")
def run(figures: ModuleType, root: Path) -> Path:
    figures.compare.make([*CLASS, f"store.root={root / 'store'}"], root / "run")
    return root / "run"


@pytest.fixture(scope="module")
def job(figures: ModuleType, root: Path) -> Path:
    asked = [*ON, f"layer=[{DEEP},classifier.1]", "unit=[3]", f"store.root={root / 'store'}"]
    figures.compare.make(asked, root / "job")
    return root / "job"


# What a PDF holds


STREAM = rb"\d+ 0 obj\s*<<((?:(?!endobj).)*?)>>\s*stream\r?\n(.*?)\r?\nendstream"  # its dictionary, its content
SHOWN = rb"\[((?:[^\]\\(]|\((?:[^\\)]|\\.)*\))*)\]\s*TJ|(\((?:[^\\)]|\\.)*\))\s*Tj"  # text, kerned or not


def words(path: Path) -> list[str]:
    """Return the lines of text that the page shows by means of a font."""
    lines = []
    for head, packed in re.findall(STREAM, path.read_bytes(), re.S):
        if b"/FlateDecode" in head and b"/Subtype /Image" not in head:
            for kerned, plain in re.findall(SHOWN, zlib.decompress(packed), re.S):
                pieces = re.findall(rb"\(((?:[^\\)]|\\.)*)\)", kerned or plain, re.S)
                text = re.sub(rb"\\(.)", rb"\1", b"".join(pieces)).replace(b"\0", b"")  # two bytes a letter, or one
                lines.append(text.decode("latin-1"))
    return lines


def pictures(path: Path) -> list[np.ndarray]:
    """Return the images (h, w, 3) of a PDF, by way of PNG, whose coding of lines it shares."""
    found = []
    for head, packed in re.findall(STREAM, path.read_bytes(), re.S):
        if b"/Subtype /Image" not in head or b"/Indexed" in head:
            continue
        width, height = (int(re.findall(rb"/%s (\d+)" % name, head)[0]) for name in (b"Width", b"Height"))
        blocks = [(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)), (b"IDAT", packed), (b"IEND", b"")]
        png = b"\x89PNG\r\n\x1a\n" + b"".join(
            struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
            for kind, body in blocks
        )
        found.append(np.asarray(Image.open(io.BytesIO(png)).convert("RGB")))
    return found


def holds(found: list[np.ndarray], pixels: Tensor) -> bool:
    wanted = (pixels.clamp(0, 1) * 255).round().byte().permute(1, 2, 0).numpy()
    return any(np.array_equal(wanted, each) for each in found)


def centimetres(path: Path) -> tuple[float, float]:
    box = re.search(rb"/MediaBox \[\s*0 0 ([\d.]+) ([\d.]+)", path.read_bytes())
    assert box
    return float(box[1]) / 72 * 2.54, float(box[2]) / 72 * 2.54


# Figures of a finished run


def test_facets_stand_beside_real_images_pixel_by_pixel(figures: ModuleType, run: Path, tmp_path: Path, capsys) -> None:
    assert (
        figures.main(["facets", str(run), "--width", "85mm", "--dpi", "100", "--out", str(tmp_path), "--images", "2"])
        == 0
    )
    assert capsys.readouterr().out.split() == [str(tmp_path / "facets.png"), str(tmp_path / "facets.pdf")]
    found, path = read_run(run), tmp_path / "facets.pdf"
    assert centimetres(path)[0] == pytest.approx(8.5, abs=0.01)
    with Image.open(tmp_path / "facets.png") as png:
        assert png.width == pytest.approx(8.5 / 2.54 * 100, abs=1)
    shown = pictures(path)
    assert len(shown) == len(found) * 4  # visualization, mean image, two nearest
    source = PhotoCrops(photos=["coffee", "cat"], scales=[0.8])
    assert found.images is not None
    for place, facet in enumerate(found.facets):
        assert holds(shown, found.images[place])
        assert holds(shown, found.mean_images[place])
        for photograph in seen_photographs(found, source, facet.exemplars[:2]):
            assert holds(shown, photograph)
        assert f"{facet.size} images" in words(path)
        assert str(facet.index) in words(path)
    assert {"visualization", "mean image", "nearest images"} <= set(words(path))


def test_only_the_facets_that_are_asked_for(figures: ModuleType, run: Path, tmp_path: Path) -> None:
    assert figures.main(["facets", str(run), "--facets", "1", *COARSE, str(tmp_path)]) == 0
    found = read_run(run)
    assert found.images is not None
    shown = pictures(tmp_path / "facets.pdf")
    assert holds(shown, found.images[1])
    assert not holds(shown, found.images[0])


def test_the_map_has_a_place_for_every_image(figures: ModuleType, run: Path, tmp_path: Path) -> None:
    assert figures.main(["map", str(run), *COARSE, str(tmp_path)]) == 0
    found, path = read_run(run), tmp_path / "map.pdf"
    for facet in found.facets:
        assert f"{facet.size} images" in words(path)
    source = PhotoCrops(photos=["coffee", "cat"], scales=[0.8])
    figure = map_figure(found, list(seen_photographs(found, source, found.ids)))
    axes = figure.axes[0]
    boxes = [tuple(image.get_extent()) for image in axes.images]  # left, right, bottom, top
    discs = [patch for patch in axes.patches if type(patch).__name__ == "Circle"]
    assert len(boxes) + len(discs) == len(found.ids)
    for number, (left, right, bottom, top) in enumerate(boxes):
        for other in boxes[:number]:
            assert left >= other[1] or right <= other[0] or top >= other[2] or bottom <= other[3]
        assert 0 <= left < right <= 17.5


def test_phases_begin_at_the_mean_image_and_end_at_the_visualization(
    figures: ModuleType, run: Path, tmp_path: Path
) -> None:
    assert figures.main(["phases", str(run), *COARSE, str(tmp_path), "--facets", "1", "0"]) == 0
    found, growth = read_run(run), read_growth(run, read_run(run))
    assert sorted(growth.snapshots) == [1, 2, 3, 4]
    shown, text = pictures(tmp_path / "phases.pdf"), words(tmp_path / "phases.pdf")
    assert found.images is not None
    for place in range(len(found)):
        for pixels in (found.mean_images[place], growth.snapshots[2][place], found.images[place]):
            assert holds(shown, pixels)
    assert len(shown) == 2 * 5
    assert {"start", "1 step", "2 steps", "3 steps", "4 steps"} <= set(text)


def test_narrow_phases_show_the_first_step_and_spread_the_others(run: Path, tmp_path: Path) -> None:
    found = read_run(run)
    assert found.images is not None
    many = dict.fromkeys(range(25, 201, 25), found.images)
    save(phases_figure(found, many, 200, found.mean_images, width=8.5), tmp_path / "phases", 50)
    titles = [word for word in words(tmp_path / "phases.pdf") if word.endswith("steps")]
    assert titles == ["25 steps", "75 steps", "150 steps", "200 steps"]


# Figures of what is rendered for them


def test_methods_are_columns_on_the_same_facets(figures: ModuleType, root: Path, tmp_path: Path) -> None:
    on = ["--on", *CLASS, f"store.root={root / 'store'}", *COARSE, str(root / "made")]
    assert (
        figures.main(
            ["methods", "fast render.start=noise", "fast render.start=mean", "--titles", "ours", "(other)", *on]
        )
        == 0
    )
    path = root / "made" / "methods.pdf"
    assert {"nearest image", "mean image", "ours", "(other)"} <= set(words(path))
    shown = pictures(path)
    for name in ("fast_start=noise", "fast_start=mean"):
        made = read_run(root / "made" / "unit" / name / "seed0")
        assert made.images is not None
        assert all(holds(shown, pixels) for pixels in made.images)
    assert len(shown) == 2 * 4

    # runs that are there already are not made again
    before = (root / "made" / "unit" / "fast_start=mean" / "seed0" / "facets.json").stat().st_mtime_ns
    assert figures.main(["starts", "fast", "--starts", "noise", "mean", *on]) == 0
    assert (root / "made" / "unit" / "fast_start=mean" / "seed0" / "facets.json").stat().st_mtime_ns == before
    noise = read_run(root / "made" / "unit" / "fast_start=noise" / "seed0")
    assert noise.images is not None
    shown, text = pictures(root / "made" / "starts.pdf"), " ".join(words(root / "made" / "starts.pdf"))
    assert "from noise" in text
    assert "from the mean image" in text
    for pixels in (*noise.images, *noise.mean_images):
        assert holds(shown, pixels)


def test_runs_of_other_facets_are_not_compared(run: Path, job: Path) -> None:
    found = read_run(run)
    with pytest.raises(MfvError, match="not painted the same facets"):
        methods_figure([("one", found), ("other", read_run(units_of(job)[0]))])


def test_layers_show_pictures_as_large_as_what_is_seen(figures: ModuleType, job: Path, tmp_path: Path) -> None:
    assert figures.main(["layers", str(job), *COARSE, str(tmp_path), "--units", "1"]) == 0
    text, shown = words(tmp_path / "layers.pdf"), pictures(tmp_path / "layers.pdf")
    deep = read_run(job / DEEP / "unit_0003")
    side = deep.discovery["receptive_field"]["size"]
    assert deep.images is not None
    assert all(holds(shown, pixels) for pixels in deep.images)
    assert len(shown) == 2 * 2
    assert {DEEP, "classifier.1", "3"} <= set(text)
    assert any(line.startswith(f"{side} × {side} pixels") for line in text)

    pixels = [torch.rand(1, 3, 9, 9)]
    units = [LayerUnits("a", 112, [1], pixels), LayerUnits("b", 224, [1], pixels)]
    one, two = (image.get_extent() for image in layers_figure(units).axes[0].images)
    assert two[1] - two[0] == pytest.approx(2 * (one[1] - one[0]))


def test_a_unit_that_sees_a_part_is_shown_that_part_of_its_images(job: Path) -> None:
    found = read_run(job / DEEP / "unit_0003")
    assert found.boxes is not None
    source = PhotoCrops(photos=["coffee", "cat"], scales=[0.8])
    for place, facet in enumerate(found.facets):
        seen = seen_photographs(found, source, facet.exemplars)
        assert seen.shape[-1] == found.discovery["receptive_field"]["size"]
        assert torch.allclose(seen.mean(0), found.mean_images[place], atol=1 / 255)  # the same as the mean was made of


# What cannot be drawn


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["facets", "{root}/none"], "is no directory"),
        (["facets", "{root}/store"], "holds no run"),
        (["facets", "{job}"], "holds a job of 2 units: .*unit_0003"),
        (["facets", "{run}", "--facets", "7"], "no facet 7 of .*its facets are 0, 1"),
        (["phases", "{job}/classifier.1/unit_0003"], "keeps no steps .*layer=classifier.1 unit=3"),
        (["layers", "{run}"], "no job of several units"),
        (["layers"], "give the directory of a job, or --on"),
        (["methods", "fast", "lucid", "--titles", "one"], "2 methods, but 1 --titles"),
        (["methods", "nonsense", "--on", "unit=3"], "nonsense: nothing was rendered"),
    ],
)
def test_mistakes_are_told(
    figures: ModuleType, run: Path, job: Path, root: Path, tmp_path: Path, capsys, arguments: list[str], message: str
) -> None:
    given = [each.format(root=root, run=run, job=job) for each in arguments]
    assert figures.main([*given, "--out", str(tmp_path)]) == 1
    assert re.search(message, capsys.readouterr().err)
    assert not list(tmp_path.glob("*.pdf"))


def test_a_damaged_run_is_told(figures: ModuleType, run: Path, tmp_path: Path, capsys) -> None:
    (tmp_path / "facets.json").write_text((run / "facets.json").read_text())
    assert figures.main(["map", str(tmp_path), "--out", str(tmp_path)]) == 1
    assert "cannot be read" in capsys.readouterr().err


def test_an_earlier_versions_run_is_told(run: Path) -> None:
    found = read_run(run)
    old = found.with_(discovery={key: value for key, value in found.discovery.items() if key != "input"})
    with pytest.raises(MfvError, match="earlier version"):
        seen_photographs(old, PhotoCrops(photos=["coffee"], scales=[0.8]), found.ids[:1])


@pytest.mark.parametrize(("given", "centimetre"), [("8.5", 8.5), ("85mm", 8.5), ("3.35in", 8.509), ("17.5cm", 17.5)])
def test_widths_are_given_as_journals_give_them(figures: ModuleType, given: str, centimetre: float) -> None:
    assert figures.width(given) == pytest.approx(centimetre)


@pytest.mark.parametrize("given", ["wide", "3", "8.5px", "-5", "2000in"])
def test_other_widths_are_refused(figures: ModuleType, given: str, capsys) -> None:
    with pytest.raises(SystemExit):
        figures.main(["map", "run", f"--width={given}"])
    assert given in capsys.readouterr().err


def test_without_matplotlib_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "mfv.reports.figures.sheet")
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(MfvError, match=r"mfv\[figures\]"):
        importlib.import_module("mfv.reports.figures.sheet")


# The sheet


def test_names_from_outside_are_text_and_never_too_wide(run: Path, tmp_path: Path) -> None:
    found = read_run(run)
    label = "a $name$ \\with_ (marks) " * 9
    facets = tuple(type(facet)(**{**vars(facet), "labels": ((label, 4),)}) for facet in found.facets)
    named: FacetSet = found.with_(facets=facets)
    nearest = [found.mean_images[:1]] * 2
    save(facets_figure([named, named], [nearest, nearest], 8.5), tmp_path / "facets", 50)
    shortened = next(word for word in words(tmp_path / "facets.pdf") if "$name$" in word)
    assert "with_ (marks)" in shortened
    assert shortened.startswith("(a $name$")
    assert text_width(fit(label, 6, 5.0), 6) <= 5.0
    assert fit("letters", 6, 0.01) == ""
    assert wrapped("fast, long ways", 7, 100) == ["fast, long ways"]
    assert len(wrapped(label, 7, 3)) == 3
    assert max(text_width(line, 7) for line in wrapped(label, 7, 3)) <= 3


def test_a_grid_refuses_what_does_not_fit(run: Path) -> None:
    found = read_run(run)
    with pytest.raises(ValueError, match="has 1 images"):
        grid_figure(found.facets, [Column("one", found.mean_images[:1])])
    with pytest.raises(MfvError, match="do not fit into 4 cm"):
        grid_figure(found.facets, [Column(str(number), found.mean_images) for number in range(9)], 4)


def test_small_pictures_stay_crisp_and_files_the_same(tmp_path: Path) -> None:
    sheet = Sheet(4, 4)
    sheet.picture(0, 0, 4, torch.tensor([[0.0, 1.0], [1.0, 0.0]]).expand(3, 2, 2))
    png, pdf = save(sheet.figure, tmp_path / "one")
    assert set(np.unique(np.asarray(Image.open(png).convert("L")))) == {0, 255}
    first = pdf.read_bytes()
    save(sheet.figure, tmp_path / "one")
    assert pdf.read_bytes() == first


def test_facets_keep_their_numbers_and_colours(run: Path) -> None:
    found = read_run(run)
    some = only_facets(found, [1])
    assert [facet.index for facet in some.facets] == [1]
    assert some.images is not None
    assert found.images is not None
    assert torch.equal(some.images[0], found.images[1])
