"""What all tests share."""

import signal

from hypothesis import HealthCheck, settings

# How long an example takes says how busy the machine is, not whether the code is right.
settings.register_profile("untimed", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("untimed")

# Begun under nohup or in the background of a script, every job of a test would ignore these.
for number in (signal.SIGINT, signal.SIGQUIT, signal.SIGHUP):
    if signal.getsignal(number) is signal.SIG_IGN:
        at_first = signal.default_int_handler if number == signal.SIGINT else signal.SIG_DFL
        signal.signal(number, at_first)
