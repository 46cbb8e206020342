"""Rules in the tags of outputs: what is written is what is read."""

from __future__ import annotations

import pytest

from eo_dl.core.chiprules import ChipClassRule, OneObjectRule
from eo_dl.io.outputtags import class_rule_tags, one_object_tags, read_class_rule, read_one_object_rule


@pytest.mark.parametrize("rule", [ChipClassRule(True, 0.25), ChipClassRule(False, 1.0)])
def test_the_rule_of_whole_chips_comes_back(rule: ChipClassRule) -> None:
    assert read_class_rule({"scene": "a.tif"} | class_rule_tags(rule)) == rule


@pytest.mark.parametrize("rule", [OneObjectRule(), OneObjectRule("ignore", 0.25)])
def test_the_rule_of_one_object_comes_back(rule: OneObjectRule) -> None:
    assert read_one_object_rule({"scene": "a.tif"} | one_object_tags(rule)) == rule


def test_files_without_tags_have_no_rule() -> None:
    assert read_class_rule({}) is None and read_one_object_rule({"min_visible": "0.5"}) is None
