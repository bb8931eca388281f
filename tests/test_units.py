import pytest
import torch
from torch import nn

from mfv.activations.values import unit_values
from mfv.errors import MfvError
from mfv.models.choice import position_name
from mfv.models.target import TargetModel
from mfv.models.torchvision import torchvision_model
from mfv.models.units import is_label, resolve_unit, resolve_units, unit_count


@pytest.fixture(scope="module")
def model():
    return torchvision_model("squeezenet1_1", weights="none", aliases={"conv10": "classifier.1"})


def small(labels=None, **options):
    network = nn.Sequential(nn.Conv2d(3, 6, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(6, 3))
    return TargetModel(network, name="small", input_size=8, labels=labels, **options)


@pytest.mark.parametrize(
    ("unit", "index"),
    [
        (582, 582),
        ("0582", 582),
        (0, 0),
        ("999", 999),
        ("cinema", 498),
        ("Cinema", 498),
        ("grocery_store", 582),
        ("  Bell  Pepper ", 945),
        ("n03032252", 498),
        ("n02012849", 134),
        ("crane bird", 134),
        ("tiger", 292),
    ],
)
def test_classes_go_by_number_label_and_synset(model, unit, index):
    found = resolve_unit(model, "conv10", unit)
    assert (found.index, found.label) == (index, model.labels[index])
    assert (found.model, found.layer) == ("squeezenet1_1", "classifier.1")


def test_every_label_and_synset_resolves_to_its_own_class_or_says_it_is_ambiguous():
    names = torchvision_model("squeezenet1_1", weights="none")
    tiny = TargetModel(
        nn.Sequential(nn.Flatten(), nn.Linear(12, 1000)),
        input_size=2,
        labels=names.labels,
        synsets=names.synsets,
    )
    ambiguous = []
    for index, (label, synset) in enumerate(zip(tiny.labels, tiny.synsets, strict=True)):
        assert resolve_unit(tiny, "", synset).index == index
        try:
            assert resolve_unit(tiny, "", label).index == index
        except MfvError:
            ambiguous.append(label)
    assert ambiguous == ["Cardigan", "cardigan", "crane", "maillot"]


@pytest.mark.parametrize(
    ("unit", "message"),
    [
        (
            "crane",
            r"names 2 classes of .*134 \(crane bird, n02012849\), 517 \(crane, n03126707\); give a number",
        ),
        ("maillot", r"names 2 classes .*638 .*639"),
        ("cardigan", r"names 2 classes .*264 .*474"),
        ("grocery", r"no class of squeezenet1_1; did you mean 582 \(grocery store, n03461385\)"),
        ("movie theater", r"no class .*theater curtain"),
        ("bel peper", r"no class .*945 \(bell pepper"),
        ("qqqq", r"no class of squeezenet1_1; give a number"),
        ("n00000001", r"no class of that synset"),
        (1000, r"has 1000 units, 0–999"),
        ("-1", r"has 1000 units, 0–999"),
    ],
)
def test_wrong_and_ambiguous_names_get_the_nearest_with_their_numbers(model, unit, message):
    with pytest.raises(MfvError, match=message):
        resolve_unit(model, "conv10", unit)


def test_many_matches_are_cut_short(model):
    with pytest.raises(MfvError, match="no class") as error:
        resolve_unit(model, "", "dog")
    assert 5 < str(error.value).count(", n0") <= 10


def test_hidden_units_have_no_names(model):
    assert resolve_unit(model, "features.3", 127).label is None
    with pytest.raises(MfvError, match=r"layer 'features\.3' .* have no names.* layer=classifier\.1"):
        resolve_unit(model, "features.3", "cinema")
    with pytest.raises(MfvError, match=r"has 128 units, 0–127"):
        resolve_unit(model, "features.3", 128)
    with pytest.raises(MfvError, match=r"no layer 'features\.99'"):
        resolve_unit(model, "features.99", 0)


def test_the_output_and_its_softmax_have_the_classes_names(model):
    assert resolve_unit(model, "", "cinema").layer == ""
    assert resolve_unit(model, "prob", "cinema").layer == "prob"


def test_models_without_labels_and_with_too_many():
    assert resolve_unit(small(), "3", 2).label is None
    with pytest.raises(MfvError, match="has no labels"):
        resolve_unit(small(), "3", "cat")
    with pytest.raises(MfvError, match="has no synsets"):
        resolve_unit(small(list("abc")), "3", "n03032252")
    with pytest.raises(MfvError, match="class 3 of 4, but layer '3' of small has only 3 units"):
        resolve_unit(small(list("abcd")), "3", "d")
    with pytest.raises(MfvError, match=r"names 2 classes of small: 0 \(a\), 2 \(A\)"):
        resolve_unit(small(list("abA")), "3", "a")


def test_labels_that_are_numbers_name_their_classes_unless_another_has_the_number():
    model = small(["0", "2", "10"])
    assert [resolve_unit(model, "3", unit).index for unit in ("0", "10", 1, 2)] == [0, 2, 1, 2]
    with pytest.raises(MfvError, match=r"unit='2' is the label of class 1 \(2\) of small, and the number of 2 \(10\)"):
        resolve_unit(model, "3", "2")
    assert resolve_unit(model, "0", "2").index == 2  # a channel


def test_labels_that_read_as_several_units_are_asked_about():
    model = small(["0-1", "all", "c"])
    for unit in ("0-1", "all", ["c", "all"]):
        with pytest.raises(MfvError, match=r"unit='.*' names several units, and is a label too: give the class"):
            resolve_units(model, "3", unit)
    assert [unit.index for unit in resolve_units(model, "0", "0-1")] == [0, 1]
    assert is_label(model, "3", "all")
    assert not is_label(model, "0", "all")


def test_an_error_without_words_is_named_by_its_type():
    class Picky(nn.Sequential):
        def forward(self, pixels):
            raise AssertionError

    with pytest.raises(MfvError, match=r"input_size=8\): AssertionError"):
        unit_count(TargetModel(Picky(nn.Linear(3, 2)), input_size=8), "")


def test_units_are_counted_in_every_layout(model):
    assert unit_count(model, "features.0") == 64
    assert unit_count(model, "prob") == 1000
    assert unit_count(small(), "3:in") == 6
    vit = torchvision_model("vit_b_32", weights="none")
    assert unit_count(vit, "encoder.layers.encoder_layer_0.mlp.0") == 3072
    assert unit_count(vit, "conv_proj") == 768


def test_values_of_a_map():
    activation = torch.randn(3, 5, 4, 6, generator=torch.Generator().manual_seed(0))
    values, where = unit_values(activation)
    assert torch.equal(values, activation.amax(dim=(2, 3)))
    for image in range(3):
        for unit in range(5):
            y, x = divmod(where[image, unit].item(), 6)
            assert activation[image, unit, y, x] == values[image, unit]
    for position in ((1, 4), "1,4", "1, 4", [1, 4]):
        values, where = unit_values(activation, position)
        assert torch.equal(values, activation[:, :, 1, 4])
        assert where.dtype == torch.long
        assert where.unique().tolist() == [10]
    assert torch.equal(unit_values(activation, "center")[0], activation[:, :, 2, 3])
    values, where = unit_values(activation, "mean")
    torch.testing.assert_close(values, activation.mean(dim=(2, 3)))
    assert where is None


def test_values_of_neurons_and_tokens():
    neurons = torch.randn(3, 5, generator=torch.Generator().manual_seed(0))
    for position in (None, "max", "center", "mean", "0,0"):
        values, where = unit_values(neurons, position)
        assert torch.equal(values, neurons)
        assert where is None
    tokens = torch.randn(3, 7, 5, generator=torch.Generator().manual_seed(0))
    for position in (None, "class", 0, "0"):
        values, where = unit_values(tokens, position)
        assert torch.equal(values, tokens[:, 0])
        assert where.unique().tolist() == [0]
    assert torch.equal(unit_values(tokens, "6")[0], tokens[:, 6])
    assert torch.equal(unit_values(tokens, "max")[0], tokens.amax(dim=1))
    torch.testing.assert_close(unit_values(tokens, "mean")[0], tokens.mean(dim=1))


@pytest.mark.parametrize(
    ("shape", "position", "message"),
    [
        ((2, 5, 4, 4), "4,0", "outside the map: y is 0–3, x is 0–3"),
        ((2, 5, 4, 4), "3", "two coordinates"),
        ((2, 5, 4, 4), "class", r"'class'.*max, mean"),
        ((2, 5, 4, 4), "middle", "'middle'"),
        ((2, 7, 5), "center", "'center'"),
        ((2, 7, 5), (1, 2), "lie in no grid"),
        ((2, 7, 5), 7, "7 tokens, 0–6"),
        ((2, 5), "1,2", "no positions"),
        ((2, 5), "middle", "'middle'"),
        ((2, 5, 4, 4, 4), None, "none of"),
    ],
)
def test_positions_that_a_layout_does_not_have(shape, position, message):
    with pytest.raises(MfvError, match=message):
        unit_values(torch.zeros(shape), position)


def test_gradients_flow_to_the_place_of_the_value():
    activation = torch.randn(1, 2, 3, 3, generator=torch.Generator().manual_seed(0)).requires_grad_()
    values, where = unit_values(activation)
    values[0, 1].backward()
    gradient = activation.grad.flatten(2)
    assert gradient.sum() == 1
    assert gradient[0, 1, where[0, 1]] == 1


def test_a_position_is_a_word_or_numbers():
    given = (None, "mean", "3,4", "3, 4", [3, 4], 5, "12")
    assert [position_name(each) for each in given] == [None, "mean", "3,4", "3,4", "3,4", "5", "12"]
    for wrong in ("middle", "3,4,5", [3.5, 1], "-1", [], ""):
        with pytest.raises(MfvError, match=r"position is .* max, mean, center, or a row and a column"):
            position_name(wrong)
