"""`TrainingRun`: one run, from its first step to its model."""

from __future__ import annotations

import logging
from dataclasses import dataclass, field
from typing import Any

import safetensors.torch

from ...bundle import Bundle, save_bundle
from ...core.progress import OnProgress, silent
from ...errors import Cancelled
from ...io.atomic import atomic_file
from ...networks.tasknetwork import TaskNetwork
from ..judging.curves import draw_curves
from ..judging.judge import Judge
from ..judging.preview import draw_preview
from ..judging.scoring import ChipScoring
from ..record.results import TrainingResult
from ..record.runfolder import RunFolder
from ..record.runstate import Clock, RunState
from ..setup.loading import fixed_batches, train_batches
from ..setup.runsetup import RunSetup
from .modelrecord import model_spec
from .stopping import INTERRUPTED, StopRequest, stop_on_signals

log = logging.getLogger(__name__)

_DRAW_SECONDS = 20.0  # curves of a run whose epochs take less are not drawn after each


@dataclass(frozen=True)
class TrainingRun:
    """One run. With several processes all of them fit, and the first one alone finishes."""

    setup: RunSetup
    folder: RunFolder
    on_progress: OnProgress
    _since_drawn: Clock = field(default_factory=Clock, repr=False, compare=False)

    def run(self, network: TaskNetwork, restored: dict[str, Any] | None) -> RunState:
        """Train, from the start or from a checkpoint; `network` ends with its best weights."""
        self._say_weights(network)
        state = RunState(self.setup.config.epochs)
        if restored is not None:
            state = RunState.from_dict(restored["state"])
            network.load_state_dict(restored["network"])
            log.info("continuing after step %d (epoch %d)", state.step, state.epoch + 1)
        if state.stopped is None or self.setup.processes.world > 1:
            self._fit(network, state, restored)
        if self.setup.processes.rank:
            return state
        log.info("stopped: %s; best epoch %d", state.stopped, state.best_epoch)
        with atomic_file(self.folder.path / "last.safetensors", overwrite=True) as part:
            safetensors.torch.save_file(_plain(network), part)
        self._take_best(network, state)
        return state

    def finish(self, state: RunState, network: TaskNetwork) -> TrainingResult:
        """Score, draw, and write the model."""
        run = self._write(state, network)
        self.folder.finish()
        return run

    def _write(self, state: RunState, network: TaskNetwork, unfinished: str = "") -> TrainingResult:
        data = self.setup.data
        judge = Judge(self.setup)
        if unfinished:  # somebody waits for it: neither the test chips nor the baselines
            verdict = judge.verdict(network, ("val",), baselines=False)
        else:
            verdict = judge.verdict(network, baselines=self.setup.config.baselines)
        picture = draw_preview(verdict.preview, data.classes)
        (self.folder.path / "preview.png").write_bytes(picture)
        if verdict.worst:
            (self.folder.path / "worst.png").write_bytes(draw_preview(verdict.worst, data.classes))
        notes = (*data.notes, *self._notes_of(network))
        spec = model_spec(data, state, verdict, notes, self.folder.out.stem, unfinished)
        extra = {"config.yaml": self.folder.config_yaml()}
        bundle: Bundle = save_bundle(
            self.folder.out,
            spec,
            _plain(network),
            preview=picture,
            extra=extra,
            overwrite=self.folder.replaces,
        )
        return TrainingResult(
            bundle,
            self.folder.path,
            data.task.primary_score,
            verdict.scores,
            verdict.baselines,
            tuple(state.history),
            notes,
        )

    def _fit(self, network: TaskNetwork, state: RunState, restored: dict[str, Any] | None) -> None:
        with stop_on_signals() as stop:
            try:
                self._fit_until(stop, network, state, restored)
            except Cancelled as error:
                if stop.what != INTERRUPTED or state.best_epoch is None or self.setup.processes.rank:
                    raise
                raise Cancelled(f"{error}; {self._keep_best(network, state)}") from error

    def _fit_until(
        self, stop: StopRequest, network: TaskNetwork, state: RunState, restored: dict[str, Any] | None
    ) -> None:
        # Lazy: Lightning takes seconds to load, and is not needed to say that an input is wrong.
        from .fit import fit
        from .lightningmodule import LoopInputs, TrainingModule

        setup, data, processes = self.setup, self.setup.data, self.setup.processes
        judge = Judge(self.setup)
        parts = LoopInputs(
            config=setup.config,
            plan=setup.plan,
            state=state,
            checkpoints=self.folder.checkpoints,
            new_scoring=lambda: ChipScoring(data.task, data.codec),
            on_progress=silent if processes.rank else self.on_progress,
            on_epoch=self._after_epoch,
            stop=stop,
            primary=data.task.primary_score,
            picture=judge.picture,
        )
        train = train_batches(
            data.dataset("train", augmented=True),
            setup.plan,
            lambda: (state.epoch, state.batch),
            setup.workers,
            processes.rank,
        )
        val = (
            fixed_batches(
                data.dataset("val"), data.batch_size, setup.workers, processes.rank, processes.world
            )
            if data.records["val"]
            else None
        )
        fit(
            TrainingModule(network, parts, restored),
            train,
            val,
            folder=self.folder.path,
            device=setup.device,
            precision=setup.precision,
            processes=processes,
            find_unused=network.may_skip_parameters
            or setup.config.freeze != "none"
            or "find_unused" in setup.config.strategy,
        )

    def _keep_best(self, network: TaskNetwork, state: RunState) -> str:
        """The best weights so far as a model that says so; the run itself can still be continued."""
        log.info("keeping the best model so far; Ctrl-C again leaves at once")
        self._take_best(network, state)
        unfinished = f"stopped by the person in epoch {state.epoch + 1} of {state.planned_epochs}; these are the weights of epoch {state.best_epoch}, the best so far"
        run = self._write(state, network, unfinished)
        return f"{run.model.path} holds the best weights so far (epoch {state.best_epoch}), and says that it is unfinished"

    def _take_best(self, network: TaskNetwork, state: RunState) -> None:
        assert state.best_epoch is not None
        network.load_state_dict(self.folder.checkpoints.load_best(state.best_epoch))
        network.to(self.setup.device)

    def _after_epoch(self, state: RunState) -> None:
        primary = self.setup.data.task.primary_score
        row = state.history[-1]
        self.folder.write_history(state.history)
        if state.stopped is not None or self._since_drawn.seconds > _DRAW_SECONDS:
            draw_curves(state.history, primary, state.best_epoch, self.folder.path / "curves.png")
            self._since_drawn.restart()
        best = "" if state.best_score is None else f", best {state.best_score:.3f} (epoch {state.best_epoch})"
        score = row.get(f"val_{primary}", float("nan"))
        log.info(
            "epoch %d/%d: loss %.4f, %s %.3f%s",
            row["epoch"],
            state.planned_epochs,
            row.get("train_loss", float("nan")),
            primary,
            score,
            best,
        )

    def _say_weights(self, network: TaskNetwork) -> None:
        """What the backbone starts from: a line for the person, every tensor by name for the folder."""
        report = network.weights_report
        if report is None or self.setup.processes.rank:
            return
        log.info("%s", report.describe())
        with atomic_file(self.folder.path / "weights.txt", overwrite=True) as part:
            part.write_text(report.listing(), encoding="utf-8")

    def _notes_of(self, network: TaskNetwork) -> tuple[str, ...]:
        report = getattr(network, "weights_report", None)
        return (report.describe(),) if report is not None else ()


def _plain(network: TaskNetwork) -> dict[str, Any]:
    return {name: tensor.detach().cpu().contiguous() for name, tensor in network.state_dict().items()}
