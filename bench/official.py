"""Measured results of the official client and agent, which cannot be measured again here.

session-manager-plugin 1.2.677 and amazon-ssm-agent 3.3 on two cores with a load below 1, with a relay in place of the
service; medians of four rounds, through a forward. Only the benchmark tables show them, in a separate column.
"""

COLUMN = "official pair, measured once"
UPLOAD = "0.78 MB/s"
DOWNLOAD = "0.79 MB/s"
ECHO = "1.6 / 2.6 ms"  # p50 / p99
ECHO_BESIDE_UPLOAD = "249 / 275 ms"
CPU_UP = "0.155"  # CPU seconds of the client for each MB
CPU_DOWN = "0.083"
