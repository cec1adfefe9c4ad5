"""The report of an evaluation: one HTML page for people, and a short form in Markdown for pull
requests.

Rendering takes an evaluation and what is told beside it, and returns text: it reads no traffic and
no network.
"""

from difficulty.evaluation.report.extras import Chosen, Extras, Suspects
from difficulty.evaluation.report.markdown import report_markdown
from difficulty.evaluation.report.page import report_html

__all__ = ["Chosen", "Extras", "Suspects", "report_html", "report_markdown"]
