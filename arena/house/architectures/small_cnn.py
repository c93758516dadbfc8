"""Two convolutions and one hidden layer, for images as small as 8 x 8."""

from torch import nn

SHAPE: tuple[int, ...] = (1, 8, 8)
CLASSES: int = 10


def build(shape: tuple[int, ...] = SHAPE, classes: int = CLASSES) -> nn.Module:
    """Convolution 3 x 3: 16 channels, then 32 with stride 2; 64 hidden units."""
    channels, *sides = shape
    height, width = ((side + 1) // 2 for side in sides)
    return nn.Sequential(
        nn.Conv2d(channels, 16, 3, padding=1),
        nn.ReLU(),
        nn.Conv2d(16, 32, 3, stride=2, padding=1),
        nn.ReLU(),
        nn.Flatten(),
        nn.Linear(32 * height * width, 64),
        nn.ReLU(),
        nn.Linear(64, classes),
    )
