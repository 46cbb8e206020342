"""The page of a whole run: what was mapped, how good it is, the map over its scene, and the training.

One file that needs no network: pictures are inside, and the slider over each map works without one.
"""

from __future__ import annotations

from dataclasses import dataclass
from html import escape
from pathlib import Path

from ..bundle import Bundle
from ..chips.chipset import ChipSet
from ..core.classes import ClassSet
from ..core.display import png
from ..core.htmlpage import html_figure, html_row, html_swipe, html_table, page_head
from ..errors import EoDlError
from ..evaluation.pictures import scene_and_result
from ..io.atomic import atomic_file
from ..io.discover import relative_path
from ..io.scene import Scene
from ..scores.score import Score
from ..scores.scorecards import score_cards

NAME = "index.html"

_MOST_MAPS = 6
_LONGEST_PX = 900
_SPLITS = ("train", "val", "test")
_OF_REPORT = {
    "errors": "Where the map is wrong",
    "classes": "Scores per class with 95 % intervals",
    "curves": "Precision-recall curves: what another threshold would give",
}
_OF_RUN = {
    "curves": "Course of the training",
    "preview": "Examples from ground that was held out",
    "worst": "The largest errors on the validation split",
}
_WORDS = {
    "train, val, test": "Blocks of ground. The model learns on train; val chose its best state and its "
    "thresholds; test was looked at once, for the scores above.",
    "95 % interval": "Between these the score would lie for 95 of 100 grounds like this one; it comes from "
    "the spread between blocks.",
    "IoU": "Ground that map and truth both call a class, divided by ground that at least one of them calls "
    "so. 1 is perfect.",
    "precision": "The share of what the map shows that is true.",
    "recall": "The share of what is true that the map shows.",
    "F1": "Precision and recall in one number (their harmonic mean).",
    "overall accuracy": "The share of the ground with the right class; high by itself where one class covers "
    "most.",
    "AP at IoU 0.5": "Precision of boxes or outlines, averaged over all recalls; one counts as found from an "
    "IoU of 0.5 on.",
}
_NO_SCORES = "<p class='what'>No scores: no chip is in the test split.</p>"


@dataclass(frozen=True)
class RunFacts:
    """What a page tells."""

    folder: Path
    """The folder of the run."""

    scenes: tuple[Scene, ...]
    """The scenes."""

    chips: ChipSet
    """The chips."""

    bundle: Bundle
    """The model."""

    maps: Path
    """The map: a file, or a folder with one per scene."""

    scores: tuple[Score, ...]
    """The headline scores on the test blocks."""

    report: Path | None
    """The page of the accuracy."""

    seconds: dict[str, float]
    """Seconds of each step."""


def write_run_page(facts: RunFacts) -> Path:
    """Write the page into the folder of the run, in place of an older one.

    Args:
        facts: What it tells.

    Returns:
        The page.

    Raises:
        WriteError: It cannot be written.
    """
    path, text = facts.folder / NAME, _page(facts)
    if path.is_file() and path.read_text(encoding="utf-8") == text:
        return path
    with atomic_file(path, overwrite=True) as part:
        part.write_text(text, encoding="utf-8")
    return path


def _page(facts: RunFacts) -> str:
    title = f"{facts.folder.resolve().name}: {', '.join(facts.bundle.classes.names)}"
    sections = [
        page_head(title),
        f"<h1>{escape(title)}</h1>",
        f"<p class='what'>{escape(_summary(facts))}</p>",
        score_cards(facts.scores) if facts.scores else _NO_SCORES,
        *_maps(facts),
        *_pictures(facts.folder / "report", _OF_REPORT),
        *_pictures(facts.folder / "model.run", _OF_RUN),
        _scene_table(facts),
        _words(),
        _footer(facts),
    ]
    return "\n".join(section for section in sections if section)


