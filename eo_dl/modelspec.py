"""`ModelSpec`: the text half of a bundle (model.json), checked field by field when read."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, JsonValue, ValidationError, model_validator

from .core.bands import Band, BandSet, Derivation
from .core.classes import ClassInfo, ClassSet
from .core.normalization import Normalization
from .core.quantiles import Quantiles
from .core.valueinfo import ValueInfo
from .errors import BundleError, InputError
from .mosaic.suppress import Suppression
from .uncertainty.predictionsets import LEVELS, ClassQuantiles
from .uncertainty.scoreprecision import ScorePrecision
from .uncertainty.temperature import UNCHANGED

MASK_KEY = "mask"
"""Key in `Provenance.training`: the rules of ground that was not trained on (`SceneOptions.mask`)."""

FORMAT_VERSION = 1
"""Written by this version; newer ones are refused by name, older ones go through `_UPGRADES`."""

Text = Annotated[str, Field(max_length=500)]
LongText = Annotated[str, Field(max_length=100_000)]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)


class BandSpec(_Strict):
    """One band as in `core.bands.Band`; `number` is its place in the scenes it was trained on, `derived` the
    recipe of a band that is made from others.
    """

    name: Text
    number: int = Field(ge=1, le=100_000)
    named: bool = True
    dtype: Text = "float32"
    scale: float = 1.0
    offset: float = 0.0
    nodata: float | Literal["nan", "inf", "-inf"] | None = None
    wavelength_um: float | None = Field(default=None, gt=0)
    sensor_band: Text = ""
    derived: LongText = ""


class ValueSpec(_Strict):
    """What a number measures: unit and valid range, as in `core.valueinfo.ValueInfo`."""

    unit: Text = ""
    low: float | None = None
    high: float | None = None


class ClassSpec(_Strict):
    """One class in channel order, or one value where the model gives numbers."""

    id: int = Field(ge=0, le=254)
    name: Text
    color: str = Field(pattern=r"^#[0-9a-f]{6}$")
    value: ValueSpec | None = None


class NormalizationSpec(_Strict):
    """Mean and standard deviation of each band in physical units."""

    mean: tuple[float, ...]
    std: tuple[Annotated[float, Field(gt=0)], ...]


class QuantilesSpec(_Strict):
    """Percentiles of the training values of one band, in physical units."""

    p02: float
    p50: float
    p98: float

    @model_validator(mode="after")
    def _in_order(self) -> QuantilesSpec:
        if not self.p02 <= self.p50 <= self.p98:
            raise ValueError("percentiles must not fall")
        return self


class GroundSpec(_Strict):
    """Ground of train chips: an area on the map, or in the pixels of an image without a CRS."""

    crs: LongText = ""
    """CRS of the area; empty: pixels of the image."""
    scene: Text = ""
    """File name of the image."""
    header_sha256: Annotated[str, Field(pattern=r"^([0-9a-f]{64})?$")] = ""
    """SHA-256 of the first 64 KiB of the image, by which it is recognized (`Scene.fingerprint`)."""
    area: Annotated[str, Field(max_length=4_000_000)]
    """The area as WKT."""


class ScoreSpec(_Strict):
    """One score with where it was taken and its 95 % interval where known; `value` None = not defined."""

    name: Text
    value: float | None
    class_name: Text | None = None
    count: int = Field(ge=0)
    threshold: float | None = None
    low: float | None = None
    high: float | None = None
    split: Literal["train", "val", "test"] = "val"


class Provenance(_Strict):
    """Where a model comes from. `extent` is the outline of the scenes as a GeoJSON geometry in longitude and
    latitude; `trained_ground` the ground of the train chips; `unfinished`: why the run had not come to its
    end.
    """

    eo_dl: Text = ""
    versions: dict[str, Text] = {}
    created: Text = ""
    seed: int | None = None
    chip_set: Text = ""
    chip_counts: dict[str, int] = {}
    scenes: tuple[Text, ...] = ()
    acquired: tuple[Text, ...] = ()
    extent: JsonValue = None
    trained_ground: tuple[GroundSpec, ...] = ()
    licence: Text = ""
    weights_from: Text = "none"
    command: LongText = ""
    training: dict[str, JsonValue] = {}
    baselines: tuple[ScoreSpec, ...] = ()
    notes: tuple[LongText, ...] = ()
    unfinished: LongText = ""


class MemberSpec(_Strict):
    """What another member of the bundle must be."""

    size: int = Field(ge=0)
    sha256: str = Field(pattern=r"^[0-9a-f]{64}$")


class AnyChip(_Strict):
    """A network that gives the same class map with chips of any size, except near their edges."""

    field_px: int = Field(ge=1)
    """Side of the ground that decides one pixel: the receptive field."""
    step_px: int = Field(ge=1)
    """Sides of chips are multiples of it: the stride of the network."""


class Int8Spec(_Strict):
    """A graph that computes in 8-bit integers, and what that costs."""

    calibration_chips: int = Field(ge=1)
    """Train chips on which the ranges of values inside the network were measured."""
    score: Text
    """Name of the task's primary score."""
    split: Literal["val", "test"]
    """The chips that were scored."""
    scored_chips: int = Field(ge=1)
    """Number of them."""
    value: float | None
    """The score in int8; None = not defined."""
    value_float32: float | None
    """The score of the same graph in float32."""
    changed: float = Field(ge=0)
    """Share of pixels whose class differs; for classes of chips the largest difference of a probability."""


