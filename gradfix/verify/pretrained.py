"""Networks of libraries that are built by the name of their weights, where these are not there.

``BertModel.from_pretrained("bert-base-uncased")`` or ``timm.create_model(name, pretrained=True)``
is the same graph with random weights. Verification has no network; what the name alone says of the
network is kept, but for the number of layers, which only costs time.
"""

from __future__ import annotations

import functools
import importlib
import re
import sys
from collections.abc import Callable, Iterator
from typing import Any

import torch

_HUB: Callable[..., Any] = torch.hub.load
_LAYERS = 2
_DEPTHS = ("num_hidden_layers", "n_layer", "num_layers", "n_layers", "encoder_layers")
_LARGE = {"hidden_size": 1024, "num_attention_heads": 16, "intermediate_size": 4096}
#: Makes a network, or a configuration, of a class, a name and perhaps a configuration.
Make = Callable[[Any, str, Any], Any]
#: What was replaced: where, under which name, and what stood there.
_replaced: list[tuple[Any, str, Any]] = []


def without_weights(wanted: bool, note: Callable[[str], None]) -> None:
    """From now on build without the weights that are missing, telling ``note``; or as before."""
    while _replaced:
        owner, name, old = _replaced.pop()
        setattr(owner, name, old)
    if not wanted:
        return
    _replace(torch.hub, "load", functools.partial(_from_hub, note))
    builder = sys.modules.get("timm.models._builder")
    if builder is not None and hasattr(builder, "load_pretrained"):
        _replace(
            builder, "load_pretrained", functools.partial(_into, note, builder.load_pretrained)
        )
    for owner, make in _of_transformers():
        old = owner.__dict__.get("from_pretrained")
        if isinstance(old, classmethod):
            found = functools.partial(_pretrained, note, old.__func__, make)
            _replace(owner, "from_pretrained", classmethod(_as_function(found)))


def _replace(owner: Any, name: str, new: Any) -> None:
    _replaced.append((owner, name, vars(owner)[name]))
    setattr(owner, name, new)


def _as_function(call: Callable[..., Any]) -> Callable[..., Any]:
    def from_pretrained(cls: type, *args: Any, **kwargs: Any) -> Any:
        return call(cls, *args, **kwargs)

    return from_pretrained


def _of_transformers() -> Iterator[tuple[type, Make]]:
    """The classes that load by name, with what makes the same without weights.

    Those that are imported, and are there: a project may hold an older copy of the library.
    """
    for module, name, make in (
        ("modeling_utils", "PreTrainedModel", _network),
        ("models.auto.configuration_auto", "AutoConfig", _config_alone),
        ("models.auto.auto_factory", "_BaseAutoModelClass", _network_named),
    ):
        owner = vars(sys.modules.get(f"transformers.{module}", object)).get(name)
        if isinstance(owner, type):
            yield owner, make


def _network(cls: Any, name: str, config: Any) -> Any:
    return cls(_sized(cls.config_class(), name) if config is None else config)


def _network_named(cls: Any, name: str, config: Any) -> Any:
    return cls.from_config(_config_named(name) if config is None else config)


def _config_alone(cls: Any, name: str, config: Any) -> Any:
    return _config_named(name)


def _pretrained(
    note: Callable[[str], None],
    old: Callable[..., Any],
    make: Make,
    cls: type,
    name: Any,
    *args: Any,
    **kwargs: Any,
) -> Any:
    try:
        return old(cls, name, *args, **kwargs)
    except OSError:  # neither on this machine nor to be fetched
        config = kwargs.get("config")
        made = make(cls, str(name), None if isinstance(config, str) else config)
        note(str(name))
        return made


def _config_named(name: str) -> Any:
    """The configuration of the kind of network that a name such as ``roberta-base`` begins with.

    Raises OSError where the name says nothing.
    """
    mapping = importlib.import_module("transformers.models.auto.configuration_auto").CONFIG_MAPPING
    plain = re.sub(r"[^a-z0-9]", "", name.lower())
    kinds = [kind for kind in mapping if re.sub(r"[^a-z0-9]", "", kind.lower()) in plain]
    if not kinds:
        raise OSError(f"the weights of {name} are not there, nor does the name tell the network")
    return _sized(mapping[max(kinds, key=len)](), name)


def _sized(config: Any, name: str) -> Any:
    for each in _DEPTHS:
        if type(getattr(config, each, None)) is int:
            setattr(config, each, min(_LAYERS, getattr(config, each)))
    if "large" in name.lower():
        for each, size in _LARGE.items():
            if hasattr(config, each):
                setattr(config, each, size)
    return config


def _into(
    note: Callable[[str], None], old: Callable[..., Any], model: Any, *a: Any, **k: Any
) -> Any:
    try:
        return old(model, *a, **k)
    except OSError:
        note(type(model).__name__)
        return None


def _from_hub(note: Callable[[str], None], repo: Any, model: Any, *args: Any, **kwargs: Any) -> Any:
    """A network of a repository that cannot be fetched, where torchvision has one of its name."""
    try:
        return _HUB(repo, model, *args, **kwargs)
    except (OSError, RuntimeError) as error:
        if isinstance(error, RuntimeError) and "internet" not in str(error):
            raise
        known = vars(sys.modules.get("torchvision.models") or _torchvision(error))
        kinds = [k for k in known if model == k or str(model).startswith(f"{k}_")]
        build = known.get(max(kinds, key=len, default=""))
        if not callable(build):
            raise
        note(str(model))
        return build()


def _torchvision(error: Exception) -> Any:
    try:
        return importlib.import_module("torchvision.models")
    except ImportError:
        raise error from None
