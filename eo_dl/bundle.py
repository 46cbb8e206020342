"""The `.eodl` file: a model with everything needed to use it, in one zip without code.

Members are stored, not compressed: weights load without unpacking, and there can be no zip bomb. Only known
members are read, into memory and after a check of their size. Nothing is unpacked to disk, unpickled or
imported from a bundle. Equal models give equal bytes (fixed dates, fixed order).
"""

from __future__ import annotations

import hashlib
import json
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import numpy as np
import numpy.typing as npt
import safetensors
import safetensors.numpy
from pydantic import ValidationError

from .core.bands import BandSet
from .core.classes import ClassSet
from .core.extras import needs_extra
from .core.htmlcard import card, grid_table
from .core.normalization import Normalization
from .errors import BundleError, ConfigError
from .io.atomic import atomic_file
from .modelcard import model_card
from .modelitem import model_item
from .modelspec import MemberSpec, ModelSpec, ScoreSpec, read_spec
from .tasks import (
    Codec,
    NetworkInputs,
    OutputKind,
    Task,
    TaskConfig,
    available_tasks,
    codec_for,
    load_task,
)
from .tasks.codecs import CodecT
from .uncertainty.applicability import Applicability
from .uncertainty.temperature import UNCHANGED

if TYPE_CHECKING:
    from .networks.tasknetwork import TaskNetwork

SPEC, WEIGHTS, ONNX = "model.json", "weights.safetensors", "model.onnx"
APPLICABILITY = "applicability.safetensors"
CARD, ITEM, PREVIEW = "README.md", "item.json", "preview.png"
_MIB = 2**20
# The members that a bundle may have, in their order in the file, and the largest size of each, bytes.
MEMBERS = {
    SPEC: 16 * _MIB,
    CARD: 4 * _MIB,
    PREVIEW: 64 * _MIB,
    ITEM: 16 * _MIB,
    "config.yaml": _MIB,
    APPLICABILITY: 64 * _MIB,
    WEIGHTS: 16_384 * _MIB,
    ONNX: 16_384 * _MIB,
}
_DATE = (1980, 1, 1, 0, 0, 0)

State = dict[str, npt.NDArray[np.generic]]


class TensorLike(Protocol):
    """The methods of a torch tensor used here, so that this module does not import torch."""

    def detach(self) -> TensorLike:
        """The tensor without its gradient."""
        ...

    def cpu(self) -> TensorLike:
        """The tensor in main memory."""
        ...

    def numpy(self) -> npt.NDArray[np.generic]:
        """The values as an array."""
        ...


def save_bundle(
    path: str | Path,
    spec: ModelSpec,
    state: Mapping[str, npt.NDArray[np.generic] | TensorLike] | None,
    *,
    preview: bytes | None = None,
    extra: Mapping[str, bytes] | None = None,
    overwrite: bool = False,
) -> Bundle:
    """Write a bundle in one step, so that `path` is never half-written, and open it.

    Args:
        path: The new file.
        spec: The description of the model; the model card and the STAC item are made from it.
        state: The weights by tensor name; None for a model that is only a graph.
        preview: A picture of predictions, PNG.
        extra: Further members: "model.onnx", "config.yaml".
        overwrite: Replace an existing file.

    Returns:
        The bundle, opened.

    Raises:
        BundleError: Weights are not finite, or a member is unknown.
        OutputExistsError: `path` exists.
    """
    members = dict(extra or {}) | {CARD: model_card(spec).encode()}
    if state is not None:
        arrays = _as_arrays(state)
        _check_finite(arrays, str(path))
        members[WEIGHTS] = safetensors.numpy.save(arrays)
    if not {WEIGHTS, ONNX} & set(members):
        raise BundleError(f"{path}: a model needs {WEIGHTS} or {ONNX}")
    if preview is not None:
        members[PREVIEW] = preview
    _check_names(list(members), str(path))
    item = model_item(spec, member_specs(members))
    if item is not None:
        members[ITEM] = item
    members[SPEC] = spec.model_copy(update={"members": member_specs(members)}).to_json()
    with (
        atomic_file(path, overwrite=overwrite) as part,
        zipfile.ZipFile(part, "w", zipfile.ZIP_STORED) as archive,
    ):
        for name in MEMBERS:
            if name in members:
                archive.writestr(_entry(name), members[name])
    return load_model(path)


