from pathlib import Path

import numpy as np
import pytest

from lesion_core.errors import ArtifactCorrupt
from lesion_core.evaluation.cases.artefacts import flag_images
from lesion_core.evaluation.cases.facts import read_facts
from lesion_core.progress import Progress
from lesion_core.serving.quality import CODES, check_quality
from lesion_core.stores.local import LocalStore
from tests.core.dataset.snapshots import draw, encode
from tests.core.evaluation.cases.tables import facts_for, predictions_of, sure_of
from tests.core.evaluation.conftest import Evaluated


def test_every_image_has_the_notes_that_the_page_would_give(evaluated: Evaluated) -> None:
    ids = evaluated.dataset.split("test")["isic_id"].to_list()[:6]
    heard: list[Progress] = []
    flags = flag_images(
        evaluated.store, read_facts(evaluated.dataset.folder), ids, size_px=100, on_progress=heard.append
    )
    for isic_id in ids:
        notes = {note.code for note in check_quality(draw(int(isic_id[5:])), size_px=100)}
        assert {code for code in CODES if flags.at[isic_id, code] == 1} == notes
    assert flags["small"].all()
    assert [one.done for one in heard] == [1, 2, 3, 4, 5, 6]


def test_an_image_that_is_gone_is_unknown_and_one_that_changed_is_refused(tmp_path: Path) -> None:
    table = predictions_of(np.array([0]), sure_of(np.array([0])))
    facts, store = facts_for(table), LocalStore(tmp_path)
    assert flag_images(store, facts, ["ISIC_0000000"], size_px=64).isna().all(axis=None)
    store.write("archive/ISIC_0000000", encode(draw(1)))
    with pytest.raises(ArtifactCorrupt, match="ISIC_0000000"):
        flag_images(store, facts, ["ISIC_0000000"], size_px=64)


def test_every_note_has_its_code_in_the_list() -> None:
    plain = np.full((40, 40, 3), (200, 150, 130), np.uint8)
    rim = draw(2, 300, 300)
    rim[:40, :40] = rim[:40, -40:] = rim[-40:, :40] = rim[-40:, -40:] = 0
    smooth = np.repeat(np.linspace(90, 220, 300).astype(np.uint8)[None, :, None], 300, axis=0)
    images = [plain, plain // 8, plain // 8 + 225, rim, np.repeat(smooth, 3, axis=2)]
    found = {note.code for image in images for note in check_quality(image, size_px=64)}
    assert found == set(CODES)
