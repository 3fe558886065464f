"""A template is rendered with exactly its variables, or what is wrong is said."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tuma_producer import InvalidSend, Send
from tuma_producer.templates import Template

SEND = {"account": "lisoloo-main", "to": "+243990000001"}


def test_each_place_is_filled() -> None:
    template = Template.parse("{{name}}, your code is {{ code }}. {{name}}!")
    assert template.names == ("name", "code")
    assert template.render({"name": "Ada", "code": "12"}) == "Ada, your code is 12. Ada!"


def test_what_a_variable_holds_is_never_read_as_a_place() -> None:
    assert Template.parse("{{a}}{{b}}").render({"a": "{{b}}", "b": "\\1"}) == "{{b}}\\1"


@pytest.mark.parametrize(
    ("variables", "rule"),
    [
        ({}, "must give 'name', 'code'"),
        ({"name": "Ada"}, "must give 'code'"),
        ({"name": "Ada", "code": "12", "cod": "13"}, "has 'cod', for which the template has no place"),
    ],
)
def test_missing_and_unknown_variables_are_named(variables: dict[str, str], rule: str) -> None:
    with pytest.raises(ValueError, match=rule):
        Template.parse("{{name}} {{code}}").render(variables)


@pytest.mark.parametrize("text", ["{{}}", "{{ }}", "Hello {{name", "name}}", "{{1st}}", "{{a-b}}", "{{{{a}}}}", "", "  "])
def test_what_is_no_template_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"has two braces|is empty"):
        Template.parse(text)


@given(st.lists(st.text().filter(lambda text: "{" not in text and "}" not in text), min_size=2), st.text())
def test_the_text_between_the_places_stays(parts: list[str], value: str) -> None:
    assert Template.parse("{{x}}".join(parts)).render({"x": value}) == value.join(parts)


@pytest.mark.parametrize(
    ("fields", "error"),
    [
        ({}, "message: must be given, or a template_id"),
        ({"message": "hello", "template_id": "code"}, "message: cannot go with a template_id"),
        ({"message": "hello", "variables": {"a": "b"}}, "variables: need the template_id"),
        ({"template_id": "code", "variables": {"a": 1}}, "variables: "),
        ({"template_id": "no name"}, "template_id: "),
    ],
)
def test_a_send_has_a_text_or_a_template(fields: dict[str, object], error: str) -> None:
    with pytest.raises(InvalidSend) as caught:
        Send(**SEND, **fields)
    assert str(caught.value).startswith(error)
