"""How the arguments and the result of one function travel: as JSON, checked by its annotations.

The payload is an object with a member for each argument that was given, under its name, so that a
client in any language can submit the job: ``{"path": "a.jpg", "width": 200}``.  What the function
takes beyond its named parameters (``*args``, ``**kwargs``) is a list and an object under their
names.  Does no I/O.
"""

import contextlib
import inspect
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from pathlib import PurePath
from types import GenericAlias
from typing import Any, Final, final, get_type_hints

import msgspec

_EMPTY: Final = inspect.Parameter.empty
_ARGS: Final = inspect.Parameter.VAR_POSITIONAL
_KWARGS: Final = inspect.Parameter.VAR_KEYWORD


@final
class Arguments:
    """The signature of one function, as bytes.

    ``name`` is what errors call the function.  Raises TypeError if an annotation leaves open
    what a value was before it travelled, like a list or a tuple.
    """

    def __init__(self, name: str, function: Callable[..., object]) -> None:
        self._name = name
        self._function = function
        self._signature = inspect.signature(function)
        self._encoder = msgspec.json.Encoder(enc_hook=_encode_more)
        self._members = msgspec.json.Decoder(dict[str, msgspec.Raw])
        # An annotation may name what the module defines only further down: then it is read later.
        with contextlib.suppress(NameError):
            _ = self._decoders, self._result

    @cached_property
    def _hints(self) -> dict[str, Any]:
        return get_type_hints(self._function, include_extras=True)

    @cached_property
    def _decoders(self) -> "dict[str, msgspec.json.Decoder[Any]]":
        return {
            parameter.name: self._decoder(
                f"the argument {parameter.name!r}", _travelling(parameter, self._hints)
            )
            for parameter in self._signature.parameters.values()
        }

    @cached_property
    def _result(self) -> "msgspec.json.Decoder[Any]":
        return self._decoder("the result", self._hints.get("return", Any))

    def encode(self, args: Sequence[object], kwargs: Mapping[str, object]) -> bytes:
        """The payload for a call.  Raises TypeError, which names the argument, if the function
        can't be called like that, or a value is not what its annotation says."""
        try:
            bound = self._signature.bind(*args, **kwargs)
        except TypeError as error:
            raise TypeError(f"{self._name}(): {error}") from None
        members = {}
        for name, value in bound.arguments.items():
            what = f"the argument {name!r}"
            try:
                members[name] = msgspec.Raw(self._encoder.encode(value))
            except (TypeError, ValueError, OverflowError) as error:
                raise TypeError(f"{self._name}(): {what} can't travel as JSON: {error}") from None
            self._decoded(what, self._decoders[name], members[name])
        return self._encoder.encode(members)

    def decode(self, payload: bytes) -> inspect.BoundArguments:
        """The call that a payload stands for.  Raises TypeError as ``encode`` does, and ValueError
        if it is no JSON object."""
        try:
            members = self._members.decode(payload or b"{}")
        except msgspec.MsgspecError as error:
            raise ValueError(
                f"{self._name}(): the payload is to be a JSON object with the arguments by name:"
                f" {_told(error)}"
            ) from None
        bound = self._signature.bind_partial()
        for name, raw in members.items():
            if name not in self._decoders:
                known = ", ".join(self._decoders) or "none"
                raise TypeError(f"{self._name}(): there is no argument {name!r}; it has {known}")
            what = f"the argument {name!r}"
            bound.arguments[name] = self._decoded(what, self._decoders[name], raw)
        for name, parameter in self._signature.parameters.items():
            needed = parameter.default is _EMPTY and parameter.kind not in (_ARGS, _KWARGS)
            if needed and name not in members:
                raise TypeError(f"{self._name}(): the argument {name!r} is missing")
        # What stands before an *args has to be there for it to come behind.
        if any(parameter.kind is _ARGS for parameter in self._signature.parameters.values()):
            bound.apply_defaults()
        return bound

    def encode_result(self, value: object) -> bytes:
        """What the function returned, for its client.  Raises TypeError if it can't travel."""
        try:
            return self._encoder.encode(value)
        except (TypeError, ValueError, OverflowError) as error:
            raise TypeError(f"{self._name}(): the result can't travel as JSON: {error}") from None

    def decode_result(self, data: bytes) -> Any:
        """What a worker's function returned.  Raises TypeError if it is not what it says."""
        return self._decoded("the result", self._result, msgspec.Raw(data))

    def _decoder(self, what: str, kind: Any) -> "msgspec.json.Decoder[Any]":
        try:
            return msgspec.json.Decoder(kind, dec_hook=_decode_more)
        except TypeError as error:
            raise TypeError(f"{self._name}(): {what} can't travel as JSON: {error}") from None

    def _decoded(self, what: str, decoder: "msgspec.json.Decoder[Any]", raw: msgspec.Raw) -> Any:
        try:
            return decoder.decode(raw)
        except msgspec.MsgspecError as error:
            raise TypeError(f"{self._name}(): {what}: {_told(error)}") from None


def _travelling(parameter: inspect.Parameter, hints: Mapping[str, Any]) -> Any:
    """The type of what stands under the parameter's name."""
    kind = hints.get(parameter.name, Any)
    if parameter.kind is _ARGS:
        return GenericAlias(tuple, (kind, ...))
    if parameter.kind is _KWARGS:
        return GenericAlias(dict, (str, kind))
    return kind


def _encode_more(value: object) -> object:
    if isinstance(value, PurePath):
        return str(value)
    raise TypeError(f"{type(value).__qualname__} is none of the types that can")


def _decode_more(kind: type, value: Any) -> Any:
    if issubclass(kind, PurePath) and isinstance(value, str):
        return kind(value)
    raise ValueError(f"expected {kind.__qualname__}, got {type(value).__qualname__}")


def _told(error: Exception) -> str:
    """msgspec's sentence in ours: "expected int, got str at [2].width"."""
    said = str(error).replace("`", "").replace(" - at $", " at ").removesuffix(" at ")
    return said[:1].lower() + said[1:]
