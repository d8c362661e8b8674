import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from lesion_core.errors import ConfigError
from lesion_core.isic.query import parse_query

ROWS = [
    {"isic_id": "ISIC_0000001", "diagnosis_3": "Nevus", "sex": "male", "age_approx": "20"},
    {"isic_id": "ISIC_0000002", "diagnosis_3": "Basal cell carcinoma", "sex": "female", "age_approx": "40"},
    {"isic_id": "ISIC_0000003", "diagnosis_3": "Melanoma, NOS", "sex": "female", "mel_thick_mm": "0.45"},
    {
        "isic_id": "ISIC_0000004",
        "diagnosis_2": "Malignant melanocytic proliferations (Melanoma)",
        "mel_ulcer": "True",
    },
    {"isic_id": "ISIC_0000005", "diagnosis_3": "Melanoma in situ", "age_approx": "unknown"},
]


def matches(query: str) -> str:
    """Return the last digits of the ids that match."""
    condition = parse_query(query)
    return "".join(row["isic_id"][-1] for row in ROWS if condition(row))


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("", "12345"),
        ("   ", "12345"),
        ("sex:male", "1"),
        ("sex:Male", ""),
        ("sex:*", "123"),
        ("-sex:*", "45"),
        ("-sex:female", "145"),  # a negation matches what lacks the field
        ('diagnosis_3:"Basal cell carcinoma"', "2"),
        ('diagnosis_2:"Malignant melanocytic proliferations (Melanoma)"', "4"),
        ("diagnosis_3:Melanoma*", "35"),
        ('diagnosis_3:"Melanoma, *"', "3"),
        ("diagnosis_3:*carcinoma", "2"),
        ("diagnosis_3:*cell*", ""),
        ("age_approx:40", "2"),
        ("age_approx:[20 TO 40]", "12"),
        ("age_approx:{20 TO 40]", "2"),
        ("age_approx:[20 TO 40}", "1"),
        ("age_approx:[* TO 20]", "1"),
        ("-age_approx:[* TO *]", "345"),
        ("mel_thick_mm:[0.4 TO 0.5]", "3"),
        ("mel_ulcer:true", "4"),
        ("mel_ulcer:*", "4"),
        ("sex:female age_approx:40", "2"),
        ("sex:female AND age_approx:40", "2"),
        ("sex:male OR age_approx:40", "12"),
        ("sex:male OR sex:female AND age_approx:40", "12"),  # AND binds tighter
        ("(sex:male OR sex:female) AND age_approx:40", "2"),
        ("(sex:male)(age_approx:20)", "1"),
        ("isic_id:ISIC_0000001 OR isic_id:ISIC_0000005", "15"),
        ("-sex:* -diagnosis_3:*", "4"),
    ],
)
def test_a_query_selects(query: str, expected: str) -> None:
    assert matches(query) == expected


@pytest.mark.parametrize(
    "query",
    [
        "Nevus",
        "NOT sex:male",
        "diagnosis_3:'Nevus'",
        "diagnosis_3:Basal cell carcinoma",
        'diagnosis_3:"Nevus',
        "sex:",
        "sex: male",
        "sex:male AND",
        "AND sex:male",
        "OR",
        "(sex:male",
        "sex:male)",
        "-(sex:male)",
        "sex:male or sex:female",
        "anatom_site_general:*torso",
        "pixels_x:100",
        "acquisition_day:3",
        "age_approx:old",
        "age_approx:[20 TO]",
        "sex:[1 TO 2]",
        "mel_ulcer:yes",
        "(" * 200 + "sex:male" + ")" * 200,
    ],
)
def test_anything_else_is_refused(query: str) -> None:
    with pytest.raises(ConfigError):
        parse_query(query)


@given(st.text(alphabet=st.sampled_from('sex:maleANDOR()-*"[]{} TO0123,.'), max_size=60))
@example("sex:male" + "\0")
def test_no_text_breaks_the_parser(text: str) -> None:
    try:
        condition = parse_query(text)
    except ConfigError:
        return
    assert all(condition(row) in (True, False) for row in ROWS)


CONDITIONS = st.sampled_from(["sex:male", "sex:female", "sex:*", "diagnosis_3:Mel*", "age_approx:[20 TO 30]"])


@given(CONDITIONS, CONDITIONS)
def test_connectives_obey_their_laws(first: str, second: str) -> None:
    one, other = set(matches(first)), set(matches(second))
    everything = set(matches(""))
    assert set(matches(f"{first} AND {second}")) == one & other
    assert set(matches(f"{first} OR {second}")) == one | other
    assert set(matches(f"-{first}")) == everything - one
