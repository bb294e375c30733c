"""What a ``DataLoader`` over a dataset of torchvision hands out: new tensors without history.

The loader stacks what the dataset gives it, and only that would keep a history. The images of the
datasets named here are read from files and transformed by what is named here as well; a function
of the user's, or one that collates the samples, may do anything.
(https://docs.pytorch.org/docs/stable/data.html#working-with-collate-fn)
"""

from __future__ import annotations

import ast
import re

from gradfix.flow.operands import Argument
from gradfix.flow.values import Kind, Role, Storage, Value, sequence, unknown

LOADER = "torch.utils.data.DataLoader"
BATCH = "batch"  # the operation that makes the tensors
BATCHES = "loader"  # the name of the sequence of batches that a loader is
#: They give one image and one number, which is a class.
_LABELLED = frozenset(
    """MNIST FashionMNIST KMNIST QMNIST EMNIST USPS CIFAR10 CIFAR100 SVHN STL10 ImageFolder ImageNet
    Omniglot""".split()
)
_OF_DATASETS = frozenset({"root", "train", "download", "transform", "split", "background"})
_OF_LOADERS = frozenset(
    """dataset batch_size shuffle num_workers pin_memory drop_last timeout worker_init_fn sampler
    prefetch_factor persistent_workers""".split()
)
#: They work on images, or make a tensor of one; whatever they are given is no tensor.
_TRANSFORMS = frozenset(
    """ToTensor Resize Scale CenterCrop RandomCrop RandomHorizontalFlip RandomVerticalFlip
    RandomResizedCrop RandomSizedCrop Pad Grayscale RandomGrayscale ColorJitter RandomRotation
    RandomAffine ToPILImage""".split()
)
#: Gives a dataset or a loader something else to work with.
_CHANGES = re.compile(
    r"\.(?<!\bself\.)(?:transform|target_transform|collate_fn|dataset)\s*=(?!=)"
    r"|(?<!torchvision)(?<!\bself)\.transforms\b"
    r"|setattr\([^\n]*[\"'](?:transform|target_transform|collate_fn|dataset)[\"']"
)
_NUMBERS = (Kind.NUMBER, Kind.STRING)


def loader(node: ast.Call, arguments: list[Argument]) -> Value:
    """What a loop over ``DataLoader(...)`` goes through; unknown where it may be anything."""
    inputs = tuple(argument.value for argument in arguments)
    names = {argument.keyword for argument in arguments[1:]}
    starred = any(isinstance(argument, ast.Starred) for argument in node.args)
    if not arguments or starred or arguments[0].keyword not in (None, "dataset"):
        return unknown(node, inputs)
    if len(node.args) > 3:  # a sampler, which may be one of batches, and then what collates them
        return unknown(node, inputs)
    if not names - {None} <= _OF_LOADERS or not _is_labelled(arguments[0].value):
        return unknown(node, inputs)
    images, labels = (
        Value(Kind.TENSOR, Role.UNTRACKED, made, BATCH, storages=frozenset({Storage(made)}))
        for made in (node, node.func)
    )
    batch = sequence([images, labels], node=node)
    return sequence(None, element=batch, node=node, name=BATCHES)


def changes_datasets(text: str) -> bool:
    """Whether code may give a dataset another transform, or a loader another dataset."""
    return _CHANGES.search(text) is not None


def _is_labelled(dataset: Value) -> bool:
    """Whether a value is one of torchvision's datasets, with transforms of torchvision's."""
    call = dataset.node
    if dataset.name not in {f"torchvision.datasets.{name}" for name in _LABELLED}:
        return False
    if not isinstance(call, ast.Call) or any(isinstance(a, ast.Starred) for a in call.args):
        return False
    names = ["root", "transform" if dataset.name.endswith("ImageFolder") else ""][: len(call.args)]
    names += [keyword.arg or "" for keyword in call.keywords]
    if len(names) != len(dataset.inputs) or not _OF_DATASETS.issuperset(names):
        return False
    given = dict(zip(names, dataset.inputs, strict=True))
    return "transform" in given and _is_transform(given["transform"])


def _is_transform(value: Value) -> bool:
    module, _, name = value.name.rpartition(".")
    if module not in ("torchvision.transforms", "torchvision.transforms.transforms"):
        return False
    if name == "Compose":
        call = value.node
        if not isinstance(call, ast.Call) or not call.args or len(value.inputs) != 1:
            return False
        if not isinstance(call.args[0], (ast.List, ast.Tuple)):
            return False  # a list with a name may get more later
        parts = value.inputs[0].items
        return parts is not None and all(map(_is_transform, parts))
    if name == "Normalize":
        return all(map(_is_plain, value.inputs))
    return name in _TRANSFORMS


def _is_plain(value: Value) -> bool:
    """Whether these are numbers, or a display of numbers."""
    if value.kind is Kind.SEQUENCE:
        return value.items is not None and all(map(_is_plain, value.items))
    return value.kind in _NUMBERS


def of_torchvision(node: ast.Call, name: str, inputs: tuple[Value, ...]) -> Value:
    """A dataset or transform of torchvision: nothing is known of it but its class."""
    made = unknown(node, inputs)
    made.name = name
    return made
