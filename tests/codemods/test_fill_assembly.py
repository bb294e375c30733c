"""GF302: a buffer is allocated and filled slot by slot with graph tensors."""

from __future__ import annotations

from harness import check_reported, check_transformed, table
from snippets import Case, cases

CODE = "GF302"

CHANGE = cases("""
=== three slots | works
w = Parameter(torch.rand(2))
v = torch.sigmoid(w)
full = torch.zeros(3)
full[0] = v[0]
full[1] = v[1] * 2
full[2] = v[0] + v[1]
out = full
loss = out.prod()
loss.backward()
grad = w.grad
--->
w = Parameter(torch.rand(2))
v = torch.sigmoid(w)
full = torch.stack(
    [
        v[0],
        v[1] * 2,
        v[0] + v[1],
    ]
)
out = full
loss = out.prod()
loss.backward()
grad = w.grad
=== a layer that is made double elsewhere in the file | works
class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.w = Parameter(torch.rand(2))

    def forward(self):
        full = torch.zeros(2)
        full[0] = self.w[0] * 2
        full[1] = self.w[1]
        return full


net = Net().to(torch.float64)
out = net()
out.prod().backward()
grad = net.w.grad
--->
class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.w = Parameter(torch.rand(2))

    def forward(self):
        full = torch.stack(
            [
                self.w[0] * 2,
                self.w[1],
            ]
        ).to(dtype=torch.get_default_dtype())
        return full


net = Net().to(torch.float64)
out = net()
out.prod().backward()
grad = net.w.grad
=== the buffer is moved to a device | works
class Rolled(nn.Module):
    def __init__(self, device):
        super().__init__()
        self.w = Parameter(torch.rand(3))
        self.device = device

    def forward(self):
        out = torch.zeros(4, 3).to(self.device)
        for t in range(4):
            out[t] = self.w * t
        pair = torch.zeros(2, 3).cpu()
        pair[0] = self.w.exp()
        pair[1] = self.w.sin()
        return out, pair


net = Rolled(torch.device("cpu"))
out, pair = net()
(out.sum() + pair.prod()).backward()
grad = net.w.grad
--->
class Rolled(nn.Module):
    def __init__(self, device):
        super().__init__()
        self.w = Parameter(torch.rand(3))
        self.device = device

    def forward(self):
        out_parts = []
        for t in range(4):
            out_parts.append(self.w * t)
        out = torch.stack(out_parts).to(self.device)
        pair = torch.stack(
            [
                self.w.exp(),
                self.w.sin(),
            ]
        ).cpu()
        return out, pair


net = Rolled(torch.device("cpu"))
out, pair = net()
(out.sum() + pair.prod()).backward()
grad = net.w.grad
=== comments beside and above the fills | works
w = Parameter(torch.rand(2))
full = torch.zeros([2])  # the vector
# the first resistor
full[0] = w[0].exp()  # in ohm
# the second
full[1] = w[1].exp()  # too
out = full
out.sum().backward()
grad = w.grad
--->
w = Parameter(torch.rand(2))
# the vector
full = torch.stack(
    [
        # the first resistor
        w[0].exp(),  # in ohm
        # the second
        w[1].exp(),  # too
    ]
)
out = full
out.sum().backward()
grad = w.grad
=== partly filled | works
w = Parameter(torch.rand(2))
full = torch.zeros([4])
full[0] = w[0] * 2
full[2] = w[1] * 3
out = full
out.sum().backward()
grad = w.grad
--->
w = Parameter(torch.rand(2))
full = torch.stack(
    [
        w[0] * 2,
        w.new_zeros(()),
        w[1] * 3,
        w.new_zeros(()),
    ]
)
out = full
out.sum().backward()
grad = w.grad
=== negative indices | works
w = Parameter(torch.rand(2))
full = torch.empty(2)
full[0] = w[0] * 2
full[-1] = w[1] * 3
out = full
out.sum().backward()
grad = w.grad
--->
w = Parameter(torch.rand(2))
full_0 = w[0] * 2
full_1 = w[1] * 3
full = torch.stack(
    [
        full_0,
        full_1,
    ]
)
out = full
out.sum().backward()
grad = w.grad
=== rows | works
w = Parameter(torch.rand(3))
full = torch.zeros(2, 3)
full[0] = w * 2
full[1, :] = w.exp()
out = full
out.sum().backward()
grad = w.grad
--->
w = Parameter(torch.rand(3))
full = torch.stack(
    [
        w * 2,
        w.exp(),
    ]
)
out = full
out.sum().backward()
grad = w.grad
=== numbers that fill whole rows | works
w = Parameter(torch.rand(2))
full = torch.zeros(2, 3)
full[0] = w[0] * 2
full[1] = w[1:].view(1, 1)
out = full
out.sum().backward()
grad = w.grad
--->
w = Parameter(torch.rand(2))
full = torch.stack(
    [
        (w[0] * 2).expand(3),
        w[1:].view(1, 1).reshape(1).expand(3),
    ]
)
out = full
out.sum().backward()
grad = w.grad
=== one number for each range | works
w = Parameter(torch.rand(2))
full = torch.empty(5)
full[:2] = w[0].exp()
full[2:] = w[1].exp()
out = full
out.sum().backward()
grad = w.grad
--->
w = Parameter(torch.rand(2))
full = torch.cat(
    [
        w[0].exp().expand(2),
        w[1].exp().expand(3),
    ]
)
out = full
out.sum().backward()
grad = w.grad
=== nested lists where the file is not formatted | works
a = Parameter(torch.tensor( 0.3))
rot = torch.zeros(2, 2)
rot[0, 0] = torch.cos(a)
rot[0, 1] = -torch.sin(a)
rot[1, 0] = torch.sin(a)
rot[1, 1] = torch.cos(a)
out = rot
out[0].sum().backward()
grad = a.grad
--->
a = Parameter(torch.tensor( 0.3))
rot = torch.stack([
    torch.stack([
        torch.cos(a),
        -torch.sin(a),
    ]),
    torch.stack([
        torch.sin(a),
        torch.cos(a),
    ]),
])
out = rot
out[0].sum().backward()
grad = a.grad
=== columns | works
w = Parameter(torch.rand(3))
full = torch.zeros(3, 2)
full[:, 0] = w * 2
full[:, 1] = w.exp()
out = full
out.sum().backward()
grad = w.grad
--->
w = Parameter(torch.rand(3))
full = torch.stack(
    [
        w * 2,
        w.exp(),
    ],
    dim=1,
)
out = full
out.sum().backward()
grad = w.grad
=== ranges | works
w = Parameter(torch.rand(2))
full = torch.zeros(4)
full[:2] = w * 2
full[2:] = w.exp()
out = full
out.sum().backward()
grad = w.grad
--->
w = Parameter(torch.rand(2))
full = torch.cat(
    [
        w * 2,
        w.exp(),
    ]
)
out = full
out.sum().backward()
grad = w.grad
=== two indices | works
a = Parameter(torch.tensor(0.3))
rot = torch.zeros(2, 2)
rot[0, 0] = torch.cos(a)
rot[0, 1] = -torch.sin(a)
rot[1, 0] = torch.sin(a)
rot[1, 1] = torch.cos(a)
out = rot
out.prod().backward()
grad = a.grad
--->
a = Parameter(torch.tensor(0.3))
rot = torch.stack(
    [
        torch.stack(
            [
                torch.cos(a),
                -torch.sin(a),
            ]
        ),
        torch.stack(
            [
                torch.sin(a),
                torch.cos(a),
            ]
        ),
    ]
)
out = rot
out.prod().backward()
grad = a.grad
=== another value than zero stays | works
w = Parameter(torch.rand(2))
full = torch.full((3,), 0.5)
full[1] = w.sum()
out = full
out.sum().backward()
grad = w.grad
--->
w = Parameter(torch.rand(2))
full = torch.stack(
    [
        w.new_full((), 0.5),
        w.sum(),
        w.new_full((), 0.5),
    ]
)
out = full
out.sum().backward()
grad = w.grad
=== other statements between the fills | works
w = Parameter(torch.rand(2))
full = torch.zeros(2)
a = w[0] * 2  # first
full[0] = a.exp()  # slot
b = a + w[1]
full[1] = b.exp()
out = full
out.sum().backward()
grad = w.grad
--->
w = Parameter(torch.rand(2))
a = w[0] * 2  # first
full_0 = a.exp()  # slot
b = a + w[1]
full_1 = b.exp()
full = torch.stack(
    [
        full_0,
        full_1,
    ]
)
out = full
out.sum().backward()
grad = w.grad
=== a counted loop | works
w = Parameter(torch.rand(3))
full = torch.zeros(3)
for i in range(3):
    full[i] = w[i] * i  # scaled
out = full
out.sum().backward()
grad = w.grad
--->
w = Parameter(torch.rand(3))
full_parts = []
for i in range(3):
    full_parts.append(w[i] * i)  # scaled
full = torch.stack(full_parts)
out = full
out.sum().backward()
grad = w.grad
=== like another tensor | works
w = Parameter(torch.rand(3))
full = torch.zeros_like(w)
full[0] = nn.functional.softplus(w[0])
full[1] = nn.functional.softplus(w[1])
full[2] = w[2]
out = full
out.sum().backward()
grad = w.grad
--->
w = Parameter(torch.rand(3))
full = torch.stack(
    [
        nn.functional.softplus(w[0]),
        nn.functional.softplus(w[1]),
        w[2],
    ]
)
out = full
out.sum().backward()
grad = w.grad
=== in a forward method | works
class Circuit(nn.Module):
    def __init__(self):
        super().__init__()
        self.raw = nn.Parameter(torch.tensor([0.1, -0.3]))

    def forward(self):
        value = torch.sigmoid(self.raw)
        full = torch.zeros(2)
        full[0] = value[0]
        full[1] = value[1]
        return full


net = Circuit()
out = net()
out.sum().backward()
grad = net.raw.grad
--->
class Circuit(nn.Module):
    def __init__(self):
        super().__init__()
        self.raw = nn.Parameter(torch.tensor([0.1, -0.3]))

    def forward(self):
        value = torch.sigmoid(self.raw)
        full = torch.stack(
            [
                value[0],
                value[1],
            ]
        )
        return full


net = Circuit()
out = net()
out.sum().backward()
grad = net.raw.grad
=== the element type of the buffer is kept | works
w = Parameter(torch.rand(2))
full = torch.zeros(2, dtype=torch.float64)
full[0] = w[0] * 2
full[1] = w[1]
out = full
out.sum().backward()
grad = w.grad
--->
w = Parameter(torch.rand(2))
full = torch.stack(
    [
        w[0] * 2,
        w[1],
    ]
).to(dtype=torch.float64)
out = full
out.sum().backward()
grad = w.grad
""")

REPORT = cases("""
=== a loop over a part
w = Parameter(torch.rand(4))
full = torch.zeros(4)
for i in range(1, 4):
    full[i] = w[i] * 2
full.sum().backward()
reason: every slot
=== a gap on another device | plain
import torch
from torch.nn import Parameter

w = Parameter(torch.rand(2, dtype=torch.float64))
full = torch.zeros(3).to("cpu")
full[0] = w[0] * 2
full[2] = w[1]
full.sum().backward()
reason: device
=== looked up by its name
w = Parameter(torch.rand(2))
full = torch.zeros(2)
names = locals()
full[0] = w[0] * 2
full[1] = w[1]
full.sum().backward()
reason: by its name
=== no name for stack | plain
from torch import rand, zeros
from torch.nn import Parameter

w = Parameter(rand(2))
full = zeros(2)
full[0] = w[0] * 2
full[1] = w[1]
full.sum().backward()
reason: no name
""")


@table(CHANGE)
def test_rewritten(case: Case) -> None:
    check_transformed(case, CODE)


@table(REPORT)
def test_reported(case: Case) -> None:
    check_reported(case, CODE)
