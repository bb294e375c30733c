"""Classes that `verify` drives by what the code around a name, an error or a layer says."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest
import torch
from torch import nn
from torch.nn.utils.rnn import pack_padded_sequence
from verify_helpers import results_of

from gradfix.verify.calling import run_prepared
from gradfix.verify.construct import MadeUp, values_for
from gradfix.verify.drive import Prepared
from gradfix.verify.guess import Spec
from gradfix.verify.mend import larger, repaired_constructor
from gradfix.verify.names import Wanted
from gradfix.verify.parts import Part
from gradfix.verify.repair import repairs
from gradfix.verify.results import TargetResult
from gradfix.verify.uses import uses_in

SOURCE = '''
import torch
import torch.nn.functional as F
from torch import nn
from torch.nn.utils.rnn import pack_padded_sequence

class Dropping(nn.Module):
    """``F.dropout`` says nothing of what the argument of this name is."""
    def __init__(self, dropout):
        super().__init__()
        self.lin = nn.Linear(4, 2)
        self.dropout = dropout
    def forward(self, x):
        return self.lin(F.dropout(x, self.dropout, training=self.training))

class Wrapping(nn.Module):
    """What is called as a part stays one, whatever functions have its name."""
    def __init__(self, norm):
        super().__init__()
        self.lin = nn.Linear(8, 8)
        self.norm = norm
    def forward(self, x):
        return self.norm(self.lin(x)) / torch.norm(x)

class Table(nn.Module):
    def __init__(self, embedding_matrix, opt):
        super().__init__()
        rows = torch.tensor(embedding_matrix, dtype=torch.float)
        self.embed = nn.Embedding.from_pretrained(rows)
        self.lin = nn.Linear(opt.wide_dim * 2, opt.classes)
    def forward(self, indices):
        rows = self.embed(indices)
        return self.lin(torch.cat([rows, rows], -1))

class FromNumpy(nn.Module):
    def __init__(self, weight_matrix):
        super().__init__()
        self.embed = nn.Embedding(8, 8)
        self.embed.weight.data.copy_(torch.from_numpy(weight_matrix))
    def forward(self, indices):
        return self.embed(indices).tanh()

class Stepping(nn.Module):
    def __init__(self):
        super().__init__()
        self.lin = nn.Linear(4, 4)
    def forward(self, inputs, every):
        last, found = inputs[:, 0], []
        for step in range(inputs.size(1)):
            if not step % every:
                last = inputs[:, step]
            last = self.lin(last)
            found.append(last)
        return torch.stack(found, 1)

class Sized(nn.Module):
    def __init__(self):
        super().__init__()
        self.image_height, self.image_width = 20, 12
        self.conv = nn.Conv2d(1, 3, 3, padding=1)
        self.lin = nn.Linear(3 * 20 * 12, 2)
    def forward(self, x):
        return self.lin(self.conv(x).flatten(1))

class StepsFirst(nn.Module):
    def __init__(self):
        super().__init__()
        self.embed, self.gru = nn.Embedding(9, 4), nn.GRU(4, 3)
    def forward(self, words, lengths):
        return self.gru(pack_padded_sequence(self.embed(words), lengths))[1]

class OneLetter(nn.Module):
    def __init__(self, letters, width):
        super().__init__()
        self.embed, self.gru = nn.Embedding(letters, width), nn.GRU(width, width, 2)
    def forward(self, letter, before):
        return self.gru(self.embed(letter).view(1, 1, -1), before)[0]

class Decoding(nn.Module):
    def __init__(self):
        super().__init__()
        self.embed, self.gru = nn.Embedding(9, 4), nn.GRU(4, 6)
        self.out = nn.Linear(12, 9)
    def forward(self, word, last_hidden, encoder_outputs):
        rows = self.embed(word).view(1, word.size(0), 4)
        got, hidden = self.gru(rows, last_hidden)
        mixed = (encoder_outputs * got).mean(0)
        return self.out(torch.cat([mixed, got[0]], 1)), hidden

class Severing(nn.Module):
    """Driven the same way; its encoder gets no gradient."""
    def __init__(self):
        super().__init__()
        self.embed, self.gru = nn.Embedding(9, 4), nn.GRU(4, 6)
        self.scale = nn.Linear(6, 6)
    def forward(self, word, last_hidden):
        rows = self.embed(word).view(1, word.size(0), 4)
        got = self.gru(rows, last_hidden)[0]
        return got + torch.tensor(self.scale(got).tolist())

class Judging(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(11, 2, 3)
    def forward(self, input, label):
        return self.conv(torch.cat([input, label], 1))

class Digits(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(1, 2, 3)
        self.rows = nn.Parameter(torch.rand(2 * 26 * 26))
    def forward(self, x, alpha):
        return self.conv(x).flatten(1) * self.rows * float(alpha)

class Attending(nn.Module):
    """What it is given is kept under another name, and gives two results."""
    def __init__(self, correlation):
        super().__init__()
        self.inner = correlation
        self.first, self.last = nn.Linear(8, 8), nn.Linear(8, 8)
    def forward(self, x):
        size, steps, _ = x.shape
        out, weights = self.inner(self.first(x).view(size, steps, 2, 4))
        return self.last(out.view(size, steps, -1)), weights

class Divided(nn.Module):
    def __init__(self, in_channels, out_channels):
        super().__init__()
        self.rows = nn.Parameter(torch.rand(in_channels, out_channels // 16))
    def forward(self, x):
        return x @ self.rows

class Normed(nn.Module):
    def __init__(self, in_channel, out_channel):
        super().__init__()
        self.conv, self.norm = nn.Conv2d(in_channel, out_channel, 3), nn.GroupNorm(5, out_channel)
    def forward(self, x):
        return self.norm(self.conv(x))
'''


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> dict[str, TargetResult]:
    path = tmp_path_factory.mktemp("reach") / "m.py"
    path.write_text(SOURCE)
    return results_of(path)


@pytest.mark.parametrize(
    ("name", "call"),
    [
        ("Dropping", "Dropping(dropout=0.0)(torch.randn(2, 4))"),
        ("Digits", "Digits()(torch.randn(2, 1, 28, 28), torch.randn(()))"),
        ("Sized", "Sized()(torch.randn(2, 1, 20, 12))"),
        ("StepsFirst", "StepsFirst()(torch.randint(1, 9, (5, 2)), torch.full((2,), 5))"),
        (
            "Decoding",
            "Decoding()(torch.randint(1, 9, (2,)), torch.randn(1, 2, 6), torch.randn(5, 2, 6))",
        ),
        ("Stepping", "Stepping()(torch.randn(5, 2, 4), 2)"),
    ],
)
def test_called_as_the_code_says(name: str, call: str, found: dict[str, TargetResult]) -> None:
    assert (found[name].status, found[name].call) == ("passed", call)


@pytest.mark.parametrize(
    "name",
    "Wrapping Table FromNumpy OneLetter Judging Normed Divided Attending".split(),
)
def test_driven(name: str, found: dict[str, TargetResult]) -> None:
    assert found[name].status == "passed", found[name].reason


def test_rows_that_are_frozen_are_no_fault(found: dict[str, TargetResult]) -> None:
    rows = {p.name: p for p in found["Table"].parameters}["embed.weight"]
    assert (rows.verdict, rows.trainable) == ("ok", False)


def test_a_lost_gradient_is_still_found(found: dict[str, TargetResult]) -> None:
    lost = [p.name for p in found["Severing"].parameters if p.verdict == "escaped"]
    assert (found["Severing"].status, lost) == ("failed", ["scale.weight", "scale.bias"])


def test_a_word_that_is_looked_for_in_a_dict_is_none_of_its_values() -> None:
    code = """
