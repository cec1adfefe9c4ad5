"""What an evaluation looks like in a notebook: pictures by matplotlib, frames by pandas, and a
summary. They read what was evaluated and work nothing out that metrics.json does not hold.
"""

from difficulty.evaluation.displays.cost_quality import CostQualityDisplay
from difficulty.evaluation.displays.reliability import CalibrationDisplay
from difficulty.evaluation.displays.score_bars import ScoreDisplay

__all__ = ["CalibrationDisplay", "CostQualityDisplay", "ScoreDisplay"]
