"""The project's own fixed requests: what golden vectors are made of. They hold no user's text.

Scripts, accents, emoji, control characters, literal special tokens, repeats, very long and very
short texts, conversations, content parts, tool calls, and requests that cannot be scored. Old
bundles keep the list they were shipped with.
"""

from __future__ import annotations

from typing import Any

_TEXTS = {
    "plain": "What are the opening hours of the service desk?",
    "one-letter": "a",
    "numbers": "Add 17, 4.5 and -3, then divide by 0.25.",
    "question-marks": "??? !!! ...",
    "repeated-word": "again " * 40,
    "repeated-pair": "left right " * 30,
    "uppercase": "PLEASE SUMMARISE THE ATTACHED CONTRACT IN THREE SENTENCES.",
    "accents": "Où se trouve la clé de l'hôtel ? Ça coûte combien, à peu près ?",
    "accented-capitals": "ÉCOLE SUPÉRIEURE, ÅNGSTRÖM, ÑANDÚ, ÇA VA",
    "german": "Fasse die Beschwerde des Kunden über die Straßenbahn in zwei Sätzen zusammen.",
    "turkish": "İstanbul'dan Iğdır'a giden yol ne kadar sürer?",
    "greek": "Πόσο κοστίζει η αποστολή στην Αθήνα;",
    "russian": "Переведите это письмо на английский язык.",
    "arabic": "ما هو رقم الطلب الخاص بي؟",
    "hebrew": "מה שעות הפתיחה של המשרד?",
    "hindi": "कृपया इस अनुबंध का सारांश दीजिए।",
    "thai": "ช่วยสรุปเอกสารนี้ให้หน่อย",
    "chinese": "请把下面的合同总结成三句话。",
    "japanese": "この契約書を三文で要約してください。",
    "korean": "이 계약서를 세 문장으로 요약해 주세요.",
    "emoji": "Is this fine? 👍🏽👩‍👩‍👧‍👦 🏳️‍🌈 😀",
    "combining-marks": "e\u0301 a\u030a n\u0303 Z\u0351\u036b\u0343\u036a\u0302",
    "full-width": "ＡＢＣ　１２３",
    "ligatures": "ﬁnal ﬂight ½ ²",
    "zero-width": "zero\u200bwidth\u200djoiner\ufeffmark",
    "controls": "tab\there\nnew line\r\nbell\x07 null\x00 escape\x1b end",
    "spaces": "  leading,   inner\u00a0\u2003 and trailing   ",
    "special-tokens": "[CLS] first [SEP] second [PAD] [UNK] [MASK] <s> </s> <|endoftext|> ##ing",
    "long-word": "x" * 300,
    "lone-surrogate": "broken \ud83d half",
    "code": "def area(r):\n    return 3.14159 * r ** 2\n\nfor i in range(10):\n    print(area(i))",
    "json": '{"order": {"id": 1042, "lines": [{"sku": "A-1", "qty": 3}]}}',
    "sql": (
        "SELECT region, SUM(amount) FROM sales WHERE year = 2025 GROUP BY region HAVING SUM(amount)"
        " > 1000;"
    ),
    "html": "<table><tr><td>Total</td><td>&euro; 12</td></tr></table>",
    "maths": "Prove that √2 ∉ ℚ, given ∀ε>0 ∃δ>0.",
    "url": "Open https://example.com/a?b=c&d=%20e#f and list every link.",
    "planning": (
        "Plan a three-day offsite for 40 people: compare two venues, book travel within 20,000,"
        " then draft the agenda."
    ),
    "past-max-tokens": "step by step we move one box and then the next one " * 60,
    "past-max-chars": "A very long document. " * 2_000 + "Now answer: what is it about?",
}


def golden_requests() -> list[dict[str, Any]]:
    """Return the requests: ``id``, ``messages`` and, for some, ``task`` and ``given_tokens``."""
    texts = [
        {"id": name, "messages": [{"role": "user", "content": text}]}
        for name, text in _TEXTS.items()
    ]
    return [*texts, *_CONVERSATIONS, *_UNSCORABLE]


_QUESTION = {"role": "user", "content": "Which label fits: invoice, complaint or order?"}
_CONVERSATIONS: list[dict[str, Any]] = [
    {
        "id": "system-and-user",
        "messages": [{"role": "system", "content": "You answer in one word."}, _QUESTION],
    },
    {
        "id": "turns",
        "messages": [
            {"role": "user", "content": "My parcel is late."},
            {"role": "assistant", "content": "I am sorry. What is the order number?"},
            {"role": "user", "content": "4711, and I want my money back."},
        ],
    },
    {
        "id": "parts",
        "messages": [
            {
                "role": "user",
                "content": [
                    {"type": "text", "text": "What does the picture show?"},
                    {"type": "image_url", "image_url": {"url": "https://example.com/cat.png"}},
                    {"type": "text", "text": "Answer briefly."},
                ],
            }
        ],
    },
    {
        "id": "tool-call",
        "messages": [
            {"role": "user", "content": "What is the weather in Oslo?"},
            {
                "role": "assistant",
                "content": None,
                "tool_calls": [{"function": {"name": "weather", "arguments": '{"city": "Oslo"}'}}],
            },
            {"role": "tool", "content": "4 degrees, rain"},
        ],
    },
    {"id": "task-classify", "messages": [_QUESTION], "task": "classify"},
    {"id": "task-planning", "messages": [_QUESTION], "task": "multi-step planning"},
    {"id": "task-unknown", "messages": [_QUESTION], "task": "a task nobody listed"},
    {"id": "tokens-given", "messages": [_QUESTION], "task": "classify", "given_tokens": 12},
    {
        "id": "many-tokens-given",
        "messages": [_QUESTION],
        "task": "classify",
        "given_tokens": 100_000,
    },
]
_UNSCORABLE: list[dict[str, Any]] = [
    {"id": "empty", "messages": [{"role": "user", "content": ""}]},
    {"id": "blank", "messages": [{"role": "user", "content": " \n\t "}]},
    {"id": "no-messages", "messages": []},
    {"id": "null-content", "messages": [{"role": "user", "content": None}]},
    {
        "id": "image-only",
        "messages": [
            {
                "role": "user",
                "content": [
                    {"type": "image_url", "image_url": {"url": "https://example.com/cat.png"}}
                ],
            }
        ],
    },
]
