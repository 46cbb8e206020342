"""How far a prediction can be trusted: calibration, certainty, prediction sets, applicability. numpy only."""
