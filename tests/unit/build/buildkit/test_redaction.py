from service.build.buildkit.redaction import Redaction


def test_a_value_is_replaced_wherever_it_stands() -> None:
    redact = Redaction([b"hunter2", b"swordfish"])
    assert redact("hunter2 and swordfish, swordfishhunter2.") == "*** and ***, ******."


def test_text_without_a_value_is_left_alone() -> None:
    assert Redaction([b"hunter2"])("nothing here") == "nothing here"
    assert Redaction([])("nothing here") == "nothing here"


def test_a_value_is_taken_literally() -> None:
    assert Redaction([b"a.c*"])("abc a.c* aXcc") == "abc *** aXcc"


def test_an_empty_value_is_no_value() -> None:
    assert Redaction([b"", b"\n", b"hunter2"])("say hunter2") == "say ***"


def test_a_value_that_begins_with_another_goes_as_a_whole() -> None:
    assert Redaction([b"hunter", b"hunter2"])("hunter2") == "***"


def test_a_value_of_a_file_goes_without_its_last_newline() -> None:
    assert Redaction([b"hunter2\n"])("hunter2, hunter2\n") == "***, ***\n"


def test_a_value_of_many_lines_goes_line_by_line_where_they_tell_something() -> None:
    redact = Redaction([b'{\n  "password": "hunter2"\n}\n'])
    assert redact('{ "password": "hunter2" }') == "{ *** }"


def test_a_value_that_is_not_text_does_no_harm() -> None:
    assert Redaction([b"\xff\xfe\x00"])("text") == "text"
