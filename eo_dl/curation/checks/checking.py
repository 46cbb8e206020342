"""`check_labels`: all problems of labels at once."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import numpy as np
import shapely

from ...core.arraytypes import GeometryArray
from ...core.labelset import LabelSet
from ...core.progress import OnProgress, silent
from ...errors import EoDlError, LabelError
from ...io.scene import Scene, SceneSources, open_scenes
from ...labels.classnames import parse_classes
from ...labels.coverage import match_labels
from ...labels.labeloptions import LabelOptions
from ...labels.labelsources import find_sources
from ...labels.projectlayout import announced, is_project
from ...labels.reading import LabelFiles, labels_of, read_records
from ...labels.records import Records
from ...labels.vector.vectorlabels import read_areas
from .checkreport import CheckReport, in_order, registration_text
from .classchecks import check_balance, check_class_values
from .finding import Finding
from .maskchecks import check_mask, mask_facts
from .placechecks import check_annotated, check_on_scene, check_used
from .registration import LEAST_CELLS, MAX_CELLS, Misregistration, judge, shift_scores
from .shapechecks import check_geometries, check_overlaps

FloatArray = np.ndarray[tuple[int, ...], np.dtype[np.float64]]
_ALL = "all scenes"
# of all scenes: what lies in place in hundreds of small images is known after some of them
_MOST_CELLS = 2 * MAX_CELLS


@dataclass
class _Registration:
    """How well shifts fit, by scene."""

    scene_count: int
    scores: dict[str, list[FloatArray]] = field(default_factory=dict)

    def add(self, scene: Scene, outlines: GeometryArray) -> None:
        """Look at a scene (in pixels of its file), unless enough was seen of others."""
        if sum(map(len, self.scores.values())) < _MOST_CELLS:
            most = min(MAX_CELLS, max(LEAST_CELLS, _MOST_CELLS // self.scene_count))
            self.scores[scene.name] = shift_scores(scene, outlines, most_cells=most)

    def results(self) -> dict[str, Misregistration]:
        """Each scene that can be told alone; all together where several cannot."""
        alone = {name: judge(list(scores)) for name, scores in self.scores.items()}
        if len(alone) < 2:
            return alone
        known = {name: found for name, found in alone.items() if found.known}
        rest = [score for name, scores in self.scores.items() if name not in known for score in scores]
        if len(known) == len(alone):
            return known
        name = (
            f"the other {len(alone) - len(known)} scenes"
            if known
            else _ALL
            if len(alone) == self.scene_count
            else f"{len(alone)} of {self.scene_count} scenes"
        )
        return {**known, name: judge(rest)}


def check_labels(
    labels: LabelFiles,
    scenes: SceneSources = (),
    *,
    label_options: LabelOptions = LabelOptions(),
    on_progress: OnProgress = silent,
) -> CheckReport:
    """Everything that may be wrong with labels, the worst first; nothing is changed.

    Outlines (invalid, drawn twice, on each other), classes (not said, spelt in several ways, empty, rare),
    and, with `scenes`, where objects lie: too small, beside the scene, on nodata, outside annotated ground,
    beside the image's edges. `label_options`: how the labels are read; scenes of a labelling project need not be named.
    Labels that do not fit the scenes are a finding, not an error.

    Raises `LabelError` where labels cannot be read at all.

    >>> check_labels("labels.gpkg", ["ortho.tif"]).rows()  # doctest: +SKIP
    """
    parse_classes(label_options.classes)  # a mistake in these is the caller's, not the labels'
    if label_options.annotated is not None:
        read_areas(Path(label_options.annotated))  # so is a file that cannot be read
    found = find_sources(labels, label_options.format)
    single = found.format.vector and len(found.paths) == 1
    project = single and is_project(found.paths[0], label_options.layer)
    said = announced(found.paths[0]) if project else None
    opened = open_scenes(scenes)
    if not opened and said is not None:
        opened = open_scenes(said.scenes)
    findings: list[Finding] = []
    names = said.classes.names if said else ()
    records = None if found.format.read_records is None else read_records(found, label_options)
    if records is not None:
        findings += _of_records(records, names)
    ready = _label_set(partial(labels_of, labels, label_options), findings)
    counts, registration = dict[str, float](), dict[str, Misregistration]()
    if ready is not None:
        counts = _object_counts(ready, names)
        more, registration = _on_scenes(ready, opened, counts, on_progress)
        findings += more
        findings += check_annotated(ready)
    findings += check_balance(counts, "px" if ready is not None and ready.masks else "objects")
    label_crs = None if records is None else records.crs
    notes = [] if ready is None else list(ready.notes)
    return CheckReport(
        found.name,
        in_order(findings),
        counts,
        "px" if records is None else "objects",
        registration,
        label_crs,
        opened,
        tuple(notes),
    )


def _of_records(records: Records, names: Sequence[str]) -> Iterator[Finding]:
    if not records.whole_images:
        yield from check_geometries(records)
        yield from check_overlaps(records)
    yield from check_class_values(records, names)


def _label_set(read: Callable[[], LabelSet], findings: list[Finding]) -> LabelSet | None:
    """The labels as training would see them; None, with a finding, where that cannot be."""
    try:
        return read()
    except LabelError as error:
        findings.append(Finding("unreadable", "error", str(error)))
        return None


def _object_counts(labels: LabelSet, names: Sequence[str]) -> dict[str, float]:
    """Objects of each class, announced ones first; of label rasters nothing yet."""
    counts = dict.fromkeys(names, 0.0)
    for info in labels.classes if not labels.masks else ():
        counts[info.name] = float((labels.class_ids == info.id).sum())
    return counts


def _on_scenes(
    labels: LabelSet, scenes: Sequence[Scene], counts: dict[str, float], on_progress: OnProgress
) -> tuple[list[Finding], dict[str, Misregistration]]:
    """What scenes tell about labels; fills `counts` with the pixels of label rasters."""
    if not scenes:
        return [], {}
    findings: list[Finding] = []
    try:
        fitted = match_labels(labels, scenes)
    except LabelError as error:
        return [Finding("unreadable", "error", str(error))], {}
    registration = _Registration(len(scenes))
    if not labels.masks and not labels.whole_images:
        findings += check_used(fitted, list(scenes))
    for place, scene in enumerate(scenes):
        on_progress(place, len(scenes), "scenes")
        if labels.whole_images or not fitted.covers(scene.place):
            continue
        try:
            findings += _on_scene(fitted, scene, counts, registration)
        except EoDlError as error:
            findings.append(Finding("unreadable", "error", str(error), image=scene.name))
    on_progress(len(scenes), len(scenes), "scenes")
    results = registration.results()
    return [*findings, *_misplaced(results, scenes)], results


def _on_scene(
    labels: LabelSet, scene: Scene, counts: dict[str, float], registration: _Registration
) -> list[Finding]:
    own = scene.resized(scene.native.height, scene.native.width)
    if not labels.masks:
        outlines = labels.for_grid(own.grid, scene.place).geometries
        if len(outlines):
            registration.add(own, outlines)
        return list(check_on_scene(labels, scene))
    facts = mask_facts(labels, scene)
    if facts is None:
        return []
    for info in labels.classes:
        counts[info.name] = counts.get(info.name, 0.0) + float(facts.pixels[info.id])
    if facts.outlines:
        registration.add(own, np.concatenate(facts.outlines))
    return list(check_mask(scene, facts))


def _misplaced(results: dict[str, Misregistration], scenes: Sequence[Scene]) -> Iterator[Finding]:
    by_name = {scene.name: scene for scene in scenes}
    for name, found in results.items():
        scene = by_name.get(name)
        text = registration_text(name, found, None if scene is None else scene.native.gsd_m)
        place = None if scene is None else shapely.box(0, 0, scene.native.width, scene.native.height)
        image = None if scene is None else scene.name
        if found.known and found.significant:
            yield Finding(
                "misregistration",
                "warning",
                f"{text}; move them, or georeference the scene again",
                (),
                "",
                place,
                image,
            )
        elif not found.known:
            yield Finding("misregistration", "note", text, (), "", place, image)
