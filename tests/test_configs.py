"""Every YAML composes, instantiates and opens with a line of use; the notebook's default is the command line's."""

from pathlib import Path

import pytest
from hydra import compose, initialize_config_dir
from hydra.utils import instantiate
from omegaconf import OmegaConf

from mfv.config import register
from mfv.discovery import TSNEKMeans
from mfv.objectives import WeightedSum
from mfv.rendering import Recipe
from mfv.rendering.fast import fast_recipe

CONF = Path(__file__).resolve().parents[1] / "conf"
FILES = sorted(path.relative_to(CONF) for path in CONF.rglob("*.yaml"))
GROUPS = sorted({path.parts[0] for path in FILES if len(path.parts) > 1})


@pytest.mark.parametrize("path", FILES, ids=str)
def test_a_yaml_opens_with_a_line_of_use(path: Path) -> None:
    lines = (CONF / path).read_text(encoding="utf-8").splitlines()
    first = lines[1] if lines[0].startswith("# @package") else lines[0]  # Hydra wants its own line to be the first
    use = "python run.py" if len(path.parts) == 1 else f"{path.parts[0]}={path.stem}"
    assert first.startswith("#")
    assert use in first


@pytest.mark.parametrize("path", [path for path in FILES if len(path.parts) > 1 and path.parts[0] != "launch"], ids=str)
def test_a_choice_composes(path: Path) -> None:
    register()
    with initialize_config_dir(str(CONF), version_base="1.3"):
        config = compose("config", overrides=[f"{path.parts[0]}={path.stem}"])
    assert config[path.parts[0]] == OmegaConf.load(CONF / path)


@pytest.mark.parametrize("name", [path.stem for path in FILES if path.parts[0] == "render"])
def test_a_recipe_instantiates(name: str) -> None:
    recipe = instantiate(OmegaConf.load(CONF / "render" / f"{name}.yaml"), _convert_="all")
    assert isinstance(recipe, Recipe)
    assert recipe.steps > 0


def test_the_notebooks_defaults_are_the_command_lines() -> None:
    config = instantiate(OmegaConf.load(CONF / "render" / "fast.yaml"), _convert_="all")
    ours = fast_recipe()
    for one, other in zip(config.octaves, ours.octaves, strict=True):
        assert (one.iterations, one.step, one.regularizers) == (other.iterations, other.step, other.regularizers)
        assert isinstance(one.objective, WeightedSum)
        assert isinstance(other.objective, WeightedSum)
        assert one.objective.weights == other.objective.weights
        for part, twin in zip(one.objective.objectives, other.objective.objectives, strict=True):
            assert type(part) is type(twin)
            plain = {key: value for key, value in vars(part).items() if not key.startswith("_")}
            assert plain == {key: value for key, value in vars(twin).items() if not key.startswith("_")}
    assert (config.start, config.momentum, config.optimizer) == (ours.start, ours.momentum, ours.optimizer)
    assert instantiate(OmegaConf.load(CONF / "discovery" / "tsne.yaml"), _convert_="all") == TSNEKMeans()
