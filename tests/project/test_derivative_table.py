"""The page of derivatives says what the classes say."""

from tests.project.derivative_table import PAGE, page


def test_the_page_of_derivatives_is_what_the_rules_emit():
    assert PAGE.read_text(encoding="utf-8") == page(), "python -m tests.project.derivative_table --write"
