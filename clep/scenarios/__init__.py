"""The scenarios: what the experiences of a stream are, one file each; see `clep.streams.stream_of` to write one."""
