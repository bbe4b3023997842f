"""How far ahead of playback audio is made."""

from serve_app.config import Pacing
from serve_app.gateway.pacing import Pacer


def test_a_reply_is_made_as_far_ahead_as_the_lead() -> None:
    pacer = Pacer(Pacing(lead_seconds=30))
    assert pacer.allows(29.9)
    assert not pacer.allows(30.0)


def test_while_another_has_no_audio_a_reply_is_made_less_far_ahead() -> None:
    pacer = Pacer(Pacing(lead_seconds=30, busy_lead_seconds=2))
    assert pacer.allows(2.0)
    with pacer.first_audio():
        with pacer.first_audio():
            assert not pacer.allows(2.0)
            assert pacer.allows(1.9)
        assert not pacer.allows(2.0)
    assert pacer.allows(2.0)


def test_the_more_replies_there_are_the_further_ahead_each_is_made() -> None:
    pacer = Pacer(Pacing(lead_seconds=30, busy_lead_seconds=2))
    with pacer.first_audio(), pacer.spoken():
        assert not pacer.allows(2.0)
        with pacer.spoken():
            assert not pacer.allows(2.0)
            with pacer.spoken():
                assert pacer.allows(3.9)
                assert not pacer.allows(4.0)


def test_a_lone_reply_without_audio_is_made() -> None:
    pacer = Pacer(Pacing(lead_seconds=30, busy_lead_seconds=1))
    with pacer.first_audio(), pacer.spoken():
        assert pacer.allows(0.0)


def test_where_no_busy_lead_is_set_others_make_no_difference() -> None:
    pacer = Pacer(Pacing(lead_seconds=30))
    with pacer.first_audio():
        assert pacer.allows(29.9)
