"""A model card in the form of the Coalition for Health AI: Applied Model Card, XML schema v0.2.

The schema is at https://mc.chai.org/v0.2/schema.xsd (github.com/coalition-for-health-ai/mc-schema). It wants a text
in every place; where this project records none, the text says so.
"""

import json
import re
from collections.abc import Iterable, Mapping
from xml.etree import ElementTree

from lesion_core.evaluation.card import chai_metrics, words
from lesion_core.evaluation.card.content import ModelCard
from lesion_core.evaluation.card.statements import NO_DECISION, WRITTEN_BEFORE
from lesion_core.fields.table import FIELDS
from lesion_core.serving.wording import METADATA, SUBTITLE, brief_disclaimer

NAMESPACE = "https://mc.chai.org/v0.2/schema.xsd"
# What XML 1.0 allows (section 2.2, production Char); the library escapes signs, but lets others through.
_FORBIDDEN = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_NOT_RECORDED = "Not recorded."
_REFERENCES = (
    "Mitchell et al. 2019, Model Cards for Model Reporting, arXiv:1810.03993. "
    "Daneshjou et al. 2022, CLEAR Derm, doi:10.1001/jamadermatol.2021.4915. "
    "Collins et al. 2024, TRIPOD+AI, doi:10.1136/bmj-2023-078378."
)
Tree = Mapping[str, object]


def write_chai(card: ModelCard) -> str:
    """Return the card as an XML document; what XML forbids in a text is replaced by U+FFFD."""
    root = ElementTree.Element(f"{{{NAMESPACE}}}AppliedModelCard")
    _fill(root, _content(card))
    ElementTree.indent(root)
    body = ElementTree.tostring(root, encoding="unicode", default_namespace=NAMESPACE)
    return f'<?xml version="1.0" encoding="UTF-8"?>\n{body}\n'


def _fill(parent: ElementTree.Element, content: Tree) -> None:
    """Add children: a text (none is left empty), a tree of them, or several under one name."""
    for name, value in content.items():
        for one in value if isinstance(value, tuple) else (value,):
            child = ElementTree.SubElement(parent, f"{{{NAMESPACE}}}{name}")
            if isinstance(one, Mapping):
                _fill(child, one)
            else:
                child.text = _FORBIDDEN.sub("\ufffd", str(one)) or _NOT_RECORDED


def _content(card: ModelCard) -> Tree:
    return {
        "BasicInfo": {
            "ModelName": card.identity.model_id,
            "ModelDeveloper": _NOT_RECORDED,
            "DeveloperContact": _contact(card),
        },
        "ReleaseInfo": _release(card),
        "ModelSummary": {
            "Summary": " ".join((*_mark(card), brief_disclaimer(), words.opening(card))),
            "Keywords": {"Keyword": ("dermoscopy", "skin lesion", *(one.name for one in card.classes))},
        },
        "UsesAndDirections": {
            "IntendedUseAndWorkflow": card.use.intended,
            "PrimaryIntendedUsers": card.use.users,
            "HowToUse": f"{card.use.how} {card.use.warning}",
            "TargetedPatientPopulation": card.use.patients,
            "CautionedOutOfScopeSettings": _joined(card.use.out_of_scope),
        },
        "Warnings": {
            "KnownRisksAndLimitations": _joined((*_mark(card), *card.limits, *_withdrawn(card))),
            "KnownBiasesOrEthicalConsiderations": _joined(card.data.absences),
            "ClinicalRiskLevel": "Not assessed by any authority. Malignant lesions are among the classes: one "
            "that is taken for benign is treated late.",
        },
        "TrustIngredients": {"AISystemFacts": _facts(card), "TransparencyInformation": _transparency(card)},
        "KeyMetrics": chai_metrics.key_metrics(card),
        "Resources": {
            "EvaluationReferences": "Items of CLEAR Derm and TRIPOD+AI: docs/model-card.md of the project.",
            "PeerReviewedPublications": "None recorded on this model.",
            "PatientConsentOrDisclosure": "Not recorded here: consent was the matter of those who gave the images.",
        },
        "Bibliography": _REFERENCES,
    }


def _mark(card: ModelCard) -> tuple[str, ...]:
    return (words.SYNTHETIC,) if card.identity.synthetic else ()


def _joined(lines: Iterable[str]) -> str:
    return "\n".join(lines)


def _contact(card: ModelCard) -> str:
    entry = card.approval
    return (
        f"Approver of this version: {entry.who}" if entry else f"{_NOT_RECORDED} Whoever approves it answers for it."
    )


def _release(card: ModelCard) -> Tree:
    entry = card.approval
    stage = f"Approved by {entry.who}: {entry.why}" if entry else _undecided(card)
    return {
        "ReleaseStage": f"Research use only. {stage}",
        "ReleaseDate": entry.at if entry else "Not released.",
        "ReleaseVersion": f"{card.identity.model_id}, sha256 {card.identity.sha256}",
        "GlobalAvailability": f"For research, under no wider terms than the licence {card.licence}.",
        "RegulatoryApproval": "None recorded. Not a medical device.",
    }


def _undecided(card: ModelCard) -> str:
    if card.history is None:
        return WRITTEN_BEFORE
    return f"Not approved now. Last decision: {card.history[-1].what}." if card.history else NO_DECISION


def _withdrawn(card: ModelCard) -> tuple[str, ...]:
    return (words.withdrawn(card.withdrawal),) if card.withdrawal else ()


def _facts(card: ModelCard) -> Tree:
    one = card.identity
    models = [text for text in (card.training.start_from, card.training.teacher) if text]
    return {
        "OutcomesAndOutputs": _joined(f"{entry.diagnosis}: {entry.name} ({entry.nature})" for entry in card.classes),
        "ModelType": f"Convolutional network, backbone {one.backbone}, fusion {one.fusion}; averaged over "
        f"{one.n_networks} networks and {one.n_views} views.",
        "FoundationModels": f"Weights that the training began with: {one.start_weights}. "
        f"Parent models: {', '.join(models) or 'none'}.",
        "InputDataSource": f"Dermatoscope, and what the clinician knows: {METADATA}.",
        "OutputAndInputDataTypes": f"{SUBTITLE} Image of {one.size_px} × {one.size_px} pixels; metadata: "
        f"{', '.join(field.name for field in FIELDS) if one.fusion != 'none' else 'not used'}.",
        "DevelopmentDataCharacterization": _joined(
            (
                words.training(card),
                f"{card.data.people.title}, {card.data.dataset_id}: {card.data.people.note}",
                *(f"{name}: {value}" for name, value in card.data.people.rows),
                words.missing(card),
            )
        ),
        "BiasMitigationApproaches": "Rare classes: "
        + (", ".join(f"{name} {value}" for name, value in one.imbalance.items()) or "not recorded")
        + ". None for groups of people.",
        "OngoingMaintenance": "Images that the archive withdraws are named where the card is shown. "
        "Each training makes a new version with a card of its own.",
        "Transparency": f"Licence {card.licence}. {words.seeds(card)} "
        + json.dumps({what: [name, sha256] for what, name, sha256 in words.provenance(card)}),
    }


def _transparency(card: ModelCard) -> Tree:
    return {
        "FundingSource": _NOT_RECORDED,
        "ThirdPartyInformation": f"Images by: {'; '.join(card.attributions) or 'no attribution is recorded'}",
        "StakeholdersConsulted": _NOT_RECORDED,
    }
