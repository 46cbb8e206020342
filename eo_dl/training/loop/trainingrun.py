"""`TrainingRun`: one run, from its first step to its model."""

from __future__ import annotations

import logging
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import safetensors.torch
import torch

from ...bundle import APPLICABILITY, ONNX, save_bundle
from ...core.progress import OnProgress, silent
from ...errors import Cancelled, TrainingError
from ...io.atomic import atomic_file, write_bytes
from ...networks.tasknetwork import TaskNetwork
from ..judging.scoring import ChipScoring
from ..record.provenance import provenance
from ..record.results import TrainingResult
from ..record.runfolder import RunFolder
from ..record.runstate import Clock, RunState
from ..setup.loading import fixed_batches, train_batches
from ..setup.runsetup import RunSetup
from .stopping import INTERRUPTED, StopRequest, stop_on_signals

if TYPE_CHECKING:
    from ...core.arraytypes import UInt8Array

# Imported where it is used: Lightning takes seconds to load, and is not needed to report wrong input. What
# judges, draws and exports takes seconds more (scikit-learn, matplotlib, ONNX Runtime), and is not needed
# before the first step.

log = logging.getLogger(__name__)

Checkpoint = dict[str, Any]

_DRAW_SECONDS = 20.0
"""Least time between two drawings of the curves: they would cost more than the epochs of a small run."""


