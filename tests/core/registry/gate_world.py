"""A small store in which the gate decides: its models, its reports, and how a decision is read."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from lesion_core.dataset.records import OpenDataset
from lesion_core.evaluation.analysis.out_of_distribution import FalseAlarms
from lesion_core.refs import DatasetRef, ModelRef, ReportRef
from lesion_core.registry.verdicts import GateCheck, GateDecision
from lesion_core.stores.local import LocalStore
from tests.core.evaluation.worlds import publish_model, publish_report, right

Answer = Callable[[np.ndarray], np.ndarray]


@dataclass
class World:
    store: LocalStore
    dataset: OpenDataset
    place: Path
    number: int = 0

    def model(self, dataset: DatasetRef | None = None, **changes: object) -> ModelRef:
        self.number += 1
        return publish_model(self.store, dataset or self.dataset.ref, self.place, seed=self.number, **changes)  # type: ignore[arg-type]

    def report(
        self,
        model: ModelRef,
        answer: Answer = right,
        dataset: OpenDataset | None = None,
        flags: FalseAlarms | None = None,
    ) -> ReportRef:
        self.number += 1
        measured = dataset or self.dataset
        return publish_report(self.store, model, measured, self.place, answer, seed=self.number, flags=flags)


def check_of(decision: GateDecision, name: str) -> GateCheck:
    return next(check for check in decision.checks if name in check.name)


def failed(decision: GateDecision) -> list[str]:
    return [check.name for check in decision.checks if not check.passed]
