"""What Hydra does not take is answered with the keys that there are."""

import pytest
from hydra import compose, initialize_config_module
from hydra.errors import HydraException

from mfv.config import register
from mfv.overrides import explained


def caught(arguments: list[str]) -> HydraException:
    """Return what Hydra raises of settings that do not compose."""
    register()
    with initialize_config_module("conf", version_base="1.3"), pytest.raises(HydraException) as raised:
        compose("config", arguments)
    return raised.value


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["store=/path"], "store=/path: store holds several settings; give the one that you mean: store.root=…"),
        (["render.iteration=5"], "render.iteration: there is no such key; did you mean render.iterations"),
        (["data.rooot=/x"], "data.rooot: there is no such key (data has scales, step, photos, max_bad_share)"),
        (["data.root=/x"], "did you mean data.root of data=folder or data=imagenet"),
        (["iterations=5"], "did you mean discovery.iterations, or render.iterations"),
        (["facet=4"], "facet: there is no such key; did you mean facets"),
        (["hydra.run.dirr=x"], "did you mean hydra.run.dir?"),
        (["render.objectives.margin.wight=3"], "(render.objectives.margin has weight, objective)"),
        (["~render.foo"], "render.foo: there is no such key"),
        (["select.count=ten"], "select.count=ten: it is a whole number; by default null"),
        (["seed.x=3"], "seed.x: seed is 0 and has no keys"),
        (["model=alexnett"], "model=alexnett: there is no such choice; did you mean alexnet"),
        (["unit=3,4"], "several values are unit=[3,4] in one job, or a sweep of jobs, with -m in front"),
        (["facets=3,4"], "facets=3,4: several values of facets are a sweep of jobs, with -m in front"),
        (["data.scales=.5,.3"], "several values are data.scales=[.5,.3] in one job, or a sweep"),
        (["experiment=nope"], "experiment=nope: an experiment is a file of one's own, experiment/NAME.yaml in the"),
        (["render=fast,best"], "render=fast,best: several choices of render are a sweep of jobs, with -m in front"),
        (["unit=[3"], "unit=[3: cannot be read"),
        (
            ["model.aliases={top: features.14}"],
            "several settings, none so far; another is added by +model.aliases.NAME",
        ),
        (["model.aliases=[]"], "model.aliases=[]: model.aliases holds several settings, none so far"),
        (["render.step={a: 1}"], "give the one that you mean: render.step.first=…, render.step.last=…; another is"),
        (["logger={a: 1}"], "logger={a: 1}: there is no such choice (there are all, csv, tensorboard, wandb)"),
    ],
)
def test_a_wrong_setting_is_answered_with_the_remedy(arguments: list[str], expected: str) -> None:
    assert expected in explained(caught(arguments), arguments)


def test_what_sweeps_or_is_wrong_besides_does_not_hide_the_keys() -> None:
    assert explained(caught(["store.dir=x"]), ["-m", "store.dir=x", "unit=3,4", "render=best,fast"]).endswith(
        "(store has root)"
    )
    said = explained(caught(["store.dir=x"]), ["store.dir=x", "facet=3"])
    assert said == "store.dir: there is no such key (python run.py --cfg job shows all)"


def test_a_group_of_ones_own_is_among_the_keys(tmp_path) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "mine.yaml").write_text("place: here\nmost: 3\n")
    said = explained(caught(["data.plac=x"]), ["--config-dir", str(tmp_path), "data=mine", "data.plac=x"])
    assert said == "data.plac: there is no such key; did you mean data.place? (data has place, most)"