def build(setup, kind):
    shift = 1 if "shift" not in setup else setup["shift"]
    return setup["wide"] + shift, "norm" in kind
"""
    uses = uses_in(ast.parse(code))
    assert isinstance(values_for(Wanted("setup", use=uses["setup"]))[0], MadeUp)
    assert values_for(Wanted("kind", use=uses["kind"]))[0] == "norm"


class Any1(nn.Module):
    def __init__(self, first: int, second: int) -> None:
        super().__init__()


@pytest.mark.parametrize(
    ("message", "wanted"),
    [
        ("int is not a Module subclass", Part),
        ("dropout should be a number in range [0, 1] representing the probability", float),
        ("dropout probability has to be between 0 and 1, but got 8", float),
    ],
)
def test_a_number_is_replaced_by_what_the_error_asks_for(message: str, wanted: type) -> None:
    found = repaired_constructor(Any1, {"first": 8, "second": 3}, TypeError(message))
    for name in ("first", "second"):
        assert any(type(each[name]) is wanted for each in found)


def test_a_width_inside_a_configuration_fits_the_layer() -> None:
    settings = MadeUp(made={"embed": 300, "classes": 3})
    error = RuntimeError("mat1 and mat2 shapes cannot be multiplied (10x16 and 600x1200)")
    found = repaired_constructor(Any1, {"first": settings, "second": 3}, error)
    assert 8 in [each["first"].made()["embed"] for each in found if each["first"] is not settings]


def checked(x: torch.Tensor) -> torch.Tensor:
    if x.dim() == 3:
        return x
    elif x.dim() == 4:
        return x.flatten(2)
    else:
        raise RuntimeError("unknown input")


def test_the_numbers_of_dimensions_that_an_else_leaves_out() -> None:
    with pytest.raises(RuntimeError) as caught:
        checked(torch.rand(2, 3))
    ranks = [len(specs[0].shape) for specs in repairs([Spec((2, 3))], caught.value)]
    assert ranks == [3, 4]


def test_nothing_is_made_longer_than_what_was_multiplied() -> None:
    error = RuntimeError("mat1 and mat2 shapes cannot be multiplied (3600000x8 and 300x8)")
    found = repairs([Spec((2, 5), "long", 8)], error)
    assert all(max(specs[0].shape) <= 1024 for specs in found)


class Recurrent(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.lstm = nn.LSTM(8, 3, batch_first=True)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        lengths = torch.full((x.size(0),), x.size(1))
        return self.lstm(pack_padded_sequence(x, lengths, batch_first=True))[1][0]


def test_packed_sequences_of_another_width_do_not_run() -> None:
    narrow, right = torch.rand(2, 5, 5), torch.rand(2, 5, 8)
    assert isinstance(run_prepared(lambda: Prepared(Recurrent(), (narrow,)), 0), RuntimeError)
    assert run_prepared(lambda: Prepared(Recurrent(), (right,)), 0) is None


def test_channels_of_inputs_that_are_grouped_before_they_are_joined() -> None:
    error = RuntimeError(
        "Given groups=1, weight of size [8, 35, 1, 1], expected input[2, 6, 1, 16] to have "
        "35 channels, but got 6 channels instead"
    )
    found = repairs([Spec((2, 3, 16)), Spec((2, 3, 16))], error)
    assert [Spec((2, 3, 16)), Spec((2, 32, 16))] in found


def test_labels_become_images_beside_an_image() -> None:
    image, label = Spec((2, 11, 16, 16)), Spec((2,), "long")
    error = RuntimeError("Tensors must have same number of dimensions: got 4 and 1")
    assert repairs([image, label], error)[0] == [image, image]
    error = RuntimeError(
        "Given groups=1, weight of size [2, 11, 3, 3], expected input[2, 22, 16, 16] to have "
        "11 channels, but got 22 channels instead"
    )
    halves = [Spec((2, 6, 16, 16)), Spec((2, 5, 16, 16))]
    assert halves in repairs([image, image], error)


def test_labels_without_an_image_stay_labels() -> None:
    specs = [Spec((2, 5, 8)), Spec((2,), "long")]
    error = RuntimeError("Tensors must have same number of dimensions: got 3 and 1")
    assert all(changed[1].kind == "long" for changed in repairs(specs, error))


def test_a_forward_that_does_nothing_has_a_reason(tmp_path: Path) -> None:
    path = tmp_path / "m.py"
    path.write_text(
        "from torch import nn\nclass Nothing(nn.Module):\n    def forward(self):\n        pass\n"
    )
    result = results_of(path, "Nothing")["Nothing"]
    assert result.status == "not_verified"
    assert "returns no floating-point tensor" in str(result.reason)


def test_a_layer_without_inputs_is_no_error_of_ours() -> None:
    error = RuntimeError("mat1 and mat2 shapes cannot be multiplied (2x0 and 8x3)")
    assert isinstance(repairs([Spec((2, 4)), Spec((2, 4))], error), list)


def test_both_sides_of_an_image_at_once() -> None:
    error = RuntimeError(
        "The expanded size of the tensor (28) must match the existing size (16) at non-singleton "
        "dimension 3.  Target sizes: [2, 3, 28, 28].  Tensor sizes: [2, 3, 16, 16]"
    )
    assert repairs([Spec((2, 3, 16, 16))], error)[0] == [Spec((2, 3, 28, 28))]


def test_names_of_whole_numbers_are_no_shares() -> None:
    for name in ("warmup_temp_epochs", "dilation_rate", "alphabet_size"):
        assert type(values_for(Wanted(name))[0]) is int
    assert values_for(Wanted("temp"))[0] == 0.5


def test_signals_are_longer_than_what_they_are_padded_with() -> None:
    text = (
        "Argument #4: Padding size should be less than the corresponding input dimension, but got: "
        "padding (256, 256) at dimension 2 of input [1, 32, 16]"
    )
    changed = repairs([Spec((2, 1, 16, 16))], RuntimeError(text))
    assert [Spec((2, 4096))] in changed


def test_filters_of_stages_are_wide_and_layers_few() -> None:
    use = uses_in(ast.parse("f(num_filters[3], layers[3])"))
    assert values_for(Wanted("num_filters", use=use["num_filters"]))[0] == [8] * 4
    assert values_for(Wanted("layers", use=use["layers"]))[0] == [1] * 4


def test_sizes_inside_a_configuration_grow_with_the_others() -> None:
    config = MadeUp().with_value("patch_size", (16, 16)).with_value("rate", 0.5)
    changed = larger({"config": config, "width": 8}, (8, 16), 64)
    assert changed["config"].made() == {"patch_size": (64, 64), "rate": 0.5}
    assert changed["width"] == 64


def test_a_signal_that_is_too_short_for_a_layer_grows() -> None:
    error = RuntimeError("Kernel size can't be greater than actual input size")
    assert [Spec((2, 8192))] in repairs([Spec((2, 4096))], error)


def test_what_is_expanded_has_fewer_dimensions() -> None:
    rows = torch.rand(2, 4, 4, 4)
    with pytest.raises(RuntimeError) as caught:
        rows.unsqueeze(-1).expand(-1, -1, 5)
    changed = repairs([Spec((2, 5, 16)), Spec((2, 4, 4, 4))], caught.value)
    assert [Spec((2, 5, 16)), Spec((2, 4))] in changed


def test_operands_of_einsum_have_as_many_dimensions_as_letters() -> None:
    images, matrix = Spec((2, 5, 4, 4)), Spec((2, 4, 4))
    with pytest.raises(RuntimeError) as caught:
        torch.einsum("ncvl,vw->ncwl", images.make(), matrix.make())
    assert [images, Spec((2, 4))] in repairs([images, matrix], caught.value)


def test_inputs_that_are_joined_and_turned_round_before_a_convolution() -> None:
    steps, speaker = Spec((2, 5, 16)), Spec((2, 16))
    with pytest.raises(RuntimeError) as caught:
        nn.Conv1d(88, 4, 3)(torch.rand(2, 32, 5))
    assert [Spec((2, 5, 72)), speaker] in repairs([steps, speaker], caught.value)


def test_operands_of_einsum_agree_about_each_letter() -> None:
    images, matrix = Spec((2, 5, 4, 4)), Spec((2, 4))
    with pytest.raises(RuntimeError) as caught:
        torch.einsum("ncvl,vw->ncwl", images.make(), matrix.make())
    assert [images, Spec((4, 4))] in repairs([images, matrix], caught.value)


def test_axes_that_are_folded_before_they_are_normalized() -> None:
    x = Spec((2, 8, 5, 16))
    with pytest.raises(RuntimeError) as caught:
        nn.BatchNorm1d(8 * 18)(x.make().permute(0, 1, 3, 2).reshape(2, 8 * 16, 5))
    assert [Spec((2, 8, 5, 18))] in repairs([x], caught.value)


def test_a_tensor_where_a_number_was_no_good() -> None:
    steps = Spec((2, 5, 3))
    with pytest.raises(TypeError) as caught:
        torch.isnan(2)  # type: ignore[arg-type]
    assert [steps, steps] in repairs([Spec((), "int", 2), steps], caught.value)


def test_a_list_is_as_long_as_a_convolution_has_dimensions() -> None:
    given = {"width": 8, "config": MadeUp().with_value("stride", [1, 1, 1])}
    with pytest.raises(RuntimeError) as caught:
        nn.Conv2d(3, 8, 3, stride=[1, 1, 1])(torch.rand(2, 3, 9, 9))  # type: ignore[arg-type]
    changed = repaired_constructor(Any1, given, caught.value)
    assert any(each["config"].made() == {"stride": [1, 1]} for each in changed)