def member_specs(members: Mapping[str, bytes]) -> dict[str, MemberSpec]:
    """Size and SHA-256 of files by name."""
    return {name: MemberSpec(size=len(data), sha256=_sha256(data)) for name, data in members.items()}


def load_model(model: Bundle | str | Path) -> Bundle:
    """The model of an `.eodl` file, checked: members, hashes, spec, finite weights.

    Tensor names and shapes are compared where the network is made (`Bundle.make_network`).

    Args:
        model: Path of the file; or `hf://owner/name` or `https://.../NAME.eodl#sha256=...`, which is
            downloaded once; or the name of a model on a shelf (`modelshelf`). An open model is returned
            unchanged.

    Raises:
        BundleError: The file is missing, is no model, is damaged, or cannot be downloaded.

    Example:
        >>> load_model("roofs.eodl").classes  # doctest: +SKIP
    """
    if isinstance(model, Bundle):
        return model
    path = _local(model)
    if not path.is_file():
        found = "is a folder" if path.is_dir() else "no such file"
        raise BundleError(f"{path}: {found}; expected a model made by eo-dl train (.eodl)")
    with _open_zip(path) as archive:
        _check_entries(archive, str(path))
        spec = read_spec(_read(archive, SPEC, str(path)), str(path))
        _check_listed(archive, spec, str(path))
    bundle = Bundle(path, spec)
    # Read the config now, so that an invalid one is refused on opening.
    bundle.config  # noqa: B018
    if bundle.has_weights:
        _check_finite(bundle.state(), str(path))
    return bundle


def _local(model: str | Path) -> Path:
    if isinstance(model, Path) or "://" not in model:
        return _named(str(model)) if isinstance(model, str) else model
    from .modeladdress import fetch_model  # lazy: only addresses need Python's web client

    return fetch_model(model)


def _named(model: str) -> Path:
    """The file at a path, or else the model of that name on a shelf."""
    path = Path(model)
    if path.exists() or path.suffix:
        return path
    from .modelshelf import is_name, ready_model  # lazy: only names need the shelves

    return ready_model(model).fetch() if is_name(model) else path


