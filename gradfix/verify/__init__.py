"""Proof by execution: are the gradients of a module present, finite, non-zero and right?

The parent process reads code (`plan`), lends a child a working copy (`workspace`), starts it under
limits (`isolate`) and reports what it says (`report`). Only the child (`worker` and the modules it
imports) imports torch and the user's code.
"""
