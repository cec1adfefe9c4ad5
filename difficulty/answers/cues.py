"""Facts about words: doubt and certainty in the answer, and cues for an operation in the question
against the operations of the answer. The words are English.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from math import log1p

from difficulty.answers.pair import Pair

DOUBTS = {
    "however": "however",
    "wait": "wait",
    "mistake": "mistake mistakes mistaken mistakenly apologies apologize apologise apology typo"
    " typos incorrect incorrectly error errors erroneous",
    "unclear": "unclear ambiguous ambiguity insufficient missing"
    " not+clear not+specified not+given not+provided not+stated more+information",
    "assume": "assume assumed assumes assuming assumption assumptions",
    "about": "approximate approximately approximation approximated roughly round rounded rounding",
    "no_match": "closest not+listed not+among not+one none+of t+match not+match no+correct"
    " no+exact",
    "guess": "guess perhaps maybe might possibly probably likely seems seem appears appear",
    "sorry": "sorry cannot unable can+t not+able an+ai",
    "impossible": "impossible contradict contradicts contradiction contradictory contradicting"
    " inconsistent inconsistency not+possible make+sense negative+number",
    "instead": "actually instead recalculate recalculating reevaluate reconsider recheck in+fact"
    " re+evaluate re+check re+calculate s+try s+check s+re",
    "therefore": "therefore thus hence",
    "certain": "must+be clearly obviously definitely certainly",
    "verify": "verify verified verifying verification check checks checking confirm confirms"
    " confirmed confirming",
    "but": "but",
    "because": "since because",
    "equation": "equation equations denote denoted denotes",
}
"""What an answer says of itself; ``a+b`` stands for the two words after each other."""
OPERATIONS = ("plus", "minus", "times", "divide")
CUES = {
    "plus": "total altogether sum combined increase increased increases added more+than",
    "minus": "fewer less left remain remains remaining remainder difference lost lose loses gave"
    " spent minus discount discounts discounted decrease decreased decreases",
    "times": "twice times each every per double doubled doubles triple tripled triples dozen dozens"
    " pair pairs",
    "divide": "half split splits share shares shared divide divided divides average averages"
    " averaged quarter quarters third thirds equally",
    "before": "initial initially original originally start beginning before now ago will+be"
    " at+first",
    "percent": "percent percentage percentages",
    "condition": "if except only rest+of remaining",
}
"""Words of a question that tell which operations its answer takes."""
NAMES = (
    *(f"cues.doubt_{name}" for name in DOUBTS),
    "cues.questions",
    "cues.late_doubt",
    *(f"cues.used_{name}" for name in OPERATIONS),
    *(f"cues.asked_{name}" for name in CUES),
    *(f"cues.missing_{name}" for name in OPERATIONS),
    *(f"cues.unasked_{name}" for name in OPERATIONS),
    "cues.reused_numbers",
    "cues.operations_for_numbers",
    "cues.question_sentences",
)
_N_OF_DOUBT = 11
"""The first so many of ``DOUBTS`` are doubts; the others show how a text argues."""
_LATE_WORDS = 40
_OPERATOR = re.compile(
    r"[-+/\u00f7\u2212\u2013](?<=[0-9) ].) ?\$?[0-9(]|[*\u00d7xX] ?\$?[0-9(]"
    r"|\\(?:times|cdot|frac|dfrac|tfrac|div)(?![A-Za-z])"
)
_OPERATION_OF = {
    **dict.fromkeys(["+"], 0),
    **dict.fromkeys(["-", "\u2212", "\u2013"], 1),
    **dict.fromkeys(["*", "\u00d7", "x", "X", "\\t", "\\c"], 2),
    **dict.fromkeys(["/", "\u00f7", "\\f", "\\d"], 3),
}
_SENTENCE_END = re.compile(r"[.!?](?=[ \t\n\r\f\v]|\Z)")


class _Lexicon:
    """Words and pairs of words, each with the number of its group."""

    def __init__(self, groups: dict[str, str]) -> None:
        self.n_groups = len(groups)
        self.words: dict[str, list[int]] = {}
        self.pairs: dict[str, dict[str, int]] = {}
        for number, entries in enumerate(groups.values()):
            for entry in entries.split():
                first, _, second = entry.partition("+")
                if second:
                    self.pairs.setdefault(first, {})[second] = number
                else:
                    self.words.setdefault(entry, []).append(number)

    def count(self, words: Sequence[str]) -> list[int]:
        """Return how often each group occurs."""
        counts = [0] * self.n_groups
        n_of = Counter(words)
        for word in n_of.keys() & self.words.keys():
            for number in self.words[word]:
                counts[number] += n_of[word]
        for first in n_of.keys() & self.pairs.keys():
            seconds, place = self.pairs[first], -1
            for _ in range(n_of[first]):
                place = words.index(first, place + 1)
                second = words[place + 1] if place + 1 < len(words) else ""
                if second in seconds:
                    counts[seconds[second]] += 1
        return counts


_DOUBTS = _Lexicon(DOUBTS)
_CUES = _Lexicon(CUES)


def read_cues(pair: Pair) -> list[float]:
    """Return the facts named in ``NAMES``."""
    late = _DOUBTS.count(pair.text_words[-_LATE_WORDS:])[:_N_OF_DOUBT]
    used, asked = _count_operations(pair.text), _CUES.count(pair.question_words)
    asked[5] += pair.question.count("%")
    asked_used = list(zip(asked, used, strict=False))
    return [
        *map(log1p, _DOUBTS.count(pair.text_words)),
        log1p(pair.text.count("?")),
        float(any(late)),
        *map(log1p, used),
        *map(log1p, asked),
        *(float(cue > 0 and not operation) for cue, operation in asked_used),
        *(float(not cue and operation > 0) for cue, operation in asked_used),
        log1p(_count_reused(pair)),
        log1p(sum(used)) - log1p(len(pair.question_numbers)),
        log1p(len(_SENTENCE_END.findall(pair.question))),
    ]


def _count_operations(text: str) -> list[int]:
    """Return how many operators of each kind stand before a number, or as LaTeX's commands."""
    counts = [0] * len(OPERATIONS)
    for found in _OPERATOR.findall(text):
        first = found[:2] if found[0] == "\\" else found[0]
        counts[_OPERATION_OF[first]] += 1
    return counts


def _count_reused(pair: Pair) -> int:
    """Return how often numbers of the question come back, the first two times not counted."""
    n_of = Counter(pair.text_numbers)
    return sum(max(0, n_of[number] - 2) for number in set(pair.question_numbers))