@dataclass(frozen=True)
class TrainingRun:
    """One run. With several processes, all of them train and the first one alone finishes."""

    setup: RunSetup
    """What is trained, on what."""
    folder: RunFolder
    """Where it is recorded."""
    on_progress: OnProgress = silent
    _since_drawn: Clock = field(default_factory=Clock, repr=False, compare=False)

    def run(self, network: TaskNetwork, checkpoint: Checkpoint | None) -> RunState:
        """Train, from the start or from a checkpoint.

        Args:
            network: At step 0; it ends with its best weights.
            checkpoint: Content of the checkpoint to continue from, if any.

        Returns:
            The final state.
        """
        processes = self.setup.processes
        if processes.rank == 0:
            self._record_weights(network)
            log.info("%s", self.setup.describe_budget())
        state = RunState()
        if checkpoint is not None:
            state = RunState.from_dict(checkpoint["state"])
            network.load_state_dict(checkpoint["network"])
            log.info("continuing after step %d (epoch %d)", state.step, state.epoch + 1)
        if state.stopped is None or processes.world > 1:
            self._fit(network, state, checkpoint)
        if processes.rank == 0:
            log.info("finished: %s; best epoch %s", state.stopped, state.best_epoch)
            planned = self.setup.budget.epochs
            if planned is not None and state.ended_early(self.setup.budget):
                log.warning(
                    "the time was enough for %d of %d epochs: the network may have learnt little; allow more "
                    "`minutes`, or take a smaller `backbone`",
                    state.epoch,
                    planned,
                )
            with atomic_file(self.folder.path / "last.safetensors", overwrite=True) as part:
                safetensors.torch.save_file(_weights(network), part)
            self._load_best(network, state)
        return state

    def finish(self, network: TaskNetwork, state: RunState) -> TrainingResult:
        """Score the network, draw the pictures and write the model."""
        result = self._write(network, state)
        self.folder.finish()
        return result

    def _fit(self, network: TaskNetwork, state: RunState, checkpoint: Checkpoint | None) -> None:
        with stop_on_signals() as stop:
            try:
                self._fit_until(stop, network, state, checkpoint)
            except Cancelled as error:
                keeps_best = stop.reason == INTERRUPTED and state.best_epoch is not None
                if not keeps_best or self.setup.processes.rank:
                    raise
                raise Cancelled(f"{error}; {self._keep_best(network, state)}") from error

    def _fit_until(
        self, stop: StopRequest, network: TaskNetwork, state: RunState, checkpoint: Checkpoint | None
    ) -> None:
        from .fit import fit
        from .lightningmodule import LoopInputs, TrainingModule

        setup, data, processes = self.setup, self.setup.data, self.setup.processes
        inputs = LoopInputs(
            config=setup.config,
            plan=setup.plan,
            budget=setup.budget,
            state=state,
            checkpoints=self.folder.checkpoints,
            new_scoring=lambda: ChipScoring(data.task, data.codec),
            primary=data.task.primary_score,
            on_progress=silent if processes.rank else self.on_progress,
            on_epoch=self._after_epoch,
            stop=stop,
            check_scenes=data.refuse_changed_scenes,
            picture=self._picture,
        )
        train = train_batches(
            data.dataset("train", augmented=True),
            setup.plan,
            position=lambda: (state.epoch, state.batch),
            workers=setup.workers,
            part=processes.rank,
        )
        val = None
        if data.records["val"]:
            val = fixed_batches(
                data.dataset("val"),
                data.batch_size,
                setup.workers,
                part=processes.rank,
                parts=processes.world,
            )
        fit(
            TrainingModule(network, inputs, checkpoint),
            train,
            val,
            folder=self.folder.path,
            hardware=setup.hardware,
            find_unused=network.may_skip_parameters
            or setup.config.freeze != "none"
            or "find_unused" in setup.config.strategy,
        )

    def _picture(self, network: TaskNetwork) -> UInt8Array:
        from ..judging.judge import Judge

        return Judge(self.setup).picture(network)

    def _keep_best(self, network: TaskNetwork, state: RunState) -> str:
        """Write the best weights so far as an unfinished model; the run itself can still be continued."""
        log.info("writing the best model so far; press Ctrl-C again to leave at once")
        self._load_best(network, state)
        share = self._share(state)
        unfinished = (
            f"stopped by the user in epoch {state.epoch + 1}, after {share:.0%} of the run; these are the "
            f"weights of epoch {state.best_epoch}, the best so far"
        )
        path = self._write(network, state, unfinished).model.path
        return f"{path} holds the best weights so far (epoch {state.best_epoch}), marked as unfinished"

    def _load_best(self, network: TaskNetwork, state: RunState) -> None:
        if state.best_epoch is None:
            raise TrainingError(f"{self.folder.path}: no epoch was finished; train again with `overwrite`")
        network.load_state_dict(self.folder.checkpoints.load_best(state.best_epoch))
        network.to(self.setup.device)

    def _write(self, network: TaskNetwork, state: RunState, unfinished: str = "") -> TrainingResult:
        from ..judging.calibrate import calibration_diagram
        from ..judging.judge import Judge
        from ..judging.preview import draw_preview
        from ..judging.trainedfeatures import trained_features
        from ..record.modelgraph import model_graph
        from .modelrecord import model_spec

        data, judge = self.setup.data, Judge(self.setup)
        if unfinished:  # a user who pressed Ctrl-C waits for it: no test chips, no baselines
            verdict = judge.verdict(network, ("val",), baselines=False)
        else:
            verdict = judge.verdict(network, baselines=self.setup.config.baselines)
        data.refuse_changed_scenes()
        preview = draw_preview(verdict.preview, data.classes)
        write_bytes(self.folder.path / "preview.png", preview)
        if verdict.worst:
            write_bytes(self.folder.path / "worst.png", draw_preview(verdict.worst, data.classes))
        if verdict.calibration is not None:
            diagram = calibration_diagram(verdict.calibration, data.classes)
            write_bytes(self.folder.path / "calibration.png", diagram)
        notes = data.notes
        if network.weights_report is not None:
            notes += (network.weights_report.describe(),)
        origin = provenance(data, state, verdict.baselines, notes)
        origin = origin.model_copy(update={"unfinished": unfinished})
        spec = model_spec(self.folder.out.stem, data, verdict)
        features = None if unfinished else trained_features(network, self.setup)
        exported = model_graph(network, data)
        extra = {"config.yaml": self.folder.config_yaml()}
        if exported.graph is not None:
            extra[ONNX] = exported.graph
        if features is not None:
            extra[APPLICABILITY] = features.content
        bundle = save_bundle(
            self.folder.out,
            spec.model_copy(
                update={
                    "provenance": origin,
                    "any_chip": exported.any_chip,
                    "applicability": None if features is None else features.spec,
                }
            ),
            _weights(network),
            preview=preview,
            extra=extra,
            overwrite=self.folder.replaces,
        )
        result = TrainingResult(
            model=bundle,
            folder=self.folder.path,
            primary=data.task.primary_score,
            scores=verdict.scores,
            baselines=verdict.baselines,
            history=tuple(state.history),
            notes=(*notes, exported.note),
        )
        self._write_page(result)
        return result

    def _write_page(self, result: TrainingResult) -> None:
        """Write the report with the pictures that the run has drawn."""
        from ..record.trainingpage import training_page

        captions = {
            "curves.png": "Course of the training",
            "preview.png": "Examples from ground that was held out",
            "worst.png": "The largest errors on the validation split",
            "calibration.png": "Reliability: how often what is said to be likely comes true",
        }
        pictures = {}
        for name, caption in captions.items():
            file = self.folder.path / name
            if file.is_file():
                pictures[caption] = file.read_bytes()
        write_bytes(result.report, training_page(result, pictures).encode())

    def _after_epoch(self, state: RunState) -> None:
        primary = self.setup.data.task.primary_score
        try:
            self._write_curves(state)
        except OSError as error:
            log.warning("%s; the training goes on, and tries again after the next epoch", error)
        row = state.history[-1]
        best = "" if state.best_score is None else f", best {state.best_score:.3f} (epoch {state.best_epoch})"
        log.info(
            "epoch %d (%.0f%% of the run): loss %.4f, %s %.3f%s",
            row["epoch"],
            100 * self._share(state),
            row.get("train_loss", float("nan")),
            primary,
            row.get(f"val_{primary}", float("nan")),
            best,
        )

    def _write_curves(self, state: RunState) -> None:
        self.folder.write_history(state.history)
        if state.stopped is not None or self._since_drawn.seconds > _DRAW_SECONDS:
            from ..judging.curves import draw_curves

            primary = self.setup.data.task.primary_score
            draw_curves(state.history, primary, state.best_epoch, self.folder.path / "curves.png")
            self._since_drawn.restart()

    def _share(self, state: RunState) -> float:
        """The share of the budget that is used."""
        return self.setup.budget.share(state.epoch + state.batch / self.setup.plan.steps, state.seconds)

    def _record_weights(self, network: TaskNetwork) -> None:
        """Log what the backbone starts from in one line, and list every tensor in weights.txt."""
        report = network.weights_report
        if report is None:
            return
        log.info("%s", report.describe())
        with atomic_file(self.folder.path / "weights.txt", overwrite=True) as part:
            part.write_text(report.listing(), encoding="utf-8")


def _weights(network: TaskNetwork) -> dict[str, torch.Tensor]:
    return {name: tensor.detach().cpu().contiguous() for name, tensor in network.state_dict().items()}
