"""The user's own program under the gradient tracer: `gradfix run`.

`program` executes a script or module the way `python` does, in this process. `arrival` waits for
the program to import torch; only then `watch`, and with it torch-dependent code, is loaded. `watch`
opens an `episode` per model that is trained, lets `tracing` record it, and closes it after the
first steps; `judge` turns what was recorded into verdicts and `ledger` merges them.

NOTE the words. An *episode* is a stretch of the program in which models are built and make their
first steps. A gradient *arrives* at a leaf when a backward reaches it. A model is *trained* when
an optimizer that steps holds one of its Parameters, or when it is updated by hand.
"""
