"""Why a request is decided as it is."""

from difficulty.runtime.explaining.explanation import Explanation
from difficulty.runtime.explaining.inquiry import explain

__all__ = ["Explanation", "explain"]
