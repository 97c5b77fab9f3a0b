"""The words of a filing pack: what ships is said in both languages, what a user wrote as it is."""

from __future__ import annotations

from alerts.words import Words
from deploy.pack.words import STATUSES, addressee_words, source_words
from monitor.duties import Status
from monitor.rules import SHIPPED, Rule


def is_chinese(text: str) -> bool:
    return any(ord(char) > 0x2E80 for char in text)


def test_every_status_of_a_duty_has_words_in_both_languages() -> None:
    assert {status: words.en for status, words in STATUSES.items()} == {
        status: status.value for status in Status
    }
    assert all(is_chinese(words.zh) for words in STATUSES.values())


def test_addressee_and_source_of_every_shipped_rule_have_words_in_both_languages() -> None:
    for rule in SHIPPED:
        addressee, source = addressee_words(rule.addressee), source_words(rule.source)

        assert isinstance(addressee, Words), rule.addressee
        assert isinstance(source, Words), rule.source
        assert (addressee.en, source.en) == (rule.addressee, rule.source)
        assert is_chinese(addressee.zh)
        assert is_chinese(source.zh)


def test_what_a_user_wrote_stays_and_nothing_is_made_of_nothing() -> None:
    own = Rule(id="own", at_least=5, period=1, addressee="the board", source="house rule 4")

    assert (addressee_words(own.addressee), source_words(own.source)) == (
        "the board",
        "house rule 4",
    )
    assert addressee_words("") is None
    assert source_words(Rule(id="own", at_least=5, period=1).source) == Words(
        "settings", "用户设置"
    )
