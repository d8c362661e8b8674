"""Misclassified images as the report's page shows them."""

from collections.abc import Iterable

from lesion_core.evaluation.cases.gallery import CaseGallery, Confusion, ShownCase
from lesion_core.evaluation.cases.thumbnails import Thumbnail
from lesion_core.evaluation.rendering.page import Picture, ShownPair
from lesion_core.evaluation.rendering.page import ShownCase as PageCase
from lesion_core.labels import CLASS_NAMES, CLASS_ORDER
from lesion_core.serving.wording import describe_patient

_MAPS = {"evidence": "evidence", "occlusion": "occlusion (approximate)"}
_MOST_NAMED = 3  # classes whose probability is said


def shown_pairs(gallery: CaseGallery) -> tuple[ShownPair, ...]:
    """Return the confusions of a gallery, in its order, as pictures and lines of text."""
    return tuple(_pair(one) for one in gallery.confusions)


def _pair(one: Confusion) -> ShownPair:
    return ShownPair(
        title=f"{CLASS_NAMES[one.true]} taken for {CLASS_NAMES[one.predicted].lower()}",
        label=f"{one.true} as {one.predicted}",
        n=one.n_images,
        n_left_out=one.n_left_out,
        cases=tuple(PageCase(tuple(_pictures(case)), tuple(_lines(case))) for case in one.cases),
    )


def _pictures(case: ShownCase) -> Iterable[Picture]:
    if case.picture is not None:
        yield _picture(case.picture, case.isic_id)
    if case.maps is not None:
        kind = _MAPS[case.maps.kind]
        yield _picture(case.maps.predicted, f"{kind}: {case.predicted}")
        yield _picture(case.maps.true, f"{kind}: {case.true}")
    for one in case.neighbours:
        if one.picture is not None:
            yield _picture(one.picture, f"near: {one.neighbour.diagnosis} {one.neighbour.similarity:.2f}")


def _picture(one: Thumbnail, caption: str) -> Picture:
    return Picture(uri=f"data:image/jpeg;base64,{one.jpeg}", width=one.side_px, caption=caption)


def _lines(case: ShownCase) -> Iterable[str]:
    ranked = sorted(zip(case.probabilities, CLASS_ORDER, strict=True), reverse=True)[:_MOST_NAMED]
    named = {name: probability for probability, name in ranked} | {
        case.true: case.probabilities[CLASS_ORDER.index(case.true)]
    }
    yield f"{case.isic_id}: {', '.join(f'{name} {value:.2f}' for name, value in named.items())}"
    if case.conformal_set is not None:
        yield f"Cannot be excluded: {', '.join(case.conformal_set) or 'nothing'}."
    patient = describe_patient(case.metadata)
    yield f"{patient[:1].upper()}{patient[1:]}. Confirmed by: {case.confirm_type or 'not recorded'}."
    if case.neighbours:
        yield f"Nearest training images: {', '.join(one.neighbour.in_words() for one in case.neighbours)}."
    credits = dict.fromkeys([case.credit, *(one.credit for one in case.neighbours if one.picture is not None)])
    if said := "; ".join(credit for credit in credits if credit):
        yield f"Images: {said}"
