"""`check_labels`: all problems of labels at once."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import shapely

from ...core.arraytypes import Float64Array, GeometryArray
from ...core.imagelabels import WholeImageLabels
from ...core.labelset import FeatureLabels, LabelSet
from ...core.progress import OnProgress, silent
from ...core.rasterlabels import RasterLabels
from ...errors import EoDlError, LabelError
from ...io.discover import refuse_unnamed_hosts
from ...io.scene import Scene, SceneSources, open_scenes
from ...labels.classrequest import parse_classes
from ...labels.coverage import match_labels
from ...labels.labeloptions import LabelOptions, ReadingOptions
from ...labels.labelsources import Sources, find_sources
from ...labels.placement import PlacedLabels
from ...labels.projectlayout import Announced, announced, is_project
from ...labels.reading import LabelFiles, classes_of, read_records
from ...labels.records import OutlineRecords, Records
from ...labels.vector.vectorlabels import read_areas
from .checkreport import CheckReport, in_order, registration_text
from .classchecks import check_balance, check_class_values
from .finding import Finding
from .maskchecks import check_mask, mask_facts
from .placechecks import check_annotated, check_on_scene, check_used
from .registration import LEAST_CELLS, MAX_CELLS, Misregistration, judge, shift_scores
from .shapechecks import check_geometries, check_overlaps

_ALL_SCENES = "all scenes"
# Of all scenes: whether labels of hundreds of small images are shifted is known after some of them.
_MOST_CELLS = 2 * MAX_CELLS


def check_labels(
    labels: LabelFiles,
    scenes: SceneSources = (),
    *,
    label_options: LabelOptions = LabelOptions(),
    on_progress: OnProgress = silent,
) -> CheckReport:
    """Find everything that may be wrong with labels, the worst first; nothing is changed.

    Outlines (invalid, drawn twice, overlapping), classes (missing, spelt in several ways, empty, rare), and,
    with scenes, the position of objects: too small, outside the scene, on nodata, outside annotated ground,
    shifted against the image.

    Args:
        labels: The label files.
        scenes: The scenes that they belong to (default: those of the labelling project, if it is one).
        label_options: How the labels are read.
        on_progress: Called with the number of scenes done and their total.

    Returns:
        The findings. Labels that do not fit the scenes are a finding, not an error.

    Raises:
        LabelError: The labels cannot be read at all.

    Example:
        >>> check_labels("labels.gpkg", "ortho.tif").rows()  # doctest: +SKIP
    """
    return check_with_scenes(
        labels, scenes, fallback=(), label_options=label_options, on_progress=on_progress
    )


def check_with_scenes(
    labels: LabelFiles,
    scenes: SceneSources,
    *,
    fallback: Sequence[Scene],
    label_options: LabelOptions,
    on_progress: OnProgress,
) -> CheckReport:
    """As `check_labels`, on the scenes named, else those of the labelling project, else those of
    `fallback`.
    """
    if label_options.classes is not None:
        parse_classes(label_options.classes)  # a mistake in these is the caller's, not one of the labels
    if label_options.annotated is not None:
        read_areas(Path(label_options.annotated))  # so is a file that cannot be read
    sources = find_sources(labels, label_options.format)
    project = _project(sources, label_options)
    project_classes = () if project is None else project.classes.names
    opened = open_scenes(scenes)
    if not opened and project is not None:
        refuse_unnamed_hosts(project.scenes, sources.name, "name it with `scenes`")
        opened = open_scenes(project.scenes)
    opened = opened or tuple(fallback)

    findings: list[Finding] = []
    records = None
    if sources.format.read_records is not None:
        records = read_records(sources, ReadingOptions.of(label_options))
        findings += _check_records(records, project_classes)
    label_set = None
    try:
        label_set = classes_of(labels, label_options)
    except LabelError as error:
        findings.append(Finding("unreadable", "error", str(error)))

    counts: dict[str, float] = {}
    registration: dict[str, Misregistration] = {}
    if label_set is not None:
        counts = _object_counts(label_set, project_classes)
        if opened:
            registration = _check_on_scenes(label_set, opened, findings, counts, on_progress)
        if isinstance(label_set, FeatureLabels):
            findings += check_annotated(label_set)
    findings += check_balance(counts, "px" if isinstance(label_set, RasterLabels) else "objects")
    return CheckReport(
        source=sources.name,
        findings=in_order(findings),
        classes=counts,
        unit="px" if records is None else "objects",
        registration=registration,
        crs=records.crs if isinstance(records, OutlineRecords) else None,
        scenes=opened,
        notes=() if label_set is None else label_set.notes,
    )


def _project(sources: Sources, label_options: LabelOptions) -> Announced | None:
    """What a labelling project states about its classes and scenes; None for other labels."""
    if not sources.format.vector or len(sources.paths) != 1:
        return None
    path = sources.paths[0]
    return announced(path) if is_project(path, label_options.layer) else None


def _check_records(records: Records, project_classes: Sequence[str]) -> Iterator[Finding]:
    """Problems of the features as the file holds them."""
    if isinstance(records, OutlineRecords):
        yield from check_geometries(records)
        yield from check_overlaps(records)
    yield from check_class_values(records, project_classes)


def _object_counts(labels: LabelSet, project_classes: Sequence[str]) -> dict[str, float]:
    """Objects of each class, those of the project first; nothing yet for label rasters."""
    counts = dict.fromkeys(project_classes, 0.0)
    if not isinstance(labels, RasterLabels):
        counts |= {name: float(count) for name, count in labels.class_counts().items()}
    return counts


def _check_on_scenes(
    labels: LabelSet,
    scenes: Sequence[Scene],
    findings: list[Finding],
    counts: dict[str, float],
    on_progress: OnProgress,
) -> dict[str, Misregistration]:
    """Problems that scenes reveal are added to `findings`, pixels of label rasters to `counts`."""
    try:
        matched = match_labels(labels, scenes)
    except LabelError as error:
        findings.append(Finding("unreadable", "error", str(error)))
        return {}
    if isinstance(labels, WholeImageLabels):
        return {}  # they have no outlines to check
    if isinstance(matched.labels, FeatureLabels):
        findings += check_used(matched.labels, matched.used)
    registration = _Registration(len(scenes))
    for index, placed in enumerate(matched.placed):
        on_progress(index, len(scenes), "scenes")
        if not matched.labels.covers(placed.scene.place):
            continue
        try:
            findings += _check_on_scene(matched.labels, placed, counts, registration)
        except EoDlError as error:
            findings.append(Finding("unreadable", "error", str(error), image=placed.scene.name))
    on_progress(len(scenes), len(scenes), "scenes")
    shifts = registration.results()
    findings += _misregistrations(shifts, scenes)
    return shifts


def _check_on_scene(
    labels: LabelSet, placed: PlacedLabels, counts: dict[str, float], registration: _Registration
) -> list[Finding]:
    """Problems that one scene reveals."""
    scene = placed.scene
    in_file = scene.resized(scene.native.height, scene.native.width)
    if isinstance(labels, FeatureLabels):
        outlines = labels.for_grid(in_file.grid, scene.place).geometries
        if len(outlines):
            registration.add(in_file, outlines)
        return list(check_on_scene(labels, scene))
    if placed.raster is None:
        return []
    facts = mask_facts(placed.raster, labels.classes, scene)
    for info in labels.classes:
        counts[info.name] = counts.get(info.name, 0.0) + float(facts.pixels[info.id])
    if facts.outlines:
        registration.add(in_file, np.concatenate(facts.outlines))
    return list(check_mask(scene, facts))


@dataclass
class _Registration:
    """How well shifts fit, scene by scene."""

    scene_count: int
    scores: dict[str, list[Float64Array]] = field(default_factory=dict)

    def add(self, scene: Scene, outlines: GeometryArray) -> None:
        """Look at a scene, unless enough was seen of others; outlines are in pixels of its file."""
        if sum(map(len, self.scores.values())) < _MOST_CELLS:
            most_cells = min(MAX_CELLS, max(LEAST_CELLS, _MOST_CELLS // self.scene_count))
            self.scores[scene.name] = shift_scores(scene, outlines, most_cells=most_cells)

    def results(self) -> dict[str, Misregistration]:
        """The shift of each scene that has one of its own, and one for all others together."""
        alone = {name: judge(scores) for name, scores in self.scores.items()}
        known = {name: shift for name, shift in alone.items() if shift.known}
        if len(alone) < 2 or len(known) == len(alone):
            return alone
        others = [score for name, scores in self.scores.items() if name not in known for score in scores]
        name = f"{len(alone)} of {self.scene_count} scenes"
        if known:
            name = f"the other {len(alone) - len(known)} scenes"
        elif len(alone) == self.scene_count:
            name = _ALL_SCENES
        return {**known, name: judge(others)}


def _misregistrations(shifts: dict[str, Misregistration], scenes: Sequence[Scene]) -> Iterator[Finding]:
    """A warning for labels that are shifted, a note for those that cannot be checked."""
    by_name = {scene.name: scene for scene in scenes}
    for name, shift in shifts.items():
        if shift.known and not shift.significant:
            continue
        scene = by_name.get(name)  # None for several scenes together
        text = registration_text(name, shift, None if scene is None else scene.native.gsd_m)
        if shift.known:
            text += "; move them, or georeference the scene again"
        yield Finding(
            "misregistration",
            "warning" if shift.known else "note",
            text,
            geometry=None if scene is None else shapely.box(*scene.native.window.box),
            image=None if scene is None else scene.name,
        )
