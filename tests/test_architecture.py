"""Imports point one way (DESIGN: the layout)."""

import ast
from pathlib import Path

PACKAGE = Path(__file__).resolve().parents[1] / "mfv"

# Who may import these libraries, as paths within mfv.
ONLY = {
    "hydra": {"cli.py", "config.py", "overrides.py", "pipeline.py", "presets.py", "sweeps.py"},
    "omegaconf": {"cli.py", "config.py", "overrides.py", "pipeline.py", "presets.py", "sweeps.py"},
    "pytorch_lightning": {
        "activations/collector.py",
        "experiment.py",
        "jobs.py",
        "pipeline.py",  # a type only
        "processes.py",
        "progress.py",
        "rendering/checkpoint.py",
        "rendering/stage.py",
        "rendering/renderer.py",
        "reports/loggers.py",
        "reports/wandb_run.py",
    },
    "faiss": {"discovery/faiss_library.py", "discovery/partition.py"},
    "wandb": {"reports/loggers.py", "reports/wandb_run.py"},
    "timm": {"models/timm.py"},
    "matplotlib": {"reports/figures/sheet.py"},
}
# What a part may import of mfv besides itself and the leaves.
LEAVES = {"errors", "fork_server", "interruption", "libraries", "paths", "distributed", "processes", "progress"}
LEAVES |= {"joining", "limits", "packing", "replacing", "schedules", "signatures", "spelling", "structures", "threads"}
ALLOWED: dict[str, set[str]] = {
    "errors": set(),
    "paths": set(),
    "schedules": set(),
    "structures": set(),
    "data": set(),
    "regularizers": set(),
    "parameterizations": set(),
    "discovery": set(),
    "objectives": {"activations"},
    "models": {"activations"},
    "activations": {"models", "data"},
    "rendering": {"objectives", "regularizers", "parameterizations", "models", "activations", "reports"},
    "evaluation": {"models", "activations"},
    "reports": set(),
}


def imports(path: Path) -> set[str]:
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names |= {f"mfv.{alias.name}" for alias in node.names} if node.module == "mfv" else {node.module}
    return names


def test_libraries_stay_where_they_belong() -> None:
    for path in PACKAGE.rglob("*.py"):
        place = path.relative_to(PACKAGE).as_posix()
        for name in imports(path):
            allowed = ONLY.get(name.split(".")[0])
            assert allowed is None or place in allowed, f"{place} imports {name}"


def test_imports_point_one_way() -> None:
    for path in PACKAGE.rglob("*.py"):
        part = path.relative_to(PACKAGE).parts[0].removesuffix(".py")
        if part not in ALLOWED:
            continue
        for name in imports(path):
            if name.startswith("mfv."):
                other = name.split(".")[1]
                assert other == part or other in LEAVES | ALLOWED[part], f"{path.relative_to(PACKAGE)} imports {name}"
