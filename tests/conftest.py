"""For all tests: the signals of a terminal are as a terminal has them."""

import signal

# Started in the background of a shell without job control, a run has these ignored, and so would every program
# that a test starts and then interrupts.
signal.signal(signal.SIGINT, signal.default_int_handler)
if hasattr(signal, "SIGQUIT"):
    signal.signal(signal.SIGQUIT, signal.SIG_DFL)
