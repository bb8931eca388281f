"""Lightning's loggers for a run, and how images and the final table reach each of them."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import numpy as np
from PIL import Image
from pytorch_lightning.loggers import Logger, TensorBoardLogger, WandbLogger
from pytorch_lightning.utilities.rank_zero import rank_zero_only
from torch import Tensor

from mfv.errors import MfvError, nearest_names
from mfv.reports import judged, wording
from mfv.reports.contact_sheet import contact_sheet
from mfv.reports.images import square, to_pil
from mfv.reports.index import STRIP, Entry
from mfv.reports.map_picture import map_picture
from mfv.reports.summary import final_numbers
from mfv.reports.wandb_run import close_wandb, log_artifacts, open_wandb, wandb_files
from mfv.structures import Facet, FacetSet

NAMES = ("csv", "tensorboard", "wandb")
COLUMNS = (
    "facet",
    "visualization",
    "mean image",
    "nearest images",
    "images",
    "activation start",
    "activation",
    "natural percentile",
    "probability",
    "argmax",
)
UNIT_COLUMNS = (
    "layer",
    "unit",
    "label",
    "facets side by side",
    "facets",
    "images",
    "activation",
    "natural percentile",
    "fidelity",
    "judge's classes",
)
JUDGED_COLUMNS = ("judge's nearest facet", "fidelity", "judge's probability", "judge's class")
TILE, SHOWN = 96, 8  # pixels and number of the nearest images in the table


def make_loggers(
    names: Sequence[str],
    directory: str | Path,
    config: Mapping[str, Any],
    name: str,
    group: str | None = None,
    run_id: str | None = None,
    job_type: str | None = None,
) -> list[Logger]:
    """Return a started logger for each of `names`, which are "wandb", "tensorboard" and "csv".

    "csv" needs no logger: metrics.csv is always written. `config` is the resolved configuration, recorded by
    each logger. Files go to `directory`/wandb and `directory`/tensorboard. `group` holds the runs of a sweep
    together in W&B, and `job_type` those of a kind; `run_id` is W&B's, for a run that is resumed elsewhere (see
    `open_wandb`). Call it in the
    main process, and `close_loggers` at the end of every job. Raises MfvError for an unknown name or a
    logger that is not installed.
    """
    directory = Path(directory)
    for unknown in (given for given in names if given not in NAMES):
        near = nearest_names(unknown, NAMES)
        hint = f"; did you mean {' or '.join(near)}?" if near else ""
        raise MfvError(f"logger.names: unknown logger {unknown!r}{hint} (there are {', '.join(NAMES)})")
    loggers: list[Logger] = []
    for kind in dict.fromkeys(names):
        if kind == "tensorboard":
            loggers.append(_open_tensorboard(directory, config))
        elif kind == "wandb":
            loggers.append(open_wandb(directory, config, name, group, run_id, job_type))
    return loggers


def close_loggers(loggers: Sequence[Logger]) -> None:
    """Write what is pending and end the runs, so that the next job of a sweep starts its own."""
    for logger in loggers:
        if isinstance(logger, WandbLogger):
            close_wandb(logger)
        else:
            logger.finalize("success")


@rank_zero_only
def log_images(loggers: Sequence[Logger], images: Tensor, captions: Sequence[str], step: int) -> None:
    """Log the facets' images (k, 3, H, W) in [0, 1] as they are at `step`, with a caption each.

    TensorBoard has no captions: it shows facet 3 as "visualization/facet_03" with a slider over the steps.
    """
    if len(images) != len(captions):
        raise ValueError(f"{len(images)} images need as many captions, got {len(captions)}")
    for logger in loggers:
        if isinstance(logger, WandbLogger):
            with wandb_files(str(logger.save_dir)):
                pictures = [to_pil(image) for image in images]
                logger.log_image("visualization", pictures, step=step, caption=list(captions))
        elif isinstance(logger, TensorBoardLogger):
            for position, image in enumerate(images):
                name = f"visualization/facet_{position:02d}"
                logger.experiment.add_image(name, np.asarray(to_pil(image)), step, dataformats="HWC")


def log_rendering(
    loggers: Sequence[Logger],
    curves: Tensor,
    snapshots: Mapping[int, Tensor],
    images: Tensor | None,
    captions: Sequence[str],
) -> None:
    """Log the curves (steps, k) and snapshots (k, 3, h, w) uint8 of a rendering, as a run of its own logs them.

    The images (k, 3, h, w) in [0, 1] that it ends with follow, if given, where the last step has no snapshot.
    """
    for step, values in enumerate(curves.tolist()):
        numbers = {f"activation/facet_{facet:02d}": value for facet, value in enumerate(values)}
        for logger in loggers:
            logger.log_metrics(numbers, step)
        if step + 1 in snapshots:
            log_images(loggers, snapshots[step + 1].float() / 255, captions, step)
    if images is not None and len(curves) not in snapshots:
        log_images(loggers, images, captions, len(curves) - 1)


@rank_zero_only
def log_units(loggers: Sequence[Logger], entries: Sequence[Entry], root: Path) -> None:
    """Log the table of many units, a row each: W&B with the strips of their facets, TensorBoard as Markdown."""
    for logger in loggers:
        if isinstance(logger, WandbLogger):
            import wandb

            with wandb_files(str(logger.save_dir)):
                rows = []
                for each in entries:
                    with Image.open(root / unquote(each.folder) / STRIP) as strip:
                        side_by_side = wandb.Image(strip.convert("RGB"))
                    rows.append([each.layer, each.index, each.title, side_by_side, *_unit_numbers(each)])
                logger.log_table("units", columns=list(UNIT_COLUMNS), data=rows)
        elif isinstance(logger, TensorBoardLogger):
            heads = [column for column in UNIT_COLUMNS if column != "facets side by side"]
            lines = [f"| {' | '.join(heads)} |", "|" + " ---: |" * len(heads)]
            for each in entries:
                cells = [each.layer, each.index, each.title, *_unit_numbers(each)]
                lines.append("| " + " | ".join("" if cell is None else str(cell) for cell in cells) + " |")
            logger.experiment.add_text("units", "\n".join(lines))
    log_final(loggers, _means(entries))


@rank_zero_only
def log_files(loggers: Sequence[Logger], files: Sequence[Path], store: Path, description: Mapping[str, Any]) -> None:
    """Log W&B's artifacts of a run: the activation store that it read, by reference, and the facets, as files.

    Where W&B is online, the run is noted as a reader of the store, so that its page shows which facets came of it.
    """
    for logger in loggers:
        if isinstance(logger, WandbLogger):
            with wandb_files(str(logger.save_dir)):
                log_artifacts(logger, files, store, description)


def _means(entries: Sequence[Entry]) -> dict[str, float]:
    """Return the means over many units of what is known of them, under the names that a single one's have."""
    columns = {
        "activation": [each.activation for each in entries],
        "natural_percentile": [each.percentile for each in entries],
        "fidelity": [each.fidelity for each in entries],
    }
    known = {name: [value for value in values if value is not None] for name, values in columns.items()}
    means = {f"final/{name}": sum(values) / len(values) for name, values in known.items() if values}
    return {"final/units": float(len(entries)), **means}