class CalibrationSpec(_Strict):
    """What was fitted to held-out ground after the training, so that probabilities mean shares.

    `temperature`: divides logits; one number, or one per class where a chip may have several. Of objects
    instead `scores` and `precisions`: the knots of a map from the score of an object to the share of such
    objects that are right (`uncertainty.scoreprecision`). `samples` pixels, chips or objects of `blocks`
    blocks of ground were fitted to. `errors`: the expected calibration error, before and after.
    """

    temperature: tuple[Annotated[float, Field(gt=0)], ...] = Field(default=(), max_length=255)
    scores: tuple[float, ...] = Field(default=(), max_length=10_000)
    precisions: tuple[float, ...] = Field(default=(), max_length=10_000)
    split: Literal["val"] = "val"
    samples: int = Field(ge=1)
    blocks: int = Field(ge=1)
    errors: tuple[ScoreSpec, ...] = ()

    @model_validator(mode="after")
    def _is_one_of_both(self) -> CalibrationSpec:
        if bool(self.temperature) == bool(self.scores):
            raise ValueError("expected either a temperature, or scores with their precisions")
        if self.scores:
            ScorePrecision(self.scores, self.precisions)  # raises ValueError
        return self


class PredictionSetsSpec(_Strict):
    """From which sets of classes with a stated coverage are made (`uncertainty.predictionsets`).

    `blocks`: validation blocks with each class; `least`: per class and level of coverage the probability that
    its ground reaches, empty for a class without blocks. `coverage`: what was covered on each split,
    `threshold` the wanted coverage.
    """

    blocks: tuple[Annotated[int, Field(ge=0)], ...] = Field(min_length=1, max_length=255)
    least: tuple[tuple[Annotated[float, Field(ge=0, le=1)], ...], ...]
    coverage: tuple[ScoreSpec, ...] = ()

    @model_validator(mode="after")
    def _agrees(self) -> PredictionSetsSpec:
        expected = [len(LEVELS) if blocks else 0 for blocks in self.blocks]
        if [len(levels) for levels in self.least] != expected:
            raise ValueError(f"expected {len(LEVELS)} probabilities per class that has blocks")
        return self

    def quantiles(self) -> tuple[ClassQuantiles, ...]:
        """Per class, what is known of its probabilities on held-out ground."""
        return tuple(map(ClassQuantiles, self.blocks, self.least))


class ApplicabilitySpec(_Strict):
    """Where a model may be used (`uncertainty.applicability`); its arrays are a member of the bundle.

    `threshold`: the distance up to which ground is like that of the training; `index` the same in units of
    the mean distance of training samples. `core`: number of the `samples` that are kept, from `blocks` blocks
    of ground; `kilobytes` they take. `cell_px`: side of the ground that one sample is about. `outside`: share
    of the ground of a split that is outside.
    """

    threshold: float = Field(gt=0)
    index: float = Field(gt=0)
    core: int = Field(ge=1)
    samples: int = Field(ge=1)
    blocks: int = Field(ge=1)
    kilobytes: float = Field(ge=0)
    cell_px: int = Field(ge=1)
    outside: dict[str, Annotated[float, Field(ge=0, le=1)]] = {}


