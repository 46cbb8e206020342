"""One command's voice, used from another program."""

from __future__ import annotations

import logging

import pytest

from eo_dl_cli.reporter import Reporter


def test_a_command_leaves_the_logging_of_the_program_that_calls_it(caplog: pytest.LogCaptureFixture) -> None:
    logger = logging.getLogger("eo_dl")
    before = (logger.level, logger.propagate, list(logger.handlers))
    with Reporter("none", logging.ERROR, as_json=False):
        logging.getLogger("eo_dl.chips").warning("inside")
    assert (logger.level, logger.propagate, list(logger.handlers)) == before
    logging.getLogger("eo_dl.chips").warning("afterwards")
    assert caplog.messages == ["afterwards"], "the command's own lines are its own"