@dataclass(frozen=True)
class Bundle:
    """An open `.eodl` file, as `load_model` returns it. Weights are read on demand."""

    path: Path
    """The file."""
    spec: ModelSpec
    """Its description, model.json."""

    @property
    def task(self) -> Task:
        """The model's task."""
        if self.spec.task not in available_tasks():
            raise BundleError(
                f"{self.path}: unknown task {self.spec.task!r}; expected one of "
                f"{', '.join(available_tasks())}; update eo_dl"
            )
        return load_task(self.spec.task)

    @cached_property
    def config(self) -> TaskConfig:
        """The task's settled config."""
        try:
            return self.task.config.model_validate_json(json.dumps(self.spec.config))
        except ValidationError as error:
            first = error.errors()[0]
            key = ".".join(map(str, first["loc"]))
            raise BundleError(
                f"{self.path}: config of task {self.spec.task} is not valid at {key}: {first['msg']}; train "
                "it again"
            ) from error

    @cached_property
    def bands(self) -> BandSet:
        """The bands that the network takes, in order."""
        return self.spec.band_set()

    @cached_property
    def classes(self) -> ClassSet:
        """Classes in channel order."""
        return self.spec.class_set()

    @property
    def normalization(self) -> Normalization:
        """Stored pixels to what the network sees."""
        return self.spec.normalize()

    @cached_property
    def hash(self) -> str:
        """SHA-256 of the file, hexadecimal: the identity of a model."""
        with self.path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()

    @property
    def members(self) -> tuple[str, ...]:
        """Names of the members in the file, model.json first."""
        return (SPEC, *(name for name in MEMBERS if name in self.spec.members))

    def read(self, member: str) -> bytes:
        """One member, checked against its hash.

        Raises:
            BundleError: The member is missing or has changed.
        """
        expected = self.spec.members.get(member)
        if expected is None:
            raise BundleError(f"{self.path}: the bundle holds no {member}; it has {', '.join(self.members)}")
        with _open_zip(self.path) as archive:
            data = _read(archive, member, str(self.path))
        if len(data) != expected.size or _sha256(data) != expected.sha256:
            raise BundleError(
                f"{self.path}: {member} has changed (its SHA-256 differs); the file is damaged, "
                "copy or train it again"
            )
        return data

    @property
    def has_weights(self) -> bool:
        """False for a model that is only a graph, imported from another program."""
        return WEIGHTS in self.spec.members

    def state(self) -> State:
        """The weights by tensor name."""
        if ONNX in self.spec.members and not self.has_weights:
            raise BundleError(
                f"{self.path}: was imported as an ONNX graph and has no weights for torch; it can "
                "predict with `backend` openvino or onnxruntime, but not be trained or looked into"
            )
        return _state_of(self.read(WEIGHTS), str(self.path))

    def codec(self) -> Codec:
        """The codec of the model's task, which needs no torch; it gives calibrated probabilities."""
        return self.codec_for(self.task.output)

    def codec_for(self, kind: OutputKind[CodecT]) -> CodecT:
        """The codec, typed by the output kind: `bundle.codec_for(RASTER)` is a `RasterCodec`.

        Raises:
            BundleError: The model's output is of another kind.
        """
        try:
            codec: CodecT = codec_for(kind, self.task, self.classes, self.config)
        except ConfigError as error:
            raise BundleError(f"{self.path}: {error}; choose another model") from error
        if self.spec.temperature == UNCHANGED:
            return codec
        if not hasattr(codec, "calibrated"):
            raise BundleError(
                f"{self.path}: has a temperature, but predicts {kind.gives}; the file was edited, train it "
                "again"
            )
        calibrated: CodecT = codec.calibrated(self.spec.temperature)
        return calibrated

    def applicability(self) -> Applicability | None:
        """What tells ground like that of the training from other ground; None if the model does not know.

        Raises:
            BundleError: It cannot be read.
        """
        spec = self.spec.applicability
        if spec is None or APPLICABILITY not in self.members:
            return None
        try:
            arrays = safetensors.numpy.load(self.read(APPLICABILITY))
            return Applicability.of_arrays(arrays, spec.threshold)
        except (safetensors.SafetensorError, ValueError, TypeError) as error:
            raise BundleError(
                f"{self.path}: {APPLICABILITY} cannot be read ({error}); the file is damaged, copy or train "
                "it again"
            ) from error

    def make_network(self) -> TaskNetwork:
        """The network with its weights, in eval mode on CPU.

        Raises:
            BundleError: Weights and network do not match.
        """
        # Lazy: torch is loaded to make a network, not to open a bundle.
        with needs_extra("running a model"):
            from .networks.weights import fill_exactly

        state = self.state()
        inputs = NetworkInputs(len(self.bands), self.classes, self.spec.chip_px)
        try:
            with needs_extra("running a model"):
                network = self.task.make_network(self.config, inputs)
        except ConfigError as error:
            raise BundleError(f"{self.path}: {error}") from error
        fill_exactly(network, state, str(self.path))
        return network.eval()

    def _repr_html_(self) -> str:
        spec = self.spec
        gsd = "unknown" if spec.gsd_m is None else f"{spec.gsd_m:.4g} m (±{spec.gsd_tolerance:.0%})"
        rows = [
            ("task", spec.task),
            ("network", spec.graph_from or f"{self.config.network}, {self.config.backbone}"),
            ("bands", spec.band_set().describe()),
            ("classes", ", ".join(spec.class_set().names)),
            ("GSD", gsd),
            ("chip", f"{spec.chip_px} px, margin {spec.margin_px} px"),
        ]
        picture = self.read(PREVIEW) if PREVIEW in self.members else None
        header = ("split", "score", "class", "value", "95 %", "count")
        return card(Path(self.path).name, rows, picture) + grid_table(header, map(_score_row, spec.scores))