class ModelSpec(_Strict):
    """Everything needed to use the weights. `members` is filled when a bundle is written.

    `config` is the task's settled config. `valid`: pixels with this number of measured bands are valid
    ground; what they lack is 0 after normalization.
    `thresholds` of objects: {"score": 0.4, "iou": 0.5, "inside": 0.8}.
    `calibration`: None where nothing was fitted, as in older models; probabilities are then the network's
    own.
    `gsd_tolerance`: the share by which a scene's GSD may differ before it is resampled. `any_chip`: what
    chips other than those of training the network takes; None: no others. `graph_from`: the ONNX file of
    another program that a model without weights was imported from. `int8`: set where `model.onnx` computes
    in 8-bit integers. `quantiles`: of the training values, one per band (None: a band without a value); empty
    if they are not known.
    """

    format_version: Literal[1] = 1
    name: Text = "model"
    task: str = Field(pattern=r"^[a-z_]{1,40}$")
    config: dict[str, JsonValue]
    bands: tuple[BandSpec, ...] = Field(min_length=1, max_length=10_000)
    classes: tuple[ClassSpec, ...] = Field(min_length=1, max_length=255)
    gsd_m: float | None = Field(default=None, gt=0)
    gsd_tolerance: float = Field(default=0.1, ge=0, le=10)
    valid: Literal["all", "any"] | Annotated[int, Field(ge=1, le=10_000)] = "all"
    chip_px: int = Field(ge=1, le=16_384)
    margin_px: int = Field(default=0, ge=0, le=8_192)
    any_chip: AnyChip | None = None
    graph_from: Text = ""
    int8: Int8Spec | None = None
    normalization: NormalizationSpec
    quantiles: tuple[QuantilesSpec | None, ...] = ()
    thresholds: dict[str, float] = {}
    calibration: CalibrationSpec | None = None
    prediction_sets: PredictionSetsSpec | None = None
    applicability: ApplicabilitySpec | None = None
    scores: tuple[ScoreSpec, ...] = ()
    provenance: Provenance = Provenance()
    members: dict[str, MemberSpec] = {}

    @model_validator(mode="after")
    def _agrees(self) -> ModelSpec:
        if len({len(self.bands), len(self.normalization.mean), len(self.normalization.std)}) != 1:
            raise ValueError("normalization needs one mean and std a band")
        if len(self.quantiles) not in (0, len(self.bands)):
            raise ValueError("expected quantiles of every band, or of none")
        if self.prediction_sets is not None and len(self.prediction_sets.blocks) != len(self.classes):
            raise ValueError("expected prediction sets of every class")
        if len(self.temperature) not in (1, len(self.classes)):
            raise ValueError("expected one temperature, or one per class")
        if isinstance(self.valid, int) and self.valid > len(self.bands):
            raise ValueError(f"a valid pixel cannot have {self.valid} of {len(self.bands)} bands")
        if 2 * self.margin_px >= self.chip_px:
            raise ValueError(f"a margin of {self.margin_px} px leaves nothing of a {self.chip_px} px chip")
        try:
            self.band_set(), self.class_set()
        except InputError as error:
            raise ValueError(str(error)) from error
        return self

    @property
    def suppression(self) -> Suppression | None:
        """Which boxes of a chip are one object; None: nothing was decided, as in older models."""
        if "iou" not in self.thresholds:
            return None
        return Suppression(self.thresholds["iou"], self.thresholds.get("inside"))

    @property
    def temperature(self) -> tuple[float, ...]:
        """What the logits are divided by to give probabilities; 1 where nothing was fitted."""
        if self.calibration is None or not self.calibration.temperature:
            return UNCHANGED
        return self.calibration.temperature

    @property
    def score_precision(self) -> ScorePrecision | None:
        """From the score of an object to the share of such objects that are right; None if not known."""
        if self.calibration is None or not self.calibration.scores:
            return None
        return ScorePrecision(self.calibration.scores, self.calibration.precisions)

    def reads_gsd(self, gsd_m: float | None) -> bool:
        """True if the network takes pixels of this GSD (metres) without resampling.

        That is within the tolerance, or if one of the two GSDs is unknown.
        """
        if self.gsd_m is None or gsd_m is None:
            return True
        return max(gsd_m / self.gsd_m, self.gsd_m / gsd_m) - 1 <= self.gsd_tolerance

    def band_set(self) -> BandSet:
        """The bands that the model needs, in its order."""
        bands = []
        for band in self.bands:
            changed = {
                "nodata": None if band.nodata is None else float(band.nodata),
                "derived": Derivation(band.derived) if band.derived else None,
            }
            bands.append(Band(**(dict(band) | changed)))
        return BandSet(tuple(bands))

    def class_set(self) -> ClassSet:
        """The classes in channel order."""
        return ClassSet(tuple(ClassInfo(c.id, c.name, c.color, _value_info(c.value)) for c in self.classes))

    def band_quantiles(self) -> tuple[Quantiles | None, ...]:
        """The quantiles of the training values, one per band; empty if they are not known."""
        return tuple(None if one is None else Quantiles(one.p02, one.p50, one.p98) for one in self.quantiles)

    def normalize(self) -> Normalization:
        """The normalization as training applied it."""
        return Normalization(self.normalization.mean, self.normalization.std)

    def to_json(self) -> bytes:
        """UTF-8 JSON with sorted keys; equal specs give equal bytes."""
        values = self.model_dump(mode="json")
        if self.valid == "all":
            del values["valid"]  # as models before this rule have it
        for info in values["classes"]:
            if info["value"] is None:
                del info["value"]  # as models before there were values have it
        for band in values["bands"]:
            for name in ("sensor_band", "derived"):  # models that were made before these were known lack them
                if not band[name]:
                    del band[name]
        return (
            json.dumps(values, indent=1, sort_keys=True, ensure_ascii=False, allow_nan=False) + "\n"
        ).encode()


