"""What a notebook shows, and the one in docs/, cell by cell."""

import json
import pickle
import re
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import mfv
from mfv.errors import MfvError
from mfv.models.torchvision import torchvision_model
from mfv.structures import Facet, FacetSet, Unit

NOTEBOOK = Path(__file__).resolve().parents[1] / "docs" / "notebook.ipynb"


@pytest.fixture
def facets() -> mfv.Facets:
    generator = torch.Generator().manual_seed(0)
    ids = tuple(f"{number}.jpg" for number in range(9))
    found = FacetSet(
        unit=Unit("net", "fc", 3, "<b>tabby</b>"),
        facets=(
            Facet(0, ids[:6], ids[:3], 1.0, 8.0, labels=(("<img src=x onerror=alert(1)>", 4),), judge_class="lynx"),
            Facet(1, ids[6:], ids[6:8]),
        ),
        mean_images=torch.rand(2, 3, 24, 24, generator=generator),
        ids=ids,
        assignment=np.array([0] * 6 + [1] * 3),
        embedding=np.array(
            [[0, 0], [1, 0], [0, 1], [1, 1], [0.5, 0.5], [0.4, 0.6], [9, 9], [9, 8], [8, 9]], np.float32
        ),
        activations=np.zeros(9, np.float32),
        images=torch.rand(2, 3, 24, 24, generator=generator),
    )
    return mfv.Facets.of(found)


def test_facets_show_themselves_side_by_side_and_escape_what_comes_from_outside(facets: mfv.Facets) -> None:
    page = facets._repr_html_()
    assert len(re.findall(r'<img src="data:image/', page)) == 4
    assert page.count("<figure") == 2
    assert "&lt;b&gt;tabby" in page
    assert "<img src=x" not in page
    assert "1.0 → 8.0" in page
    assert "6 images" in page


def test_a_console_lists_them_in_words(facets: mfv.Facets) -> None:
    assert repr(facets) == (
        "net fc unit 3 (<b>tabby</b>): 2 facets of 9 images\n"
        "  facet 0 · 6 images · 1.0 → 8.0 · <img src=x onerror=alert(1)> · lynx\n"
        "  facet 1 · 3 images"
    )
    stopped = mfv.Facets.of(facets, "stopped at step 2 of 9")
    assert repr(stopped).splitlines()[0].endswith("9 images · stopped at step 2 of 9")
    assert repr(facets[1]) == "facet 1 · 3 images"


def test_a_facet_has_its_pictures(facets: mfv.Facets, tmp_path: Path) -> None:
    assert torch.equal(facets[1].image, facets.images[1])
    assert torch.equal(facets[1].mean_image, facets.mean_images[1])
    assert facets[0].exemplars == ("0.jpg", "1.jpg", "2.jpg")
    assert [facet.size for facet in facets] == [6, 3]
    facets[1].save(tmp_path / "one" / "facet.png")
    written = np.asarray(Image.open(tmp_path / "one" / "facet.png"))
    assert np.abs(written / 255 - facets.images[1].permute(1, 2, 0).numpy()).max() <= 0.5 / 255 + 1e-6
    assert facets[0]._repr_png_()[:4] == b"\x89PNG"
    with pytest.raises(IndexError):
        facets[2]


def test_a_facet_is_written_as_its_files_name_says(facets: mfv.Facets, tmp_path: Path) -> None:
    for name, kind in (("a.jpg", "JPEG"), ("b.WEBP", "WEBP"), ("c.png", "PNG"), ("plain", "PNG")):
        facets[0].save(tmp_path / "new" / name)
        with Image.open(tmp_path / "new" / name) as picture:
            assert picture.format == kind
    with pytest.raises(MfvError, match=r"no pictures are written as \.docx files; end it in \.png"):
        facets[0].save(tmp_path / "facet.docx")


@pytest.mark.parametrize("side", [-3, 0, "a", 20.0])
def test_a_maps_side_is_a_number_of_pixels(facets: mfv.Facets, side: object) -> None:
    with pytest.raises(MfvError, match=r"side is .*; it is a number of pixels, the side of the picture, at least 32"):
        facets.plot_map(side)


