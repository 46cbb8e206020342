"""`assess`: what the answers of a sample say about the map it was drawn of."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
from affine import Affine

from ...core.arraytypes import BoolArray, Float64Array, Int64Array, ObjectArray
from ...core.classes import ClassSet
from ...core.pixelgrid import PixelGrid
from ...core.wording import count_of, listed
from ...errors import InputError
from ...inference.prediction import Prediction
from ...io.atomic import refuse_existing
from ...io.classmap import open_class_map
from ...io.discover import own_path
from ...io.filestate import header_digest
from ...io.outputlock import locks_output
from ...scores.designestimates import (
    AccuracyEstimates,
    Estimate,
    InterpreterAgreement,
    SampledUnits,
    agreement,
    estimate_accuracy,
)
from ..predictionfiles import Part, parts_of
from .assessment import Assessment, StratumProgress
from .assesspage import areas_figure, write_assessment
from .objectcentres import object_centres
from .population import counted_objects
from .sampledesign import FEWEST_PER_STRATUM
from .samplefile import AGREED, FIRST, NOT_INTERPRETABLE, SECOND, AnsweredSample, read_sample
from .unitclasses import NOT_MAPPED, classes_at_units

_UNMAPPED_COLOR = "#9e9e9e"


@locks_output
def assess(
    sample: str | Path,
    prediction: Prediction | str | Path | None = None,
    *,
    out: str | Path | None = None,
    overwrite: bool = False,
) -> Assessment:
    """Accuracy and area from an interpreted sample, with standard errors and 95 % intervals.

    Of classes: error matrix in shares of the area, user's, producer's and overall accuracy, adjusted areas
    (Olofsson et al. 2014; Stehman 2014 where the strata are not the classes of the map). Of objects: their
    number, as the number on the map times the ratio of counted to mapped objects in the chips (Cochran 1977,
    chapter 6). A sample that is partly done is estimated as far as every stratum has an answer, and what is
    missing is said.

    A unit counts with the answer in `agreed`, else with that of the first interpreter, else the second's.
    Units that are "not interpretable" are left out, as if they were like the others of their stratum.

    Args:
        sample: The file that `sample` wrote, with answers.
        prediction: The map (default: the one that the sample was drawn of). A class map may be another one of
            the same ground: the strata stay those of the design.
        out: Folder for assessment.json, assessment.html and the picture; None writes nothing.
        overwrite: Replace an existing report.

    Returns:
        The assessment; with `out`, its `path` is the HTML file.

    Raises:
        LabelError: The file is no sample, or an answer is not among the choices.
        InputError: The map cannot be read or is not that of the sample, or there is no answer at all.
        SceneError: The map is no class map, or damaged.
        OutputExistsError: The folder exists and `overwrite` is False.
        WriteError: The report cannot be written.

    Example:
        >>> result = assess("sample.gpkg", "map.tif", out="accuracy/")  # doctest: +SKIP
    """
    if out is not None:
        refuse_existing(out, overwrite)
    answered = read_sample(sample)
    part = _part(answered, prediction)
    final, differing = _final_answers(answered)
    counts = np.array([text is not None and text != NOT_INTERPRETABLE for text in final], np.bool_)
    if not counts.any():
        raise InputError(
            f"{answered.path}: none of its {len(final)} units has an answer yet; open it in QGIS and fill in "
            f"the field '{FIRST}'"
        )
    first, second = answered.answers[FIRST], answered.answers[SECOND]
    result = Assessment(
        sample=answered.path,
        map=str(part.path),
        design=answered.design,
        progress=_progress(answered, final, counts),
        classes=ClassSet.of_names([NOT_MAPPED]),
        agreement=_agreement(first, second),
        notes=(*answered.notes, *_answer_notes(answered, final, differing)),
    )
    if answered.design.kind == "objects":
        result = _with_number(result, answered, part, final, counts)
    else:
        result = _with_accuracy(result, answered, part, final, counts)
    if out is None:
        return result
    if result.estimates is not None:
        result = replace(result, pictures={"areas": areas_figure(result)})
    return write_assessment(result, out, overwrite)


def _part(sample: AnsweredSample, prediction: Prediction | str | Path | None) -> Part:
    chosen = prediction
    if chosen is None:
        chosen = own_path(sample.path.parent / sample.design.map)
        if not chosen.exists():
            raise InputError(
                f"{chosen}: the map of {sample.path} is not there any more; name it with `prediction`"
            )
    parts = parts_of(chosen)
    if len(parts) != 1:
        raise InputError(f"{chosen}: holds {len(parts)} maps; name the one that the sample is of")
    if parts[0].is_raster != (sample.design.kind == "classes"):
        raise InputError(
            f"{chosen}: {sample.path} is a sample of {sample.design.kind}, and this map has none"
        )
    return parts[0]


def _is_map_of(sample: AnsweredSample, part: Part) -> bool:
    """True if the file is the one that the sample was drawn of, wherever it lies."""
    now = {"size": part.path.stat().st_size, "header_sha256": header_digest(part.path).hexdigest()}
    return now == sample.design.fingerprint


def _final_answers(sample: AnsweredSample) -> tuple[ObjectArray, int]:
    """(N,) the answer that counts, None where there is none; and how many units have two that differ."""
    first, second, agreed = (sample.answers[name] for name in (FIRST, SECOND, AGREED))
    final: ObjectArray = np.full(len(first), None, dtype=object)
    differing = 0
    for index, (one, two, both) in enumerate(zip(first, second, agreed, strict=True)):
        known = [answer for answer in (both, one, two) if answer is not None]
        final[index] = known[0] if known else None
        two_answers = one is not None and two is not None
        differing += int(two_answers and one != two and both is None)
    return final, differing


def _agreement(first: ObjectArray, second: ObjectArray) -> InterpreterAgreement:
    both = np.array([one is not None and two is not None for one, two in zip(first, second, strict=True)])
    names = sorted({*first[both], *second[both]})
    number_of = {name: number for number, name in enumerate(names)}
    one = np.array([number_of[name] for name in first[both]], np.int64)
    two = np.array([number_of[name] for name in second[both]], np.int64)
    return agreement(one, two, max(len(names), 1))


def _progress(sample: AnsweredSample, final: ObjectArray, counts: BoolArray) -> tuple[StratumProgress, ...]:
    design = sample.design
    unseen = final == NOT_INTERPRETABLE
    return tuple(
        StratumProgress(
            name=stratum.name,
            share=stratum.area / design.area,
            drawn=int((sample.stratum == index).sum()),
            answered=int((counts & (sample.stratum == index)).sum()),
            not_interpretable=int((unseen & (sample.stratum == index)).sum()),
        )
        for index, stratum in enumerate(design.strata)
    )


def _answer_notes(sample: AnsweredSample, final: ObjectArray, differing: int) -> list[str]:
    notes = []
    missing = int(sum(answer is None for answer in final))
    if missing:
        notes.append(
            f"{missing} of {count_of(len(final), 'unit')} are still open; the numbers hold if those answered "
            "so far are a random part of them, as the first ones in the order of the file are"
        )
    unseen = int((final == NOT_INTERPRETABLE).sum())
    if unseen:
        notes.append(
            f"{count_of(unseen, 'unit')} ({unseen / len(final):.1%}) could not be interpreted and are left "
            "out, as if they were like the others of their stratum"
        )
    if differing:
        notes.append(
            f"{count_of(differing, 'unit')} with two answers that differ count with that of the first "
            f"interpreter; settle them in the field '{AGREED}'"
        )
    return notes


# Classes


def _with_accuracy(
    result: Assessment, sample: AnsweredSample, part: Part, final: ObjectArray, counts: BoolArray
) -> Assessment:
    same_map = _is_map_of(sample, part)
    class_map = open_class_map(part.path)
    mapped = classes_at_units(class_map, sample)
    classes = _classes(sample, class_map.classes, mapped[counts])
    number_of = {name: number for number, name in enumerate(classes.names)}
    mapped_index = np.array([number_of[name] for name in mapped[counts]], np.int64)
    true_index = np.array([number_of[name] for name in final[counts]], np.int64)
    units, strata_notes, missing = _strata(sample, counts, mapped, same_map)
    notes = [*result.notes, *class_map.notes, *strata_notes]
    if not same_map:
        notes.append(
            f"the sample was drawn of {Path(sample.design.map).name} as it was then; strata and areas are "
            f"those of its design, the classes are those of {part.path.name}"
        )
    if missing:
        notes.append(f"no estimates yet: {listed(missing)} has no answered unit, so its ground is not known")
        return replace(result, classes=classes, notes=tuple(notes))
    estimates = estimate_accuracy(units, mapped_index, true_index, len(classes))
    notes += _faultless_notes(classes, estimates)
    area_of = {info.name: info.area for info in sample.design.classes}
    mapped_areas = tuple(area_of.get(name, 0.0) for name in classes.names) if same_map else ()
    return replace(
        result, classes=classes, estimates=estimates, mapped_areas=mapped_areas, notes=tuple(notes)
    )


def _faultless_notes(classes: ClassSet, estimates: AccuracyEstimates) -> list[str]:
    """A note on classes without an error in the sample: an interval of no width says less than it seems."""
    faultless = [
        name
        for index, name in enumerate(classes.names)
        if estimates.users[index].value == 1 or estimates.producers[index].value == 1
    ]
    if not faultless:
        return []
    return [
        f"{listed(faultless)}: no error was found in the sample, so '1.000 ± 0.000' does not say that there "
        "is none"
    ]


def _classes(sample: AnsweredSample, of_map: ClassSet | None, mapped: ObjectArray) -> ClassSet:
    """The classes to estimate: those of the design, and what else the map shows at its units."""
    known = sample.design.class_set
    colors = {} if of_map is None else {info.name: info.color for info in of_map}
    further = [name for name in dict.fromkeys(mapped.tolist()) if name not in known.names]
    names = [*known.names, *further]
    named = ClassSet.of_names(names)
    own = {info.name: info.color for info in known}
    return named.with_colors({NOT_MAPPED: _UNMAPPED_COLOR, **colors, **own})


def _strata(
    sample: AnsweredSample, counts: BoolArray, mapped: ObjectArray, same_map: bool
) -> tuple[SampledUnits, list[str], list[str]]:
    """The strata of the estimates: those of the design; for a sample without, the classes of the map.

    Returns the units, notes, and the names of strata with ground but without answers.
    """
    design = sample.design
    if design.method != "stratified" and same_map:
        afterwards = _poststrata(sample, counts, mapped)
        if afterwards is not None:
            return afterwards, ["stratified afterwards by the classes of the map (poststratification)"], []
    units = SampledUnits(
        stratum=sample.stratum[counts],
        area=sample.area[counts],
        stratum_area=np.array([stratum.area for stratum in design.strata]),
        stratum_units=np.array([stratum.units for stratum in design.strata], np.int64),
    )
    missing = [design.strata[index].name for index in np.flatnonzero(units.answered == 0)]
    notes = []
    single = [design.strata[index].name for index in np.flatnonzero(units.answered == 1)]
    if single:
        notes.append(f"{listed(single)} has one answered unit, so standard errors are not known")
    return units, notes, missing


def _poststrata(sample: AnsweredSample, counts: BoolArray, mapped: ObjectArray) -> SampledUnits | None:
    """The classes of the map as strata; None where one of them has too few answers for that."""
    classes = [info for info in sample.design.classes if info.units]
    index_of = {info.name: index for index, info in enumerate(classes)}
    stratum: Int64Array = np.array([index_of.get(name, -1) for name in mapped[counts]], np.int64)
    if (stratum < 0).any():
        return None
    answered = np.bincount(stratum, minlength=len(classes))
    if (answered < FEWEST_PER_STRATUM).any():
        return None
    return SampledUnits(
        stratum=stratum,
        area=sample.area[counts],
        stratum_area=np.array([info.area for info in classes]),
        stratum_units=np.array([info.units for info in classes], np.int64),
    )


# Objects


def _with_number(
    result: Assessment, sample: AnsweredSample, part: Part, final: ObjectArray, counts: BoolArray
) -> Assessment:
    if not _is_map_of(sample, part):
        raise InputError(
            f"{part.path}: is not the map that {sample.path} was drawn of, or has changed since; the chips "
            "of a sample of objects belong to one map"
        )
    units, notes, missing = _strata(sample, counts, final, same_map=False)
    if missing:
        notes.append(f"no estimate yet: {listed(missing)} has no answered chip, so its ground is not known")
        return replace(result, notes=(*result.notes, *notes))
    seen = np.array([float(text) for text in final[counts]])
    mapped = _mapped_objects(sample, part)[counts].astype(np.float64)
    # Numbers per area, so that chips that the edge cuts off count as what they are.
    number = units.ratio(seen / units.area, mapped / units.area).times(float(sample.design.objects or 0))
    if not mapped.any():
        number = _expanded(units, seen)
        notes.append("no chip of the sample has a mapped object, so the number follows from the chips alone")
    return replace(result, number=number, notes=(*result.notes, *notes))


def _expanded(units: SampledUnits, seen: Float64Array) -> Estimate:
    """The number of objects without the help of the map: objects per area, times the area."""
    return units.estimate(seen / units.area).times(float(units.stratum_area.sum()))


def _mapped_objects(sample: AnsweredSample, part: Part) -> Int64Array:
    """(N,) number of objects that the map has in each chip."""
    side, chips = sample.design.unit_px, sample.grid
    pixels = PixelGrid(
        chips.crs, chips.transform @ Affine.scale(1 / side), chips.height * side, chips.width * side
    )
    centres = object_centres(part, pixels)
    counted = counted_objects(centres[:, 0], centres[:, 1], pixels, side)
    return counted[sample.row, sample.col]