def band_specs(bands: BandSet) -> tuple[BandSpec, ...]:
    """The specs of bands, for model.json."""
    return tuple(
        BandSpec(
            name=b.name,
            number=b.number,
            named=b.named,
            dtype=b.dtype,
            scale=b.scale,
            offset=b.offset,
            nodata=_writable(b.nodata),
            wavelength_um=b.wavelength_um,
            sensor_band=b.sensor_band,
            derived="" if b.derived is None else b.derived.text,
        )
        for b in bands
    )


def class_specs(classes: ClassSet) -> tuple[ClassSpec, ...]:
    """The specs of classes, for model.json."""
    return tuple(
        ClassSpec(id=c.id, name=c.name, color=c.color.lower(), value=_value_spec(c.value)) for c in classes
    )


def _value_spec(info: ValueInfo | None) -> ValueSpec | None:
    return None if info is None else ValueSpec(unit=info.unit, low=info.low, high=info.high)


def _value_info(spec: ValueSpec | None) -> ValueInfo | None:
    return None if spec is None else ValueInfo(spec.unit, spec.low, spec.high)


def _writable(nodata: float | None) -> Any:
    if nodata is None or abs(nodata) < float("inf"):
        return nodata
    return str(nodata)  # "nan", "inf", "-inf": JSON has no such numbers


# From the format version on the left to the next one, on the parsed JSON. Empty: 1 is the first.
_UPGRADES: dict[int, Callable[[dict[str, JsonValue]], dict[str, JsonValue]]] = {}


def read_spec(text: bytes, source: str) -> ModelSpec:
    """The spec in a model.json.

    Raises:
        BundleError: The text is no spec, is damaged, or was written by a newer version.
    """
    try:
        data = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise BundleError(
            f"{source}: model.json is not JSON ({error}); the file is damaged, copy or train it again"
        ) from error
    version = data.get("format_version") if isinstance(data, dict) else None
    if not isinstance(version, int) or isinstance(version, bool) or version < 1:
        raise BundleError(
            f"{source}: model.json has no format version; expected a bundle of format {FORMAT_VERSION} "
            "written by eo-dl train"
        )
    if version > FORMAT_VERSION:
        raise BundleError(
            f"{source}: bundle format {version} is newer than {FORMAT_VERSION}, the newest this version "
            "reads; update eo_dl"
        )
    try:
        return ModelSpec.model_validate_json(json.dumps(_upgraded(data, version, FORMAT_VERSION)))
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"]) or "model.json"
        if first["type"] == "extra_forbidden":
            raise BundleError(
                f"{source}: model.json has the entry {place}, which this version of eo_dl does not know; "
                "a newer version wrote it (update eo_dl) or it was edited"
            ) from error
        raise BundleError(
            f"{source}: model.json is not valid at {place}: {first['msg']}; the file is damaged or was "
            "edited, train it again"
        ) from error


def _upgraded(data: dict[str, JsonValue], version: int, wanted: int) -> dict[str, JsonValue]:
    for step in range(version, wanted):
        data = _UPGRADES[step](data)
    return data
