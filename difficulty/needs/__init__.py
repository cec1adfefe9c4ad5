"""What a request needs of the model that answers it, and what models are said to take."""

from difficulty.needs.limits import MODALITIES, Eligibility, ModelLimits
from difficulty.needs.request_needs import NOTHING, RULES, Needs

__all__ = ["MODALITIES", "NOTHING", "RULES", "Eligibility", "ModelLimits", "Needs"]
