"""`evaluate`: a prediction against the truth."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from ..chips.chipset import ChipSet
from ..core.classes import ClassInfo, ClassSet, default_color
from ..core.labelset import LabelSet
from ..core.progress import OnProgress, silent
from ..errors import ConfigError, InputError, LabelError
from ..inference.prediction import Prediction
from ..io.atomic import refuse_existing
from ..io.classmap import open_class_map
from ..labels.reading import read_labels
from ..scores.chipscores import ChipScorer
from ..scores.objectscores import ObjectScorer
from ..scores.pixelscores import PixelScorer
from .chipwise import ChipCounts, read_chips, score_chips
from .classmatch import ClassMatch, match_classes
from .figures import class_bars, curves, error_map, object_errors
from .limits import LeftOut, Limits
from .objectwise import Compared, Found, ObjectTally, are_boxes, read_found, score_objects
from .onebox import OneBoxes, chips_wanted
from .page import write_report
from .pixelwise import PixelTally, score_map
from .predictionfiles import Part, parts_of
from .report import Report

_NEEDS_SCORES = ("ap50", "ap50_95")


def evaluate(
    prediction: Prediction | str | Path,
    truth: LabelSet | str | Path,
    *,
    out: str | Path | None = None,
    aoi: str | Path | None = None,
    iou: float = 0.5,
    class_map: Mapping[str, str] | None = None,
    chips: ChipSet | str | Path | None = None,
    split: str = "test",
    scene: str | Path | None = None,
    seed: int = 0,
    overwrite: bool = False,
    on_progress: OnProgress = silent,
) -> Report:
    """Score a class map, found objects, or classes of whole chips or images, only where the truth is complete
    and the prediction has values.

    `prediction`: what `predict` gave or wrote (a file, or a folder of them), or another tool's class raster
    or polygons. `truth`: labels in any format that `read_labels` knows. Classes are matched by name;
    `class_map` says which is which (name in the truth -> name in the prediction, or "ignore"). `aoi`: only
    there. `chips` and `split`: only on the chips of that split of a chip set, so that ground that was learned
    from is not scored. `scene`: the scene that was predicted, where the prediction's own file does not say
    and it matters. `iou`: from where on an object counts as found. `out`: a folder for report.json,
    report.html and figures.

    Headline scores carry a 95 % interval: the ground is cut into squares (8 along the longer side), which are
    resampled with `seed`. Raises `LabelError`, `SceneError`, `InputError`, `ConfigError`, `ChipSetError`,
    `OutputExistsError`, `WriteError`.

    >>> evaluate("map.tif", "truth.gpkg", out="report/").score("mean_iou").text()  # doctest: +SKIP
    """
    if not 0 < iou <= 1:
        raise ConfigError(
            f"the IoU from which objects count as found must lie in (0, 1], found {iou:g}; change --iou"
        )
    if out is not None:
        refuse_existing(out, overwrite)
    parts = parts_of(prediction, scene)
    labels = read_labels(truth)
    if not len(labels) and not labels.masks and not labels.image_names and labels.annotated is None:
        raise LabelError(f"{labels.source}: the truth holds no features; give one that does")
    limits = Limits.of(aoi, chips, split)
    settings = _settings(limits, None if parts[0].is_raster or parts[0].of_chips else iou)
    source = str(prediction.path if isinstance(prediction, Prediction) else prediction)
    if parts[0].of_chips:
        report = _chips(parts, labels, limits, class_map, seed, on_progress)
    elif parts[0].is_raster:
        report = _pixels(parts, labels, limits, class_map, seed, on_progress)
    else:
        report = _objects(parts, labels, limits, class_map, iou, seed, on_progress)
    report = replace(
        report,
        prediction=source,
        truth=labels.source,
        settings=settings,
        notes=(*labels.notes, *report.notes),
    )
    return report if out is None else write_report(report, out, overwrite)


def _settings(limits: Limits, iou: float | None) -> dict[str, str]:
    said = {} if iou is None else {"found from IoU": f"{iou:g}"}
    if limits.aoi is not None:
        said["only inside"] = Path(str(limits.aoi)).name
    if limits.chips is not None:
        said["only on"] = f"the {limits.split} chips of {limits.chips.path.name}"
    return said


def _pixels(
    parts: list[Part],
    labels: LabelSet,
    limits: Limits,
    class_map: Mapping[str, str] | None,
    seed: int,
    on_progress: OnProgress,
) -> Report:
    classes = open_class_map(parts[0].path).classes
    match = match_classes(classes, labels.classes, labels.source, class_map, ids_agree=bool(labels.masks))
    scorer, tally, thumbnails, left_out = (
        PixelScorer(match.classes, seed=seed),
        PixelTally(),
        [],
        LeftOut(len(parts)),
    )
    for part in parts:
        other = open_class_map(part.path).classes
        if (other is None) != (classes is None) or (
            other and classes and [(c.id, c.name) for c in other] != [(c.id, c.name) for c in classes]
        ):
            raise InputError(
                f"{part.path}: has other classes than {parts[0].path.name}; evaluate maps of one model at a time"
            )
        with left_out.where_no_chip_lies(part.path.name):
            thumbnails.append(score_map(part, labels, match, limits, scorer, tally, on_progress))
    elsewhere = (
        not tally.features and not labels.masks and labels.annotated is None and not labels.image_names
    )
    if not tally.scored or elsewhere:
        raise LabelError(_nothing(labels, "pixels of the prediction have a known class in the truth"))
    confusion = scorer.confusion
    counts = {
        info.name: {"truth": int(confusion[place].sum()), "predicted": int(confusion[:, place].sum())}
        for place, info in enumerate(match.classes)
    }
    scores = scorer.scores()
    background = 0 if match.classes.has_background else None
    pictures = {
        "errors": error_map(thumbnails, background),
        "classes": class_bars([s for s in scores if s.name == "iou"], match.classes),
    }
    notes = (*match.notes, *left_out.notes(limits.split), *_pixel_notes(tally, match, labels))
    return Report("pixels", tuple(scores), match.classes, counts, "", "", {}, notes, confusion, pictures)


def _pixel_notes(tally: PixelTally, match: ClassMatch, labels: LabelSet) -> list[str]:
    left_out = {
        "outside the AOI or the chips that are scored": tally.outside,
        "without a known class in the truth (not annotated, or ignored)": tally.unlabelled,
        "with a true class where the prediction has none": tally.unpredicted,
    }
    notes = [f"{tally.scored} pixels are scored"]
    notes += [f"{count} pixels {why} are left out" for why, count in left_out.items() if count]
    if not match.classes.has_background and not labels.masks:
        notes.append("the prediction has no background class, so ground without a label counts neither way")
    return notes


def _objects(
    parts: list[Part],
    labels: LabelSet,
    limits: Limits,
    class_map: Mapping[str, str] | None,
    iou: float,
    seed: int,
    on_progress: OnProgress,
) -> Report:
    if labels.masks:
        raise LabelError(
            f"{labels.source}: the truth is a raster and the prediction has objects; give true objects, or evaluate the class map"
        )
    only = labels.classes.foreground[0].name if len(labels.classes.foreground) == 1 else None
    found = [read_found(part, only) for part in parts]
    if len(parts) > 1 and labels.crs is not None and any(one.part.grid is None for one in found):
        raise InputError(
            f"{parts[0].path.parent}: several files that do not say which ground they cover would share the truth; evaluate one at a time"
        )
    classes = _predicted_classes(found, labels.classes, class_map)
    match = match_classes(classes, labels.classes, labels.source, class_map)
    boxes = all(are_boxes(one, labels) for one in found)
    scorer, tally, compared = (
        ObjectScorer(match.classes, iou, use_polygons=not boxes, seed=seed),
        ObjectTally(),
        list[Compared](),
    )
    left_out, by_chip = LeftOut(len(found)), OneBoxes.of(found, match, limits, iou, seed)
    for place, one in enumerate(found):
        with left_out.where_no_chip_lies(one.part.path.name):
            compared.append(score_objects(one, labels, match, limits, scorer, tally))
            if by_chip is not None:
                by_chip.add(compared[-1])
        on_progress(place + 1, len(found), "files")
    counts = scorer.counts()
    if not any(count["truth"] for count in counts.values()):
        raise LabelError(_nothing(labels, "true objects lie on the ground that is scored"))
    with_scores = all(one.scored for one in found)
    scores = [score for score in scorer.scores() if with_scores or score.name not in _NEEDS_SCORES]
    scores = [*by_chip.scores(), *scores] if by_chip is not None else scores
    pictures = {"errors": object_errors(compared, iou, not boxes)}
    if with_scores:
        pictures["curves"] = curves(
            {info.name: scorer.curve(info.id) for info in match.classes}, match.classes
        )
    notes = (
        *match.notes,
        *left_out.notes(limits.split),
        *(by_chip.notes() if by_chip is not None else chips_wanted(found, limits)),
    )
    notes = (*notes, *_object_notes(tally, boxes, with_scores))
    return Report("objects", tuple(scores), match.classes, counts, "", "", {}, notes, None, pictures)


def _chips(
    parts: list[Part],
    labels: LabelSet,
    limits: Limits,
    class_map: Mapping[str, str] | None,
    seed: int,
    on_progress: OnProgress,
) -> Report:
    found = [read_chips(part) for part in parts]
    strange = next(
        (
            one
            for one in found
            if (one.classes.names, one.rule.multi_label)
            != (
                found[0].classes.names,
                found[0].rule.multi_label,
            )
        ),
        None,
    )
    if strange is not None:
        raise InputError(
            f"{strange.part.path}: has other classes than {parts[0].path.name}; evaluate the chips of one model at a time"
        )
    match = match_classes(found[0].classes, labels.classes, labels.source, class_map)
    scorer, tally, thumbnails, left_out = (
        ChipScorer(match.classes, multi_label=found[0].rule.multi_label, seed=seed),
        ChipCounts(),
        [],
        LeftOut(len(found)),
    )
    for place, one in enumerate(found):
        with left_out.where_no_chip_lies(one.part.path.name):
            thumbnails.append(score_chips(one, labels, match, limits, scorer, tally))
        on_progress(place + 1, len(found), "files")
    if not tally.scored:
        raise LabelError(_nothing(labels, "chip of the prediction has a known class in the truth"))
    scores, background = scorer.scores(), 0 if match.classes.has_background else None
    pictures = {"classes": class_bars([score for score in scores if score.name == "f1"], match.classes)}
    shown = [item for item in thumbnails if item is not None]
    if shown:
        pictures = {"errors": error_map(shown, background), **pictures}
    left = {
        "not wholly on the ground (or images) that are scored": tally.outside,
        "without a known class in the truth": tally.unknown,
    }
    notes = [
        f"{tally.scored} chips or images are scored",
        *(f"{count} {why} are left out" for why, count in left.items() if count),
    ]
    return Report(
        "chips",
        tuple(scores),
        match.classes,
        scorer.counts(),
        "",
        "",
        {},
        (*match.notes, *left_out.notes(limits.split), *notes),
        scorer.confusion,
        pictures,
    )


def _predicted_classes(found: list[Found], truth: ClassSet, class_map: Mapping[str, str] | None) -> ClassSet:
    """The classes that occur in the prediction, and those of the truth that the model may know but did not
    find.

    A file of objects does not list the classes of its model. So a true class that is nowhere predicted is a
    missed one, unless nothing that was predicted has a name of the truth: then the names do not fit, and
    `match_classes` says so.
    """
    names = list(dict.fromkeys(str(name) for one in found for name in one.names))
    plain = {" ".join(name.casefold().split()) for name in names}
    theirs = [info for info in truth.foreground if " ".join(info.name.casefold().split()) not in plain]
    overlap = len(theirs) < len(truth.foreground)
    targets = {target for target in (class_map or {}).values() if target != "ignore"}
    mapped = set(class_map or {})
    names += [target for target in targets if target not in names]
    names += [info.name for info in theirs if (overlap or not names) and info.name not in mapped]
    colors = {info.name: info.color for info in truth}
    return ClassSet(
        tuple(ClassInfo(i, name, colors.get(name, default_color(i))) for i, name in enumerate(names, start=1))
    )


def _object_notes(tally: ObjectTally, boxes: bool, with_scores: bool) -> list[str]:
    left_out = {
        "true objects with their centre outside the scored or annotated ground": tally.truth_outside,
        "predicted objects with their centre outside the scored or annotated ground": tally.predicted_outside,
        "true objects with their centre on ground that was not measured": tally.truth_not_measured,
        "true objects that are ignored, and what is predicted on them": tally.truth_left_out,
    }
    notes = ["boxes are compared" if boxes else "outlines are compared"]
    notes += [f"{what}: {count} left out" for what, count in left_out.items() if count]
    if not with_scores:
        notes.append("the prediction has no scores, so there is no average precision")
    if tally.unlimited:
        notes.append(
            "the prediction does not say which ground it covers, so the whole truth counts; narrow it with --aoi or --scene"
        )
    return notes


def _nothing(labels: LabelSet, what: str) -> str:
    where = f"the truth is in {'pixels of images' if labels.crs is None else labels.crs.name}"
    return f"{labels.source}: no {what} ({where}); check that both show the same place, and --aoi, --chips and --annotated"
