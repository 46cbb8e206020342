"""`map_scenes`: from scenes and labels to a map with its model and its accuracy, in one call."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from ..bundle import Bundle, load_model
from ..chips.chipset import ChipSet
from ..chips.manifest import labels_sha256
from ..chips.tile import open_again, tile
from ..core.htmlcard import card
from ..core.imagelabels import WholeImageLabels
from ..core.labelset import LabelSet
from ..core.progress import OnProgress, silent
from ..evaluation.evaluate import evaluate
from ..inference.predict import predict
from ..io.outputlock import locks_output
from ..io.scene import Scene, SceneSources, open_scenes
from ..labels.reading import read_labels
from ..networks.compute import Compute
from ..scores.score import Score, score_title
from ..tasks import CHIPS
from ..training.taskchoice import with_task
from ..training.train import train
from ..training.trainconfig import TrainConfig, resolve_config
from .mappingfolder import MappingFolder
from .runpage import RunFacts, write_run_page

log = logging.getLogger(__name__)

STEPS = ("chips", "model", "map", "report")
"""The steps, by their results."""

Made = TypeVar("Made")


@dataclass(frozen=True)
class MappingResult:
    """What `map_scenes` made."""

    folder: Path
    """The folder with everything."""

    task: str
    """What was learnt."""

    map: Path
    """The map: a file, for several scenes a folder of files."""

    model: Path
    """The model."""

    report: Path | None
    """The page with the accuracy on the test blocks; None if no chip is in the test split."""

    page: Path
    """The page of the whole run: map, accuracy and training."""

    scores: tuple[Score, ...]
    """The headline scores on the test blocks, most important first."""

    seconds: dict[str, float]
    """Seconds of each step."""

    def values(self) -> dict[str, object]:
        """The result as plain values, for JSON; scores that are not defined are null."""
        return {
            "folder": str(self.folder),
            "task": self.task,
            "map": str(self.map),
            "model": str(self.model),
            "report": None if self.report is None else str(self.report),
            "page": str(self.page),
            "scores": [
                {**asdict(score), "value": score.value if score.defined else None} for score in self.scores
            ],
            "seconds": dict(self.seconds),
        }

    def rows(self) -> list[tuple[str, str]]:
        """The result as a table: what, and where or how good."""
        rows = [("map", str(self.map)), ("model", f"{self.model} ({self.task})")]
        rows += [(f"test {score_title(score.name)}", score.text()) for score in self.scores]
        rows.append(
            ("report", "none: no chip is in the test split" if self.report is None else str(self.report))
        )
        rows.append(("page of all", str(self.page)))
        rows.append(("seconds", ", ".join(f"{step} {seconds:.0f}" for step, seconds in self.seconds.items())))
        return rows

    def _repr_html_(self) -> str:
        return card(self.folder.name, self.rows())


@dataclass(frozen=True)
class MappingJob:
    """What `map_scenes` was asked for, read and checked; nothing is written yet."""

    scenes: tuple[Scene, ...]
    """The scenes."""

    labels: LabelSet
    """The labels."""

    size_px: int | None
    """Side of a chip; None: chosen."""

    gsd_m: float | None
    """GSD of the chips, metres; None: that of the scenes."""

    annotated: str | Path | None
    """Polygons in which the labels are complete."""

    seed: int
    """Random seed of chips and training."""

    config: TrainConfig
    """How to train; without a task the labels decide."""

    def chip_inputs(self) -> dict[str, Any]:
        """What decides the chips, as plain values."""
        scenes = {}
        for scene in self.scenes:
            fingerprint = scene.fingerprint()
            scenes[scene.name] = f"{fingerprint['size']} bytes, {fingerprint['header_sha256']}"
        return {
            "scenes": scenes,
            "labels": labels_sha256(self.labels),
            "size_px": self.size_px,
            "gsd_m": self.gsd_m,
            "annotated": None if self.annotated is None else str(self.annotated),
            "seed": self.seed,
        }

    def make_chips(self, out: Path, on_progress: OnProgress) -> ChipSet:
        """Tile."""
        return tile(
            self.scenes,
            self.labels,
            out=out,
            size_px=self.size_px,
            gsd_m=self.gsd_m,
            annotated=self.annotated,
            seed=self.seed,
            on_progress=on_progress,
        )


def mapping_job(
    scenes: SceneSources,
    labels: LabelSet | str | Path,
    *,
    start: Bundle | str | Path | None,
    task: str | None,
    minutes: float | None,
    size_px: int | None,
    gsd_m: float | None,
    annotated: str | Path | None,
    seed: int,
    config: TrainConfig | Mapping[str, object] | str | Path | None,
    compute: Compute,
) -> MappingJob:
    """Read and check the inputs of `map_scenes`, which describes them."""
    overrides: dict[str, object] = {"minutes": minutes, "seed": seed}
    if start is not None:
        bundle = load_model(start)
        overrides |= {"weights": str(bundle.path), "weights_for": "network"}
        overrides |= {f"task_options.{name}": value for name, value in bundle.spec.config.items()}
        task = task or bundle.spec.task
    resolved = resolve_config(config, task=task, compute=compute, overrides=overrides)
    label_set = read_labels(labels)
    opened = open_scenes(scenes, below=isinstance(label_set, WholeImageLabels))
    return MappingJob(tuple(opened), label_set, size_px, gsd_m, annotated, seed, resolved)


@locks_output
def map_scenes(
    scenes: SceneSources,
    labels: LabelSet | str | Path,
    *,
    out: str | Path,
    start: Bundle | str | Path | None = None,
    task: str | None = None,
    minutes: float | None = None,
    size_px: int | None = None,
    gsd_m: float | None = None,
    annotated: str | Path | None = None,
    seed: int = 0,
    config: TrainConfig | Mapping[str, object] | str | Path | None = None,
    compute: Compute = Compute(),
    overwrite: bool = False,
    on_progress: OnProgress = silent,
) -> MappingResult:
    """Map scenes from a few labels on them: tile, train, predict, evaluate on ground held out, and report.

    A stopped run continues with the same call; finished steps are kept.

    Args:
        scenes: Opened scenes, paths, folders or patterns. All of them are mapped.
        labels: The labels, or their path.
        out: Folder of the results; `eo_dl.workflow.mappingfolder` lists them.
        start: A model to fine-tune, or the name of a ready one: its task, its network and all weights that
            fit are taken.
        task: What to learn, e.g. "segmentation" or "detection" (default: by the labels).
        minutes: Time for training (default: 10 on a CPU, 30 on a GPU).
        size_px: Side of a chip, pixels (default: chosen from objects and ground, see `tile`).
        gsd_m: Resample scenes to this GSD, metres, when they are read (default: their own).
        annotated: Polygons in which the labels are complete; ground outside is ignored, not background.
        seed: Random seed.
        config: Further options of training, as for `train`.
        compute: Device, precision, batch size and number of readers.
        overwrite: Start again, and replace the results of an earlier run.
        on_progress: Called with (done, total, what), `what` with the number of the step.

    Returns:
        Where map, model and report are, and the scores on the test blocks.

    Raises:
        ConfigError: Two tasks fit the labels equally, an option is out of range, or an earlier run in `out`
            had other inputs.
        OutputExistsError: `out` holds something else.
        EoDlError: As `tile`, `train`, `predict` and `evaluate` do.

    Example:
        >>> map_scenes("town.tif", "roofs.gpkg", out="town/", minutes=8)  # doctest: +SKIP
    """
    job = mapping_job(
        scenes,
        labels,
        start=start,
        task=task,
        minutes=minutes,
        size_px=size_px,
        gsd_m=gsd_m,
        annotated=annotated,
        seed=seed,
        config=config,
        compute=compute,
    )
    folder = MappingFolder.begin(Path(out), job.chip_inputs(), overwrite=overwrite)
    work = _Work(job, folder, on_progress)
    chips = work.chips()
    bundle = work.model(chips)
    maps = work.maps(bundle)
    report, scores = work.report(chips, maps)
    page = write_run_page(
        RunFacts(folder.path, job.scenes, chips, bundle, maps, scores, report, folder.seconds)
    )
    result = MappingResult(
        folder.path, bundle.task.name, maps, bundle.path, report, page, scores, folder.seconds
    )
    folder.note({"result": result.values()})
    return result


@dataclass(frozen=True)
class _Work:
    """The steps, each of which is taken once, by whichever run comes to it."""

    job: MappingJob
    folder: MappingFolder
    on_progress: OnProgress
    said: set[str] = field(default_factory=set)
    """Notes that were logged: some are of several steps."""

    def chips(self) -> ChipSet:
        out = self.folder.path / "chips"

        def make() -> ChipSet:
            chips = self.job.make_chips(out, self._progress("chips"))
            self._say(chips.notes)
            if chips.label_report["line"]:
                log.info(str(chips.label_report["line"]))
            return chips

        # A folder of this name is a finished chip set, also if the run stopped before it was noted.
        return self._step(
            "chips", make, lambda: open_again(out, self.job.scenes, self.job.labels), is_there=out.is_dir()
        )

    def model(self, chips: ChipSet) -> Bundle:
        out = self.folder.path / "model.eodl"
        config = with_task(self.job.config, chips)
        self.folder.check_same("training", {"config": config.model_dump(mode="json")})

        def make() -> Bundle:
            run = train(
                chips,
                config=config,
                out=out,
                resume=True,
                on_progress=self._progress("model"),
            )
            self._say(run.notes)
            return run.model

        finished = out.is_file() and not load_model(out).spec.provenance.unfinished
        return self._step("model", make, lambda: load_model(out), is_there=finished)

    def maps(self, bundle: Bundle) -> Path:
        out = self.folder.path / _map_name(bundle, self.job.scenes)

        def make() -> Path:
            single = len(self.job.scenes) == 1
            prediction = predict(
                bundle,
                self.job.scenes[0] if single else self.job.scenes,
                out=out,
                compute=Compute(device=self.job.config.device),
                on_progress=self._progress("map"),
            )
            self._say(prediction.notes)
            return out

        return self._step("map", make, lambda: out, is_there=out.is_file())

    def report(self, chips: ChipSet, maps: Path) -> tuple[Path | None, tuple[Score, ...]]:
        out = self.folder.path / "report"
        if not chips.split("test"):
            return None, ()

        def make() -> tuple[Path, tuple[Score, ...]]:
            report = evaluate(
                maps, chips.labels, chips=chips, out=out, overwrite=True, on_progress=self._progress("report")
            )
            self._say(report.notes)
            self.folder.note({"scores": [asdict(score) for score in report.headline]})
            return out / "report.html", report.headline

        def keep() -> tuple[Path, tuple[Score, ...]]:
            return out / "report.html", tuple(Score(**values) for values in self.folder.state["scores"])

        return self._step("report", make, keep, is_there=False)

    def _step(self, name: str, make: Callable[[], Made], keep: Callable[[], Made], *, is_there: bool) -> Made:
        """The result of a step: made now, or kept from an earlier run."""
        number = STEPS.index(name) + 1
        if self.folder.is_done(name) or is_there:
            log.info(f"step {number} of {len(STEPS)}, {name}: kept from the run before")
            return keep()
        log.info(f"step {number} of {len(STEPS)}, {name}")
        started = time.monotonic()
        made = make()
        self.folder.finish(name, time.monotonic() - started)
        return made

    def _say(self, notes: Iterable[str]) -> None:
        """Log the notes of a step that no step before had."""
        for note in notes:
            if note not in self.said:
                self.said.add(note)
                log.info(f"note: {note}")

    def _progress(self, name: str) -> OnProgress:
        """The progress of a step, with its number among all."""
        prefix = f"{STEPS.index(name) + 1}/{len(STEPS)} {name}"

        def on_progress(done: int, total: int, what: str) -> None:
            self.on_progress(done, total, f"{prefix}: {what}")

        return on_progress


def _map_name(bundle: Bundle, scenes: tuple[Scene, ...]) -> str:
    """The name of the map: one file, a folder for several scenes, one table for classes of several images."""
    output = bundle.task.output
    if len(scenes) == 1:
        return f"map{output.default_suffix}"
    if output == CHIPS:
        return "map.gpkg" if all(scene.grid.crs is not None for scene in scenes) else "map.csv"
    return "maps"
