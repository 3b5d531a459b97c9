"""A workload in ten lines, from what people have: a model, and a data set, loader or stream."""

from models.adapters.examples import Examples, Windows
from models.adapters.finding import find_blocks
from models.adapters.loaders import from_loader
from models.adapters.losses import Score, accuracy, own_loss, supervised
from models.adapters.order import TrialOrder
from models.adapters.shrinking import shorter, smaller
from models.adapters.streams import Cursor
from models.adapters.workload import bring

__all__ = [
    "Cursor",
    "Examples",
    "Score",
    "TrialOrder",
    "Windows",
    "accuracy",
    "bring",
    "find_blocks",
    "from_loader",
    "own_loss",
    "shorter",
    "smaller",
    "supervised",
]
