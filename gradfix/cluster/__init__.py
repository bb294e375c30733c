"""The work of `check` and `apply` on the workers of a dask cluster.

NOTE: who does what. The client reads files, keeps what is done, writes and reports. Contents go to
the workers in *bundles*: tasks of their own that every group of files depends on, so dask brings
each bundle to a worker once, and makes it again where it was lost. A worker gives its files to a
process of its own, as `gradfix.jobs` does: a file that crashes or never ends costs that process,
and no worker. It reads nothing but bundles and writes nothing. A path that no bundle tells about
is *missing*: the answer for that file does not count, the client ships what is asked for, and the
file has another turn. So the answers are those of one process that reads the disk.

Where the scheduler is lost, the client waits for it and hands in again what was not answered.

Neither dask nor distributed is imported before `run` is called.
"""

from gradfix.cluster.client import PATIENCE, run
from gradfix.cluster.line import LOCAL

__all__ = ["LOCAL", "PATIENCE", "run"]
