"""The table of lessons, and how it is dealt out over a batch."""

from collections import Counter
from dataclasses import fields

import pytest
import torch

from simulator.models.training.lessons import (
    BOTH_ENDS,
    BOTH_ENDS_OWN_PSNR,
    DENOISE_TRUE,
    PERCEPTION_END_ONLY,
    PSNR_END,
    PSNR_END_ONLY,
    Lesson,
    Lessons,
    draw_lessons,
)


def dealt(lessons: Lessons) -> list[Lesson]:
    columns = [getattr(lessons, one.name).tolist() for one in fields(Lesson)]
    return [Lesson(*row) for row in zip(*columns, strict=True)]


@pytest.mark.parametrize(
    ("end", "tables"),
    [("both", {BOTH_ENDS, BOTH_ENDS_OWN_PSNR}), ("psnr", {PSNR_END_ONLY}), ("perception", {PERCEPTION_END_ONLY})],
)
def test_eight_images_are_a_table_from_a_random_place_on(end, tables):
    seen, starts = set(), set()
    for seed in range(40):
        drawn = dealt(draw_lessons(8, end, torch.Generator().manual_seed(seed)))
        (table,) = {one for one in tables if Counter(one) == Counter(drawn)}
        seen.add(table)
        starts.add(next(first for first in range(8) if [*table[first:], *table[:first]] == drawn))
    assert seen == tables
    assert len(starts) > 4 or end == "psnr"
    assert Counter(BOTH_ENDS)[PSNR_END] == 3
    assert not any(lesson.from_zeros for lesson in PERCEPTION_END_ONLY)
    assert DENOISE_TRUE not in PSNR_END_ONLY  # at this end the true x_n are noiseless


def test_larger_batches_repeat_the_table():
    lessons = draw_lessons(20, "both", torch.Generator().manual_seed(3))
    drawn = dealt(lessons)
    assert drawn[8:16] == drawn[:8]
    assert drawn[16:] == drawn[:4]
    assert dealt(lessons[4:9]) == drawn[4:9]
