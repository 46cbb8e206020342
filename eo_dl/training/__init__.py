"""Training: from a chip set to a model, scored on ground that it has not seen.

    train(chips, ...)                            train.py
      prepare_run -> RunSetup                    setup/    the chips as the task sees them (TaskData),
      |                                                    device, precision, processes; checks all input,
      |                                                    writes nothing
      RunFolder                                  record/   NAME.run/: configuration, history, checkpoints
      |
    TrainingRun(setup, folder)                   loop/     one run, from its first step to its model
      fit(TrainingModule)                                  Lightning's loop; RunState says where the run is
      Judge -> Verdict                           judging/  thresholds, scores, baselines, pictures
      |
    NAME.eodl and TrainingResult                 record/   the model, its scores beside those of the baselines

Before a training: `dryrun`, `findlr`, `modelview`. Several of them: `folds`. A corridor imports those before
it in this list: setup, record, judging, loop.
"""
