"""A process that is the client of a cluster ends without a word."""

from harness.runner.cluster.preload import end_in_silence

end_in_silence()
