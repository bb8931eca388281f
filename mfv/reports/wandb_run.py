"""Weights & Biases without questions: offline unless logged in, quiet, all files below the run directory."""

import logging
import netrc
import os
import secrets
import shlex
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal
from urllib.parse import urlsplit

from mfv.errors import MfvError

if TYPE_CHECKING:
    from pytorch_lightning.loggers import WandbLogger

Mode = Literal["online", "offline", "disabled"]

PROJECT = "mfv"  # unless WANDB_PROJECT says otherwise
PUBLIC_SERVER = "https://api.wandb.ai"

log = logging.getLogger(__name__)


def open_wandb(
    directory: Path,
    config: Mapping[str, Any],
    name: str,
    group: str | None,
    run_id: str | None,
    job_type: str | None = None,
) -> "WandbLogger":
    """Start a W&B run whose files lie in `directory`/wandb, and return Lightning's logger of it.

    A run that is still open in this process is finished first: Lightning would write into it. The run's id is
    `run_id`, or what `directory`/wandb/run_id.txt says, or a new one, and is kept in that file. So a resumed
    run directory continues the same W&B run: online at once; offline as one more `offline-run-…` folder with
    the same id, which a single `wandb sync` of both joins. Raises MfvError where wandb is missing or cannot
    start (online, W&B gives up after a minute and a half).
    """
    try:
        import wandb
        from pytorch_lightning.loggers import WandbLogger
    except ImportError as error:
        raise MfvError(
            f"logger=wandb needs the package wandb ({error}): `pip install wandb`, or choose logger=csv"
        ) from error
    mode = wandb_mode()
    identifier = _kept_id(directory, run_id)
    with wandb_files(directory):
        if wandb.run is not None:
            wandb.finish()
        project = os.environ.get("WANDB_PROJECT", PROJECT)
        quiet = wandb.Settings(silent=True, console="off")
        try:
            wandb.setup(settings=quiet)
            run = wandb.init(
                project=project,
                name=name,
                group=group,
                job_type=job_type,
                dir=directory,
                id=identifier,
                config=dict(config),
                mode=mode,
                resume=None if mode == "offline" else "allow",
                settings=quiet,
            )
        except wandb.Error as error:
            raise MfvError(
                f"logger=wandb: W&B did not start ({error}). WANDB_MODE=offline keeps the run here, "
                "logger=csv does without W&B"
            ) from error
        run.define_metric("trainer/global_step")
        run.define_metric("*", step_metric="trainer/global_step", step_sync=True)
        logger = WandbLogger(name, directory, project=project, id=identifier, experiment=run)
    if mode == "offline":
        runs = Path(run.dir).parents[1]  # this one's folder, and those of the same run before it was resumed
        log.info("W&B is offline; to upload this run: wandb sync %s/offline-run-*-%s", shlex.quote(str(runs)), run.id)
    elif run.url:
        log.info("W&B run: %s", run.url)
    return logger


def log_artifacts(logger: "WandbLogger", files: Sequence[Path], store: Path, description: Mapping[str, Any]) -> None:
    """Note the activation store that the run read, by its manifest, and keep the files as the run's facets.

    Offline W&B cannot ask what it already knows, so the store is noted as an output; that it is the same one as
    another run's, its name says.
    """
    import wandb

    run = logger.experiment
    read = wandb.Artifact(f"store-{store.name}", type="store", metadata={**description, "place": str(store.absolute())})
    read.add_reference((store / "manifest.json").absolute().as_uri())
    if run.offline:
        run.log_artifact(read)
    else:
        run.use_artifact(read)
    made = wandb.Artifact(f"facets-{run.id}", type="facets")
    for file in files:
        made.add_file(str(file), policy="immutable", skip_cache=True)
    run.log_artifact(made)


def close_wandb(logger: "WandbLogger") -> None:
    """Finish the logger's run."""
    with wandb_files(str(logger.save_dir)):
        logger.experiment.finish()


def wandb_mode() -> Mode:
    """Return WANDB_MODE if it is set, else "online" for who is logged in and "offline" for others."""
    mode = os.environ.get("WANDB_MODE", "").strip().lower()
    known: dict[str, Mode] = {
        "online": "online",
        "run": "online",
        "offline": "offline",
        "dryrun": "offline",
        "disabled": "disabled",
    }
    if not mode:
        return "online" if is_logged_in() else "offline"
    if mode not in known:
        raise MfvError(f"WANDB_MODE={mode} is not one of online, offline, disabled")
    if known[mode] == "online" and not is_logged_in():
        raise MfvError("WANDB_MODE=online, but nobody is logged in: run `wandb login`, or set WANDB_MODE=offline")
    return known[mode]


def is_logged_in() -> bool:
    """Return whether the environment or the netrc file holds W&B credentials; asks nobody for them."""
    if os.environ.get("WANDB_API_KEY") or os.environ.get("WANDB_IDENTITY_TOKEN_FILE"):
        return True
    host = urlsplit(os.environ.get("WANDB_BASE_URL") or PUBLIC_SERVER).netloc
    places = [os.environ["NETRC"]] if os.environ.get("NETRC") else ["~/.netrc", "~/_netrc"]
    for place in places:
        try:
            entry = netrc.netrc(os.path.expanduser(place)).authenticators(host)
        except (OSError, netrc.NetrcParseError):
            continue
        if entry and entry[2]:
            return True
    return False


@contextmanager
def wandb_files(directory: str | Path) -> Iterator[None]:
    """Within this block wandb stages its artifacts and cache below `directory`/wandb, and warns of nothing.

    What the user has set in the environment (WANDB_DATA_DIR, WANDB_CACHE_DIR, WANDB_ARTIFACT_DIR) holds. An
    artifact is read from its staging place when it is synced, so sync before the directory is moved.
    """
    root = Path(directory).absolute() / "wandb"
    root.mkdir(parents=True, exist_ok=True)
    places = {"WANDB_DATA_DIR": "data", "WANDB_CACHE_DIR": "cache", "WANDB_ARTIFACT_DIR": "artifacts"}
    added = [variable for variable in places if variable not in os.environ]
    os.environ.update({variable: str(root / places[variable]) for variable in added})
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        for variable in added:
            os.environ.pop(variable, None)


def _kept_id(directory: Path, run_id: str | None) -> str:
    kept = directory / "wandb" / "run_id.txt"
    if run_id is None and kept.is_file():
        run_id = kept.read_text(encoding="utf-8").strip()
    run_id = run_id or secrets.token_hex(4)
    kept.parent.mkdir(parents=True, exist_ok=True)
    kept.write_text(run_id + "\n", encoding="utf-8")
    return run_id
