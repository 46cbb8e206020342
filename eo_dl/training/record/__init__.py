"""What a run keeps on disk: checkpoints, its folder, its state, its provenance."""
