"""Where live events are kept: one log, each event once, in the order in which it was taken.

An event is one record, so that an id is never remembered without what it stands for, nor the other
way round. What follows from the events is worked out by readers (``hemix.features.live.state``).
"""
