"""Rates and times of a film: seconds since its first picture, from the time stamps of a file."""

from __future__ import annotations

from fractions import Fraction

NTSC_RATES = tuple(Fraction(n * 1000, 1001) for n in (24, 30, 48, 60, 120))
FALLBACK_RATE = Fraction(30)  # paces pictures without time stamps in a file that names no rate


def tidy_rate(rate: Fraction) -> Fraction:
    """`rate` as a whole number or an NTSC rate where it is one but for rounding: 19001/317 is 60000/1001."""
    for exact in (Fraction(round(rate)), *NTSC_RATES):
        if exact and abs(rate / exact - 1) < Fraction(1, 100_000):
            return exact
    return rate


class Clock:
    """Seconds since the first picture, from time stamps; strictly increasing whatever the stamps do."""

    def __init__(self, time_base: Fraction, rate: Fraction | None) -> None:
        self._unit = time_base
        self._step = 1 / (rate or FALLBACK_RATE)
        # Matroska counts in milliseconds: 0/30, 1/30, 2/30 s become 0, 33, 67
        self._rounded = rate is not None and (self._step / time_base).denominator != 1
        self.first: Fraction | None = None
        self._last: Fraction | None = None

    def __call__(self, stamp: int | None) -> float:
        """`time_s` of the picture with this stamp; None: one nominal step after the one before."""
        last, step = self._last, self._step
        if stamp is None:
            now = Fraction(0) if last is None else last + step
        else:
            now = self._since_first(stamp * self._unit)
            if last is not None and now <= last:
                now = self._repaired(now, last)
        self._last = now
        return float(now)

    def length(self, duration: Fraction) -> Fraction:
        """A frame's duration without its rounding, which is that of two stamps."""
        return self._step if self._rounded and abs(duration - self._step) <= 2 * self._unit else duration

    def _since_first(self, stamp: Fraction) -> Fraction:
        """Seconds since the first stamp, on the grid of the nominal rate if rounding alone keeps it off."""
        if self.first is None:
            self.first = stamp - (0 if self._last is None else self._last + self._step)
        now = stamp - self.first
        grid = round(now / self._step) * self._step
        return grid if self._rounded and abs(now - grid) <= self._unit else now

    def _repaired(self, now: Fraction, last: Fraction) -> Fraction:
        """A little later than `last`; a clock that was set back by over a second goes on from `last`."""
        if last - now <= 1:
            return last + self._step / 4
        assert self.first is not None
        self.first -= last + self._step - now
        return last + self._step
