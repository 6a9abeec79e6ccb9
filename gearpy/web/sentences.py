"""What a request got wrong, as a sentence for the person who made it."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from gearpy.engine.policy import shown

_INPUT: Final = "Input should be "
_NO_OBJECT: Final = (
    "the body is not read as an object of JSON; send one, with Content-Type: application/json"
)

# Fields that have several forms: of each there is an error, and none says what was meant.
_FORMS: Final = {
    "backoff": "none, exponential, a list of seconds, or an object with some of base_s, factor,"
    " cap_s, jitter",
    "callback": "a URL, or an object with function and data or data_base64",
}
_WORDS: Final = {
    "a valid dictionary": "an object of JSON",
    "a valid dictionary or object to extract fields from": "an object of JSON",
    "a valid list": "a list",
    "a valid integer": "a whole number",
    "a valid number": "a number",
    "a valid string": "text",
    "a valid boolean": "true or false",
}


def sentence(errors: Sequence[Mapping[str, Any]]) -> str:
    """The first of the errors that pydantic found, and how many more fields have some.

    >>> sentence([{"type": "missing", "loc": ("body", "function"), "msg": "Field required"}])
    'the field function is missing'
    """
    first = errors[0]
    others = {_field(each["loc"]) for each in errors} - {_field(first["loc"])}
    text = _one(first)
    return f"{text} (and more is wrong: {', '.join(sorted(others))})" if others else text


def _field(where: Sequence[object]) -> str:
    return str(where[1] if len(where) > 1 else where[0])


def _one(error: Mapping[str, Any]) -> str:
    where: Sequence[object] = error["loc"]
    for place, part in enumerate(where):
        if part in _FORMS:
            return f"{_path(where[: place + 1])} must be {_FORMS[str(part)]}"
    path, message = _path(where), str(error["msg"])
    match error["type"]:
        case "json_invalid":
            why = str(error["ctx"]["error"]).lower()
            return f"the body is no JSON: {why}, at character {where[-1]}"
        case "missing" if len(where) == 1:
            return "the request has no body; it must be an object of JSON"
        case "missing":
            return f"the field {path} is missing"
        case "extra_forbidden":
            return f"{path} is no field that this request takes"
        case "value_error":
            return message.removeprefix("Value error, ")
        case "union_tag_invalid":
            tag, known = shown(error["ctx"]["tag"]), error["ctx"]["expected_tags"]
            return f"the type of {path} is {tag}; it must be one of {known}"
    if len(where) == 1:
        return _NO_OBJECT
    if message.startswith(_INPUT):
        must_be = message.removeprefix(_INPUT).partition(", unable to parse")[0]
        given = "null" if error["input"] is None else shown(error["input"])
        return f"{path} is {given}; it must be {_WORDS.get(must_be, must_be)}"
    return f"{path}: {message}"


def _path(where: Sequence[object]) -> str:
    return ".".join(map(str, where[1:]))
