"""Two strided convolutions and one hidden layer, for images of 28 x 28 or near it."""

from torch import nn

SHAPE: tuple[int, ...] = (1, 28, 28)
CLASSES: int = 10


def build(shape: tuple[int, ...] = SHAPE, classes: int = CLASSES) -> nn.Module:
    """Convolution 4 x 4, stride 2: 16, then 32 channels; 100 hidden units."""
    channels, *sides = shape
    height, width = (((side - 4) // 2 + 1 - 4) // 2 + 1 for side in sides)
    return nn.Sequential(
        nn.Conv2d(channels, 16, 4, stride=2),
        nn.ReLU(),
        nn.Conv2d(16, 32, 4, stride=2),
        nn.ReLU(),
        nn.Flatten(),
        nn.Linear(32 * height * width, 100),
        nn.ReLU(),
        nn.Linear(100, classes),
    )
