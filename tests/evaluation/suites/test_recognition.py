"""Recognition over prepared data sets and manifests."""

import json
from pathlib import Path
from typing import Any

import pytest

from data_pipeline.dataset import DatasetWriter
from evaluation.suites import open_suite
from evaluation.suites.recognition import emotion_in
from tests.evaluation.suites.asking import WAV, summed, text_answer
