from difficulty.traffic.duplicates import comparable_text, text_hash


def test_comparable_text_has_one_case_one_form_and_single_spaces():
    assert comparable_text([("user", "Ｆull  Width\n\tStraße")]) == "full width strasse"


def test_system_messages_count_only_when_alone():
    assert (
        comparable_text([("system", "Be kind."), ("user", "Hi"), ("assistant", "Yes?")])
        == "hi yes?"
    )
    assert comparable_text([("system", "Be kind."), ("user", " ")]) == "be kind."


def test_text_hash_is_the_same_everywhere():
    """BLAKE2b of 16 bytes, as `python -c "hashlib.blake2b(b'hi', digest_size=16)"` prints it."""
    assert text_hash("hi") == "8cc39ac9c664b3691c9d12d36ae55577"
