"""Lines from before a run has a log reach it, once and in order."""

from meta_rl.runtime.notes import Notes


def test_what_was_said_early_is_handed_over_once():
    notes, log = Notes(), []
    notes("early")
    notes("also early")
    notes.hand_to(log.append)
    notes("late")
    other = []
    notes.hand_to(other.append)
    notes("later")
    assert (log, other) == (["early", "also early", "late"], ["later"])
