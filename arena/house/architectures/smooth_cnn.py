"""Two strided convolutions and one hidden layer with a smooth nonlinearity (ELU).

WRM's certificate needs a loss with a Lipschitz gradient, which ReLU has not
(Sinha, Namkoong & Duchi 2018, section 2).
"""

from torch import nn

SHAPE: tuple[int, ...] = (1, 28, 28)
CLASSES: int = 10


def build(shape: tuple[int, ...] = SHAPE, classes: int = CLASSES) -> nn.Module:
    """Convolution 4 x 4: 16 channels with stride 2 (1 for small images), 32 with stride 2."""
    channels, *sides = shape
    first = 2 if min(sides) >= 16 else 1
    height, width = (((side - 4) // first + 1 - 4) // 2 + 1 for side in sides)
    return nn.Sequential(
        nn.Conv2d(channels, 16, 4, stride=first),
        nn.ELU(),
        nn.Conv2d(16, 32, 4, stride=2),
        nn.ELU(),
        nn.Flatten(),
        nn.Linear(32 * height * width, 100),
        nn.ELU(),
        nn.Linear(100, classes),
    )