def _summary(facts: RunFacts) -> str:
    spec = facts.bundle.spec
    gsd = "pixels of unknown size" if spec.gsd_m is None else f"{spec.gsd_m:.3g} m pixels"
    minutes = sum(facts.seconds.values()) / 60
    counts = ", ".join(f"{len(facts.chips.split(split))} {split}" for split in _SPLITS)
    unfinished = f" Unfinished: {spec.provenance.unfinished}." if spec.provenance.unfinished else ""
    return (
        f"A {spec.task} model of {gsd}, made in {minutes:.0f} minutes from {counts} chips. The scores are "
        f"those of the test blocks, which it was not trained on.{unfinished}"
    )


def _maps(facts: RunFacts) -> list[str]:
    """The scenes with their maps, under a slider each."""
    sections = []
    for scene in facts.scenes[:_MOST_MAPS]:
        result = _map_of(facts, scene)
        if result is None:
            continue
        try:
            below, above = scene_and_result(scene, result, facts.bundle.classes, _LONGEST_PX)
        except EoDlError:
            continue  # a table of images has no picture
        sections.append(html_swipe(f"Map of {scene.name}", png(below), png(above)))
    if sections:
        sections.append(_legend(facts.bundle.classes))
    more = len(facts.scenes) - _MOST_MAPS
    if more > 0:
        sections.append(f"<p class='what'>{more} more scenes are in {escape(facts.maps.name)}/.</p>")
    return sections


def _map_of(facts: RunFacts, scene: Scene) -> Path | None:
    """The map of a scene; None where there is no file of it alone."""
    if facts.maps.is_file():
        return facts.maps if len(facts.scenes) == 1 else None
    suffix = facts.bundle.task.output.default_suffix
    named = [path for path in facts.maps.rglob(f"{scene.stem}{suffix}") if path.is_file()]
    return named[0] if len(named) == 1 else None


def _legend(classes: ClassSet) -> str:
    dots = [
        f"<span class='dot' style='background:{escape(info.color)}'></span>{escape(info.name)}"
        for info in classes
    ]
    return f"<p class='what'>{' &nbsp; '.join(dots)}</p>"


def _pictures(folder: Path, captions: dict[str, str]) -> list[str]:
    """The PNG files of a folder that are there."""
    files = [(caption, folder / f"{name}.png") for name, caption in captions.items()]
    return [html_figure(caption, file.read_bytes()) for caption, file in files if file.is_file()]


def _scene_table(facts: RunFacts) -> str:
    rows = []
    for number, scene in enumerate(facts.chips.scenes):
        gsd = scene.native.gsd_m
        counts = [
            sum(record.scene_index == number for record in facts.chips.split(split)) for split in _SPLITS
        ]
        cells = [
            escape(scene.name),
            f"{scene.native.width} x {scene.native.height}",
            "" if gsd is None else f"{gsd:.3g}",
            *map(str, counts),
        ]
        rows.append(html_row(cells))
    header = ("scene", "pixels", "GSD (m)", *(f"{split} chips" for split in _SPLITS))
    return f"<h2>Scenes</h2>{html_table(header, rows)}"


def _words() -> str:
    items = "".join(f"<dt>{escape(word)}</dt><dd>{escape(text)}</dd>" for word, text in _WORDS.items())
    return f"<h2>Words</h2><dl>{items}</dl>"


def _footer(facts: RunFacts) -> str:
    pages = [("accuracy", facts.report), ("training", facts.folder / "model.run" / "report.html")]
    links = [
        f"<a href='{escape(relative_path(str(page), facts.folder))}'>{name}</a>"
        for name, page in pages
        if page is not None and page.is_file()
    ]
    files = ", ".join(
        f"<code>{escape(relative_path(str(path), facts.folder))}</code>"
        for path in (facts.maps, facts.bundle.path, facts.chips.path)
    )
    return f"<footer>In full: {', '.join(links)}. Beside this page: {files}.</footer></body></html>"