def test_damaged_and_newer_folders_are_named(facets: mfv.Facets, tmp_path: Path) -> None:
    facets.save(tmp_path)
    path, tensors = tmp_path / "facets.json", tmp_path / "facets.safetensors"
    whole, numbers = path.read_text(), tensors.read_bytes()
    assert len(mfv.Facets.load(path)) == 2  # the file stands for its folder
    document = json.loads(whole)
    for text, said in (
        (whole[:100], r"cannot be read \(JSONDecodeError: .*damaged"),
        (json.dumps({**document, "unit": {**document["unit"], "colour": "red"}}), r"cannot be read \(TypeError"),
        (json.dumps({"schema": 1}), r"cannot be read \(KeyError: 'unit'\)"),
        (json.dumps({**document, "schema": 99}), r"is of a newer version of mfv \(schema 99; this one reads 1\)"),
    ):
        path.write_text(text)
        with pytest.raises(MfvError, match=said):
            mfv.Facets.load(tmp_path)
    path.write_text(whole)
    tensors.write_bytes(numbers[:50])
    with pytest.raises(MfvError, match=r"cannot be read \(SafetensorError"):
        mfv.Facets.load(tmp_path)
    tensors.unlink()
    with pytest.raises(MfvError, match=r"cannot be read \(FileNotFoundError: .*facets\.safetensors is missing"):
        mfv.Facets.load(tmp_path)


def test_an_interruption_comes_back_from_another_process() -> None:
    stop = pickle.loads(pickle.dumps(mfv.Interrupted([1, 2], 3, 9)))
    assert (stop.partial, stop.step, stop.steps, str(stop)) == ([1, 2], 3, 9, "stopped at step 3 of 9")


def test_facets_can_be_told_apart_and_kept_in_sets(facets: mfv.Facets) -> None:
    other = mfv.Facets.of(facets)
    assert facets != other
    assert facets in [other, facets]
    assert len({facets, other, facets[0], facets[1], facets[0]}) == 4


def test_before_rendering_the_mean_image_is_shown(facets: mfv.Facets) -> None:
    plain = mfv.Facets.of(facets.with_(images=None))
    assert plain[0].image is None
    assert np.array_equal(
        np.asarray(plain[0].pil()), np.asarray(mfv.Facets.of(facets.with_(images=facets.mean_images))[0].pil())
    )
    assert "<figure" in plain._repr_html_()


def test_the_map_has_a_dot_for_each_image_in_its_facets_colour(facets: mfv.Facets) -> None:
    from mfv.reports.palette import facet_colours

    picture = np.asarray(facets.plot_map(300))
    for colour in facet_colours(2):
        wanted = [int(colour[start : start + 2], 16) for start in (1, 3, 5)]
        assert (picture == wanted).all(-1).sum() > 20


def test_what_was_saved_loads_as_the_same(facets: mfv.Facets, tmp_path: Path) -> None:
    facets.save(tmp_path)
    loaded = mfv.Facets.load(tmp_path)
    assert isinstance(loaded, mfv.Facets)
    assert torch.equal(loaded[0].image, facets[0].image)
    with pytest.raises(MfvError, match=r"elsewhere holds no facets\.json: give the folder of a run"):
        mfv.Facets.load(tmp_path / "elsewhere")


def test_the_notebook_in_the_docs_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys) -> None:
    try:
        torchvision_model("mobilenet_v2")
    except MfvError as error:
        pytest.skip(f"no weights: {error}")
    monkeypatch.chdir(tmp_path)
    cells = json.loads(NOTEBOOK.read_text(encoding="utf-8"))["cells"]
    names: dict[str, object] = {}
    for cell in cells:
        if cell["cell_type"] == "code":
            exec("".join(cell["source"]), names)
    assert isinstance(names["facets"], mfv.Facets)
    assert (tmp_path / "facets_792" / "gallery.html").exists()
    assert (tmp_path / "facet_0.png").exists()
    assert "tsne" in capsys.readouterr().out