def _unit_numbers(entry: Entry) -> list[float | int | str | None]:
    numbers = (entry.activation, entry.percentile, entry.fidelity)
    return [entry.facets, entry.images, *numbers, ", ".join(entry.classes)]


@rank_zero_only
def log_table(
    loggers: Sequence[Logger], facet_set: FacetSet, exemplars: Sequence[Tensor], step: int | None = None
) -> None:
    """Log the final table, a row per facet, the map of the images, and the means as "final/…".

    `exemplars` holds one tensor (m, 3, h, w) per facet, nearest first. W&B gets a table with images;
    TensorBoard the contact sheet and the numbers as a Markdown table.
    """
    for logger in loggers:
        if isinstance(logger, WandbLogger):
            _log_wandb_table(logger, facet_set, exemplars, step)
            with wandb_files(str(logger.save_dir)):
                logger.log_image("map", [map_picture(facet_set)], step=step, caption=["a dot per image, by facet"])
        elif isinstance(logger, TensorBoardLogger):
            sheet = contact_sheet(facet_set, exemplars)
            logger.experiment.add_image("facets", np.asarray(sheet), step, dataformats="HWC")
            logger.experiment.add_image("map", np.asarray(map_picture(facet_set)), step, dataformats="HWC")
            logger.experiment.add_text("facets", markdown_table(facet_set), step)
    log_final(loggers, final_numbers(facet_set), step)


