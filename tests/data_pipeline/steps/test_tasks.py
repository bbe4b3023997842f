from typing import get_args

import pytest

from data_pipeline.steps.tasks import TASKS, Task
from data_pipeline.steps.tokenise import TokeniseConfig


def test_every_task_says_what_it_needs() -> None:
    assert set(TASKS) == set(get_args(Task))


def test_an_unknown_task_is_refused() -> None:
    with pytest.raises(ValueError, match="task is 'translation', expected one of conversation, transcription"):
        TokeniseConfig(task="translation")  # type: ignore[arg-type]
