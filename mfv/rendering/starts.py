"""Where images start: mean images at the contrast of photographs, as an average of fifteen is paler than any."""

import torch
from torch import Tensor

GREY_LEVEL = 1 / 255  # an image with less contrast is flat: there is nothing to stretch but rounding


def at_natural_contrast(mean_image: Tensor, photographs: Tensor) -> Tensor:
    """Return the mean image with its light stretched to the photographs' mean contrast.

    Contrast is the standard deviation of the light (the channels' mean) over an image. Colours keep
    their distances from grey; what leaves [0, 1] is clipped, and a flat image stays flat.

    Args:
        mean_image: (3, H, W) in [0, 1].
        photographs: (n, 3, h, w) uint8, the facet's.

    """
    light = mean_image.mean(0, keepdim=True)
    natural = (photographs.float() / 255).mean(1).flatten(1).std(1).mean()
    own = light.std()
    gain = natural / own if own > GREY_LEVEL else torch.ones(())
    level = light.mean()
    return (mean_image + (gain - 1) * (light - level)).clamp(0, 1)
