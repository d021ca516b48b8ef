"""What comes from the keyboard, and from pastes, whatever bytes it is made of."""

import codecs
from collections.abc import Callable

from textual.driver import Driver


def patient(driver: type[Driver]) -> type[Driver]:
    """``driver``, but bytes that are no UTF-8 become U+FFFD: Textual's own for Linux and macOS
    ends the program at the first of them, as a paste from a file in another encoding has.
    """
    if driver.__module__ != "textual.drivers.linux_driver":  # which Windows does not have
        return driver
    from textual.drivers import linux_driver

    class PatientDriver(linux_driver.LinuxDriver):
        def run_input_thread(self) -> None:
            vars(linux_driver)["getincrementaldecoder"] = _decoder
            super().run_input_thread()

    return PatientDriver


def _decoder(encoding: str) -> Callable[[], codecs.IncrementalDecoder]:
    return lambda: codecs.getincrementaldecoder(encoding)("replace")