@rank_zero_only
def log_final(loggers: Sequence[Logger], numbers: Mapping[str, float], step: int | None = None) -> None:
    """Log the numbers that runs are compared by: W&B's summary, and TensorBoard's HPARAMS beside the configuration."""
    if not numbers:
        return
    for logger in loggers:
        if isinstance(logger, TensorBoardLogger):
            logger.log_hyperparams(dict(logger.hparams), dict(numbers), step)  # as curves too
            continue
        logger.log_metrics(dict(numbers), step)
        if isinstance(logger, WandbLogger):
            logger.experiment.summary.update(dict(numbers))


def markdown_table(facet_set: FacetSet) -> str:
    """Return the facets' numbers as a Markdown table."""
    extra = judged.facet_columns(facet_set)
    heads = ["facet", *COLUMNS[4:], *extra]
    lines = [f"| {' | '.join(heads)} |", "|" + " ---: |" * len(heads)]
    for position, facet in enumerate(facet_set.facets):
        cells = [
            str(facet.index),
            str(facet.size),
            wording.number(facet.activation_start),
            wording.number(facet.activation),
            wording.ordinal(facet.natural_percentile),
            wording.probability(facet.probability),
            wording.readable(facet.is_argmax),
            *(column[position] for column in extra.values()),
        ]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def _open_tensorboard(directory: Path, config: Mapping[str, Any]) -> TensorBoardLogger:
    try:
        logger = TensorBoardLogger(directory, name="", version="tensorboard", default_hp_metric=False)
    except ModuleNotFoundError as error:
        raise MfvError(
            f"logger=tensorboard needs the package tensorboard ({error}): "
            "`pip install mfv[tensorboard]`, or choose logger=csv"
        ) from error
    logger.log_hyperparams(dict(config))
    return logger


def _log_wandb_table(logger: WandbLogger, facet_set: FacetSet, exemplars: Sequence[Tensor], step: int | None) -> None:
    import wandb

    with_judge = judged.is_judged(facet_set)
    rows = []
    for position, facet in enumerate(facet_set.facets):
        rendered = None if facet_set.images is None else wandb.Image(to_pil(facet_set.images[position]))
        mean = wandb.Image(to_pil(facet_set.mean_images[position]))
        nearest = exemplars[position][:SHOWN]
        row = wandb.Image(_side_by_side(nearest)) if len(nearest) else None
        rows.append([facet.index, rendered, mean, row, *_numbers(facet), *(_judgement(facet) if with_judge else [])])
    columns = [*COLUMNS, *(JUDGED_COLUMNS if with_judge else ())]
    with wandb_files(str(logger.save_dir)):
        logger.log_table("facets", columns=columns, data=rows, step=step)


def _side_by_side(images: Tensor) -> Image.Image:
    """Return images (m, 3, h, w) as one row of small squares."""
    row = Image.new("RGB", (TILE * len(images), TILE))
    for place, image in enumerate(images):
        row.paste(square(image, TILE), (TILE * place, 0))
    return row


def _numbers(facet: Facet) -> list[float | int | bool | None]:
    return [
        facet.size,
        facet.activation_start,
        facet.activation,
        facet.natural_percentile,
        facet.probability,
        facet.is_argmax,
    ]


def _judgement(facet: Facet) -> list[float | int | bool | str | None]:
    return [facet.judge_nearest, facet.fidelity, facet.judge_probability, facet.judge_class]
