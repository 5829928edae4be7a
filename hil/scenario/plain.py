"""Pydantic's complaints in the words of a YAML file."""

from pydantic_core import ErrorDetails

_WANTED = {
    "dict_type": "write a map",
    "model_type": "write a map",
    "list_type": "write a list",
    "string_type": "write a text",
    "int_type": "write a whole number",
    "int_parsing": "write a whole number",
    "int_from_float": "write a whole number",
    "float_type": "write a number",
    "float_parsing": "write a number",
    "bool_type": "write true or false",
    "bool_parsing": "write true or false",
}


def plain(issue: ErrorDetails) -> str:
    """What is wrong with a value, and what to write."""
    if issue["type"] in _WANTED:
        return f"{_WANTED[issue['type']]}, not {_shown(issue['input'])}"
    return issue["msg"].removeprefix("Value error, ")


def _shown(value: object) -> str:
    if value is None:
        return "nothing"
    text = repr(value)
    return text if len(text) <= 40 else f"{text[:39]}..."
