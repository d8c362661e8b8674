"""A record of an answer without pixels and without identity, for monitoring; off unless it is asked for."""

import json
import uuid
from datetime import datetime

from lesion_core.errors import LesionError
from lesion_core.fields.table import FIELDS
from lesion_core.keys import audit_key
from lesion_core.serving.predictor import Answer
from lesion_core.stores.protocol import Store
from lesion_core.types import JsonDict, StoreKey


def describe_answer(answer: Answer) -> JsonDict:
    """Return what is kept of an answer.

    A number is kept as the lower end of its band, the age as the first year of its decade (90 stands for 90 and
    above), because an exact age together with site and time can single a person out. There is no digest of the image:
    it would recognise a known image.
    """
    return {
        "model": answer.model_id,
        "probabilities": {str(item.diagnosis): round(item.probability, 6) for item in answer.classes},
        **dict(field.audited(getattr(answer.metadata, field.name)) for field in FIELDS),
        "notes": [note.code for note in answer.notes],
        "out_of_distribution": None if answer.out_of_distribution is None else answer.out_of_distribution.flagged,
    }


def record_answer(store: Store, answer: Answer, *, now: datetime) -> StoreKey:
    """Keep a record of ``answer`` under the day of ``now``, to the hour, and return its key.

    Raises:
        StoreError: The store does not take it.
    """
    record = {**describe_answer(answer), "hour": now.strftime("%Y-%m-%dT%H:00Z")}
    key = audit_key(now.strftime("%Y-%m-%d"), f"{uuid.uuid4().hex}.json")
    store.create(key, json.dumps(record, sort_keys=True).encode())
    return key


def try_record(store: Store, answer: Answer, *, now: datetime) -> LesionError | None:
    """Keep a record if the store takes it; an answer must not fail because its record does. Return the failure."""
    try:
        record_answer(store, answer, now=now)
    except LesionError as error:
        return error
    return None
