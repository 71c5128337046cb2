"""What a device's arithmetic may move by itself, and whether an interval is clear of it."""

from harness.store.tables.interventions import ImpactNoise


def noise_floors(noise: ImpactNoise) -> dict[str, float]:
    """By metric the largest difference on any prompt, in its unit; none of what was not measured."""
    floors: dict[str, float] = {}
    for metric, difference in zip(noise.metric, noise.difference, strict=True):
        floors[metric] = max(floors.get(metric, 0.0), float(difference))
    return floors


def is_clear_of_noise(
    low: float, high: float, bound: float | tuple[float, float], noise: float
) -> bool:
    """Whether an interval stays on its side of a bound, or of a margin, with noise added to it.

    If every impact were off by the noise, all the same way, so would be their mean and its interval.
    """
    least, most = low - noise, high + noise
    if not isinstance(bound, tuple):
        return not least <= bound <= most
    if bound[0] < low and high < bound[1]:
        return bound[0] < least and most < bound[1]
    return most < bound[0] or least > bound[1]
