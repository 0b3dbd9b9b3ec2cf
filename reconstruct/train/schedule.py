"""The learning rate of a step."""

import math

from .config import LoopConfig, Schedule


def rate_factor(config: LoopConfig, step: int) -> float:
    """Return what the learning rate is multiplied by in a step, counted from 0."""
    rise = 1.0
    if step < config.warm_up:
        rise = (step + 1) / (config.warm_up + 1)
    if config.schedule is Schedule.STEPS:
        return rise * config.decay_factor ** (step // config.decay_every)
    if config.schedule is Schedule.COSINE:
        length = max(config.steps - 1 - config.warm_up, 1)
        done = min(max(step - config.warm_up, 0) / length, 1.0)
        final = config.final_factor
        return rise * (final + (1 - final) * 0.5 * (1 + math.cos(math.pi * done)))
    return rise
