import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chatbot.errors import SettingError
from chatbot.settings import MAX_SEED, SPECS, Settings, Spec, find_spec, get_value, with_value

NUMBERS = [spec for spec in SPECS if spec.kind in ("float", "int", "seed")]
FLOATS = [spec for spec in SPECS if spec.kind == "float"]
INTS = [spec for spec in SPECS if spec.kind in ("int", "seed")]


def highest(spec: Spec) -> float:
    return MAX_SEED if spec.kind == "seed" else spec.maximum


def by_name(spec: Spec) -> str:
    return spec.name


def test_each_setting_is_described_once() -> None:
    fields = {*Settings.__struct_fields__, *Settings().sampling.__struct_fields__}
    names = [spec.name for spec in SPECS]
    assert len(set(names)) == len(names)
    assert set(names) == fields - {"sampling", "theme", "folders"}


@pytest.mark.parametrize("spec", SPECS, ids=by_name)
def test_defaults_are_allowed(spec: Spec) -> None:
    value = get_value(Settings(), spec.name)
    assert spec.parse(spec.format(value)) == value


@pytest.mark.parametrize("spec", NUMBERS, ids=by_name)
def test_bounds_are_allowed(spec: Spec) -> None:
    for bound in (spec.minimum, highest(spec)):
        text = f"{bound:g}" if spec.kind == "float" else str(int(bound))
        settings = with_value(Settings(), spec.name, f" {text} ")
        assert get_value(settings, spec.name) == bound


@pytest.mark.parametrize("spec", NUMBERS, ids=by_name)
def test_what_lies_outside_is_refused_with_the_range(spec: Spec) -> None:
    step = 0.001 if spec.kind == "float" else 1
    for value in (spec.minimum - step, highest(spec) + step):
        text = repr(value) if spec.kind == "float" else str(int(value))
        with pytest.raises(SettingError) as caught:
            with_value(Settings(), spec.name, text)
        assert spec.label in str(caught.value)
        assert spec.allowed in str(caught.value)


@pytest.mark.parametrize("spec", NUMBERS, ids=by_name)
@pytest.mark.parametrize(
    "text", ["nan", "-nan", "inf", "-inf", "1e999", "one", "1,5", "0x10", "--1", "1 2", "9" * 9999]
)
def test_what_is_no_number_is_refused(spec: Spec, text: str) -> None:
    with pytest.raises(SettingError, match="must be a"):
        spec.parse(text)


@pytest.mark.parametrize("spec", INTS, ids=by_name)
def test_whole_numbers_have_no_fraction(spec: Spec) -> None:
    with pytest.raises(SettingError):
        spec.parse("1.5")


@pytest.mark.parametrize("spec", FLOATS, ids=by_name)
@given(st.data())
def test_numbers_survive_the_round_trip(spec: Spec, data: st.DataObject) -> None:
    value = data.draw(st.floats(spec.minimum, spec.maximum))
    assert spec.parse(spec.format(value)) == value


@pytest.mark.parametrize("spec", INTS, ids=by_name)
@given(st.data())
def test_whole_numbers_survive_the_round_trip(spec: Spec, data: st.DataObject) -> None:
    value = data.draw(st.integers(int(spec.minimum), int(highest(spec))))
    assert spec.parse(spec.format(value)) == value


@given(st.text())
def test_any_text_is_refused_or_lies_in_the_range(text: str) -> None:
    for spec in NUMBERS:
        try:
            value = spec.parse(text)
        except SettingError:
            continue
        assert value is None or (
            isinstance(value, int | float)
            and math.isfinite(value)
            and spec.minimum <= value <= highest(spec)
        )


def test_texts_stay_as_they_are() -> None:
    text = "  two lines,\n  indented "
    assert with_value(Settings(), "system_prompt", text).system_prompt == text


@pytest.mark.parametrize("text", ["", "random", "Random", "none"])
def test_a_random_seed(text: str) -> None:
    settings = with_value(with_value(Settings(), "seed", "7"), "seed", text)
    assert settings.sampling.seed is None
    assert find_spec("seed").format(None) == "random"


def test_choices() -> None:
    assert with_value(Settings(), "precision", " bf16 ").precision == "bf16"
    with pytest.raises(SettingError, match="one of auto, fp32, bf16, fp16"):
        with_value(Settings(), "precision", "fp8")


@pytest.mark.parametrize("name", ["top_p", "top-p", "TOP_P"])
def test_names_are_forgiving(name: str) -> None:
    assert find_spec(name).name == "top_p"


def test_an_unknown_name_is_answered_with_where_the_known_ones_are() -> None:
    with pytest.raises(SettingError, match="/set lists them") as caught:
        find_spec("\x1b[2J" + "x" * 10_000)
    assert len(str(caught.value)) < 150
    assert "\x1b" not in str(caught.value)


def test_settings_are_replaced_never_changed() -> None:
    before = Settings()
    after = with_value(before, "temperature", "0.2")
    assert (before.sampling.temperature, after.sampling.temperature) == (0.3, 0.2)
