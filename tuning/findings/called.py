"""What the controls are called where a user reads of them."""

from __future__ import annotations

from tuning.trial.recipe import OWN, SMALLER, TUNED, ControlKind

WINS: dict[ControlKind, str] = {TUNED: "Tuning", SMALLER: "A smaller model"}
"""What is said to win where a rival of the own control wins."""
CALLED: dict[ControlKind, str] = {
    OWN: "your own recipe",
    TUNED: "your own recipe tuned",
    SMALLER: "your own recipe with fewer blocks",
}
NOT_KNOWN = "not known (not tuned: --space tune)"
"""What is said where nobody can tell how much of a recipe's gain is tuning."""
