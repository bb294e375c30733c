"""Calls of PyTorch operations on small tensors, for the proof of the op facts."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import torch

Make = Callable[[], Any]


@dataclass(frozen=True)
class Case:
    """One call. Callables among the arguments make tensors, lists of them make tensor lists."""

    name: str
    kind: Any
    arguments: tuple[Any, ...]
    keywords: dict[str, Any]

    def __str__(self) -> str:
        kinds = [type(one).__name__ if not callable(one) else "T" for one in self.arguments]
        return f"{self.kind}:{self.name}({','.join([*kinds, *self.keywords])})"


def x(*shape: int) -> Make:
    """Floats in (0.1, 0.9), where every operation below is smooth."""
    return lambda: torch.rand(shape or (3,)) * 0.8 + 0.1


def above_one() -> Any:
    return torch.rand(3) + 1.5


def definite() -> Any:
    """A symmetric positive definite matrix with distinct eigenvalues."""
    return torch.diag(torch.tensor([2.0, 3.0, 4.0])) + 0.1


def ints(*values: int) -> Make:
    return lambda: torch.tensor(values)


def flags() -> Any:
    return torch.tensor([True, False, True])


def function(names: str, *arguments: Any, **keywords: Any) -> list[Case]:
    return [Case(name, "function", arguments, keywords) for name in names.split()]


def method(names: str, *arguments: Any, **keywords: Any) -> list[Case]:
    return [Case(name, "method", arguments, keywords) for name in names.split()]


def functional(names: str, *arguments: Any, **keywords: Any) -> list[Case]:
    return [Case(name, "functional", arguments, keywords) for name in names.split()]


IMAGE = x(1, 2, 4, 4)

POINTWISE = [
    *function(
        """abs absolute acos asin asinh atan atanh arccos arcsin arctan ceil clone cos cosh deg2rad
        digamma erf erfc erfinv exp exp2 expm1 fix floor frac i0 lgamma log log10 log1p log2 logit
        neg negative positive rad2deg reciprocal relu round rsqrt sigmoid sign sin sinc sinh sqrt
        square tan tanh trunc nan_to_num selu special_expit special_erf special_log1p
        argmax argmin isnan isfinite isinf isposinf signbit logical_not any all count_nonzero
        nonzero special_ndtr""",
        x(),
    ),
    *function("acosh arccosh", above_one),
    *function(
        """add atan2 arctan2 copysign div divide eq fmax fmin fmod ge gt hypot le logaddexp
        logaddexp2 lt max maximum min minimum mul multiply ne pow remainder sub subtract true_divide
        xlogy special_xlogy dist greater less_equal isclose""",
        x(),
        x(),
    ),
    *function("add div mul sub pow fmod remainder clamp clamp_min clip", x(), 0.5),
    *function("pow", 2.0, x()),
    *function("clamp", x(), x(), x()),
    *function("addcmul addcdiv lerp", x(), x(), x()),
    *function("lerp", x(), x(), 0.3),
]
IN_PLACE = [
    *method(
        """abs_ acos_ asin_ atan_ ceil_ cos_ cosh_ erf_ exp_ expm1_ floor_ log_ log1p_ log2_ neg_
        negative_ reciprocal_ relu_ round_ rsqrt_ sigmoid_ sin_ sinh_ sqrt_ square_ tan_ tanh_
        trunc_ zero_ normal_ uniform_ bernoulli_ exponential_""",
        x(),
    ),
    *method(
        "add_ atan2_ copy_ div_ divide_ mul_ multiply_ pow_ sub_ true_divide_ xlogy_", x(), x()
    ),
    *method("add_ div_ mul_ sub_ pow_ fill_ clamp_ clamp_min_ clip_", x(), 0.5),
    *method("addcmul_ addcdiv_ lerp_", x(), x(), x()),
    *method("masked_fill_", x(), flags, 0.0),
    *method("scatter_ scatter_add_ index_add_ index_copy_", x(3), 0, ints(0, 1), x(2)),
    *method("index_fill_", x(3), 0, ints(0, 1), 1.0),
    *method("tril_ triu_ fill_diagonal_", x(3, 3), 1),
    *method("addmm_", x(2, 4), x(2, 3), x(3, 4)),
    *method("baddbmm_", x(5, 2, 4), x(5, 2, 3), x(5, 3, 4)),
    *method("t_ squeeze_ detach_ requires_grad_", x(2, 3)),
    *method("unsqueeze_", x(), 0),
    *method("transpose_", x(2, 3), 0, 1),
    *functional("relu_ leaky_relu_ elu_ hardtanh_ celu_ selu_", x()),
]
REDUCTIONS = [
    *function("max min mean median nansum norm prod std sum var amax amin nanmean", x()),
    *function("sum mean amax amin prod logsumexp softmax log_softmax cumsum cumprod", x(2, 3), 1),
    *function("max min median mode sort kthvalue topk cummax cummin std var", x(2, 3), 1),
    *function("std_mean var_mean aminmax", x(2, 3)),
    *function("norm linalg_vector_norm", x(2, 3), 2, 1),
    *function("norm", x(2, 3), dim=1),
    *function("argsort msort", x(3)),
    *function("logcumsumexp special_logsumexp special_softmax", x(2, 3), 1),
    *function("diff", x(4)),
    *function("renorm", x(2, 3), 2, 0, 0.5),
    *function("trapezoid trapz", x(4)),
]
PRODUCTS = [
    *function("matmul mm linalg_matmul", x(2, 3), x(3, 4)),
    *function("matmul mv", x(2, 3), x(3)),
    *function("matmul dot inner outer ger vdot linalg_vecdot", x(3), x(3)),
    *function("matmul bmm", x(5, 2, 3), x(5, 3, 4)),
    *function("matmul", x(5, 2, 3), x(3, 4)),
    *function("addmm", x(2, 4), x(2, 3), x(3, 4)),
    *function("addmv", x(2), x(2, 3), x(3)),
    *function("addbmm", x(2, 4), x(5, 2, 3), x(5, 3, 4)),
    *function("baddbmm", x(5, 2, 4), x(5, 2, 3), x(5, 3, 4)),
    *function("addr", x(2, 3), x(2), x(3)),
    *function("tensordot", x(2, 3), x(3, 2), 1),
    *function("einsum", "ij,jk->ik", x(2, 3), x(3, 4)),
    *function("chain_matmul", x(2, 3), x(3, 4)),
    *function("cross linalg_cross", x(2, 3), x(2, 3)),
    *function("cosine_similarity pairwise_distance", x(2, 3), x(2, 3)),
    *function("cdist", x(2, 3), x(4, 3)),
]
INDEXING = [
    *function("where", flags, x(), x()),
    *function("where", flags, x(), 0.0),
    *function("gather", x(3), 0, ints(0, 2)),
    *function("index_select", x(2, 3), 1, ints(0, 2)),
    *function("take", x(3), ints(0, 2)),
    *function("masked_select", x(), flags),
    *function("masked_fill", x(), flags, 0.0),
    *function("masked_scatter", x(), flags, x()),
    *function("scatter scatter_add index_add index_copy", x(3), 0, ints(0, 1), x(2)),
    *function("index_fill", x(3), 0, ints(0, 1), 1.0),
    *function("select_scatter", x(2, 3), x(3), 0, 1),
    *function("tril triu", x(3, 3)),
    *function("bernoulli", x(3)),
    *function("randint_like", x(3), 5),
    *function("zeros_like rand_like", x(3)),
    *function("adaptive_max_pool1d max_pool1d_with_indices", x(1, 2, 4), 2),
    *function("multinomial", x(3), 2),
    *function("searchsorted", x(3), x(3)),
    *method("where", x(), flags, x()),
]
JOINING = [
    *function("cat stack hstack vstack dstack column_stack concat", [x(), x()]),
    *function("block_diag", x(2, 2), x(3)),
    *function("cartesian_prod", x(2), x(3)),
    *function("tile", x(), (2,)),
    *method("repeat", x(), 2),
    *function("repeat_interleave roll", x(), 2),
    *function("flip", x(), (0,)),
    *function("fliplr flipud rot90", x(2, 3)),
    *function("diag diagflat diag_embed", x()),
    *function("constant_pad_nd", x(), (1, 1), 0.0),
    *function("fft_fftshift fft_rfft fft_irfft", x(4)),
    *function("dropout", x(), 0.5, True),
]
VIEWS = [
    *method(
        "t squeeze ravel flatten contiguous float double T mT real resolve_conj detach", x(2, 3)
    ),
    *method("view reshape", x(2, 3), 3, 2),
    *method("permute transpose swapaxes movedim", x(2, 3), 1, 0),
    *method("unsqueeze", x(2, 3), 0),
    *method("narrow", x(2, 3), 1, 0, 2),
    *method("select", x(2, 3), 1, 0),
    *method("expand", x(1, 3), 2, 3),
    *method("diagonal", x(3, 3)),
    *method("view_as reshape_as expand_as type_as", x(3, 3), x(3, 3)),
    *method("unfold", x(4), 0, 2, 1),
    *method("unflatten", x(4), 0, (2, 2)),
    *method("to", x(3), "cpu"),
    *method("to", x(3), torch.float64),
    *method("chunk split tensor_split", x(4), 2),
    *method("unbind", x(4)),
    *function("broadcast_tensors", x(1), x(3)),
    *function("meshgrid", x(2), x(3), indexing="ij"),
    *function("atleast_2d", x(3)),
]
FUNCTIONALS = [
    *functional(
        """relu relu6 gelu selu celu elu silu mish leaky_relu softplus softsign tanh sigmoid
        hardtanh hardsigmoid hardswish hardshrink softshrink tanhshrink logsigmoid dropout
        alpha_dropout normalize""",
        x(2, 3, 4),
    ),
    *functional("softmax log_softmax softmin", x(2, 3), dim=1),
    *functional("mse_loss l1_loss smooth_l1_loss huber_loss soft_margin_loss", x(), x()),
    *functional("binary_cross_entropy binary_cross_entropy_with_logits", x(), x()),
    *functional("cross_entropy nll_loss multi_margin_loss", x(2, 3), ints(0, 1)),
    *functional("cross_entropy", x(2, 3), ints(0, 1), x(3)),
    *functional("linear", x(2, 3), x(4, 3)),
    *functional("linear", x(2, 3), x(4, 3), x(4)),
    *functional("linear", x(5, 2, 3), x(4, 3), x(4)),
    *functional("bilinear", x(2, 3), x(2, 4), x(5, 3, 4)),
    *functional("embedding", ints(0, 1), x(4, 3)),
    *functional("one_hot", ints(0, 1)),
    *functional("layer_norm", x(2, 3), (3,), x(3), x(3)),
    *functional("layer_norm", x(2, 3), (3,)),
    *functional("group_norm", x(2, 4), 2, x(4), x(4)),
    *functional("batch_norm", x(2, 3), x(3), x(3), x(3), x(3)),
    *functional("instance_norm", x(2, 3, 4)),
    *functional("instance_norm", x(2, 3, 4), None, None, x(3), x(3)),
    *functional("conv2d", IMAGE, x(2, 2, 3, 3), x(2)),
    *functional("conv1d", x(1, 1, 4), x(2, 1, 3)),
    *functional("conv_transpose2d", IMAGE, x(2, 1, 3, 3), x(1)),
    *functional("max_pool2d avg_pool2d adaptive_max_pool2d", IMAGE, 2),
    *functional("max_pool1d avg_pool1d adaptive_max_pool1d", x(1, 2, 4), 2),
    *functional("unfold", IMAGE, 2),
    *functional("fold", x(1, 4, 9), (4, 4), 2),
    *functional("pixel_shuffle", x(1, 4, 2, 2), 2),
    *functional("glu", x(2, 4)),
    *functional("prelu", x(2, 3), x(1)),
    *functional("threshold", x(), 0.5, 0.0),
    *functional("cosine_similarity pairwise_distance", x(2, 3), x(2, 3)),
    *functional("grid_sample", IMAGE, x(1, 3, 3, 2)),
]
LINALG = [
    *function("linalg_inv linalg_det det inverse linalg_cholesky logdet trace", definite),
    *function("linalg_slogdet slogdet linalg_eigh linalg_eigvalsh matrix_exp", definite),
    *function("linalg_qr linalg_svdvals", definite),
    *function("linalg_solve", definite, x(3, 2)),
]
#: What these keep depends on flags, shapes or dtypes, or nobody has written it down.
UNKNOWN = [
    *function("take_along_dim", x(3), ints(0, 2), 0),
    *function("float_power", x(), x()),
    *function("quantile linalg_matrix_power", definite, 2),
    *functional("kl_div poisson_nll_loss", x(), x()),
    *functional("interpolate", IMAGE, 2),
    *functional("pad", x(3), (1, 1)),
    *functional("scaled_dot_product_attention", x(1, 2, 3), x(1, 2, 3), x(1, 2, 3)),
]


def all_cases() -> Iterator[Case]:
    """Every call once."""
    for group in (POINTWISE, IN_PLACE, REDUCTIONS, PRODUCTS, INDEXING, JOINING, VIEWS):
        yield from group
    yield from FUNCTIONALS
    yield from LINALG