def _score_row(score: ScoreSpec) -> tuple[object, ...]:
    value = "n/a" if score.value is None else f"{score.value:.3f}"
    interval = "" if score.low is None or score.high is None else f"{score.low:.3f} to {score.high:.3f}"
    return score.split, score.name, score.class_name or "all", value, interval, score.count


def _as_arrays(state: Mapping[str, npt.NDArray[np.generic] | TensorLike]) -> State:
    arrays: State = {}
    for name, value in sorted(state.items()):
        array = value if isinstance(value, np.ndarray) else value.detach().cpu().numpy()
        # Not `ascontiguousarray`, which makes scalars 1-D.
        arrays[name] = np.require(array, requirements="C")
    return arrays


def _state_of(data: bytes, source: str) -> State:
    try:
        return dict(safetensors.numpy.load(data))
    except (safetensors.SafetensorError, KeyError, ValueError, TypeError) as error:
        raise BundleError(
            f"{source}: {WEIGHTS} cannot be read ({error}); the file is damaged, copy or train it again"
        ) from error


def _check_finite(state: State, source: str) -> None:
    floating = {name: array for name, array in state.items() if array.dtype.kind == "f"}
    not_finite = [name for name, array in floating.items() if not np.isfinite(array).all()]
    if not_finite:
        raise BundleError(
            f"{source}: {len(not_finite)} of {len(state)} tensors hold NaN or infinity, first "
            f"{not_finite[0]!r}; the training failed, train it again"
        )


def _check_names(names: list[str], source: str) -> None:
    unknown = [name for name in names if name not in MEMBERS]
    if unknown or len(set(names)) != len(names):
        raise BundleError(
            f"{source}: unexpected or repeated member {(unknown or names)[0]!r}; a bundle holds "
            f"{', '.join(MEMBERS)}"
        )


def _check_entries(archive: zipfile.ZipFile, source: str) -> None:
    entries = archive.infolist()
    names = [entry.filename for entry in entries]
    for needed in ((SPEC,), (WEIGHTS, ONNX)):
        if not set(needed) & set(names):
            raise BundleError(
                f"{source}: {needed[0]} is missing; expected a model made by eo-dl train (.eodl)"
            )
    _check_names(names, source)
    for entry in entries:
        if (
            entry.compress_type != zipfile.ZIP_STORED
            or entry.flag_bits & 1
            or entry.file_size != entry.compress_size
        ):
            raise BundleError(
                f"{source}: {entry.filename} is compressed or encrypted; members of a bundle are stored "
                "without compression; the file was repacked, use the original"
            )
        if entry.file_size > MEMBERS[entry.filename]:
            raise BundleError(
                f"{source}: {entry.filename} has {entry.file_size} bytes; at most {MEMBERS[entry.filename]} "
                "are allowed"
            )


def _check_listed(archive: zipfile.ZipFile, spec: ModelSpec, source: str) -> None:
    present, listed = set(archive.namelist()) - {SPEC}, set(spec.members)
    if present != listed:
        name = min(present ^ listed)
        problem = "not listed" if name in present else "missing, but listed"
        raise BundleError(
            f"{source}: {name} is {problem} in model.json; the file was changed, use the original"
        )


def _open_zip(path: Path) -> zipfile.ZipFile:
    try:
        return zipfile.ZipFile(path)
    except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError) as error:
        raise BundleError(
            f"{path}: not a bundle ({error}); expected a model made by eo-dl train (.eodl)"
        ) from error


def _read(archive: zipfile.ZipFile, member: str, source: str) -> bytes:
    try:
        return archive.read(member)
    except (zipfile.BadZipFile, KeyError, EOFError, OSError, NotImplementedError, RuntimeError) as error:
        raise BundleError(
            f"{source}: {member} cannot be read ({error}); the file is damaged, copy or train it again"
        ) from error


def _entry(name: str) -> zipfile.ZipInfo:
    entry = zipfile.ZipInfo(name, _DATE)
    entry.external_attr = 0o644 << 16
    entry.create_system = 3  # the same bytes on every system
    return entry


def _sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()
