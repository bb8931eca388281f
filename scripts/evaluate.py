"""Judge a finished run again, with another network, and write its numbers, contact sheet and gallery anew.

python scripts/evaluate.py outputs/2025-01-31/12-00-00 evaluation=mobilenet_v2
python scripts/evaluate.py outputs/2025-01-31/12-00-00 model@evaluation.judge=resnet50 machine.accelerator=cpu

The images stay as they are. The run's photographs must be where they were. After RUN come settings as run.py
takes them, those of evaluation, logger and machine; the rest is the run's own (its config.yaml).
"""

import argparse
import logging
import shlex
import sys
from pathlib import Path

from omegaconf import DictConfig, OmegaConf

from mfv.errors import MfvError
from mfv.pipeline import run
from mfv.presets import composed

OWN = ("evaluation", "logger", "machine")  # what may be set anew


def configuration(directory: Path, overrides: list[str]) -> DictConfig:
    """Return a run's configuration with `overrides` of what its images do not depend on.

    Raises:
        MfvError: there is no finished run, or a setting is not one of these.

    """
    for name in ("config.yaml", "facets.json", "render.safetensors"):
        if not (directory / name).is_file():
            raise MfvError(f"{directory} holds no finished run: it has no {name}")
    for override in overrides:
        if _group(override) not in OWN:
            raise MfvError(f"{override!r} would be another run: only {', '.join(OWN)} may be set here")
    asked = composed(overrides)
    config = OmegaConf.load(directory / "config.yaml")
    assert isinstance(config, DictConfig)
    config.evaluation = asked.evaluation
    for group in ("logger", "machine"):
        if group in map(_group, overrides):
            config[group] = asked[group]
    return config


def command(directory: Path, overrides: list[str]) -> str:
    """Return the command that makes the run anew, judged as now; empty where its own is not known."""
    kept = directory / ".hydra" / "overrides.yaml"
    if not kept.is_file():
        return ""
    before = [str(override) for override in OmegaConf.load(kept) if _group(str(override)) != "evaluation"]
    return shlex.join(["python", "run.py", *before, *(each for each in overrides if _group(each) == "evaluation")])


def _group(override: str) -> str:
    return override.lstrip("+~").split("=")[0].split("@")[-1].split(".")[0]


def main() -> int:
    """Judge and write, and show the numbers; 1 where that cannot be."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path, metavar="RUN", help="the run's directory")
    parser.add_argument("overrides", nargs="*", metavar="SETTING", help="evaluation=mobilenet_v2 …")
    arguments = parser.parse_args()
    logging.basicConfig(format="%(message)s")
    logging.getLogger("mfv").setLevel(logging.INFO)
    try:
        config = configuration(arguments.run, arguments.overrides)
        run(config, arguments.run, command(arguments.run, arguments.overrides))
    except MfvError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
