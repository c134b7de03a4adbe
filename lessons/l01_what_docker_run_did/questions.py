"""What to predict before looking: there is no mark, only something to be surprised by."""

from __future__ import annotations

from lessons.question import Question

QUESTIONS = (
    Question(
        "How many new processes does `docker run bash` need for the container itself?",
        ("none: the container is a kernel object", "one", "two: an init and bash", "about a dozen"),
        1,
        "One. It is cloned into new namespaces, prepares its own world, and then becomes bash.",
    ),
    Question(
        "The image holds 4 MB. How much is copied for a second container of the same image?",
        ("4 MB", "only what its programs read", "nothing"),
        2,
        "Nothing: both containers look at the same read-only layers through a writable sheet of their own.",
    ),
    Question(
        "Inside, bash is process 1. Which number does it have on the host?",
        ("1 as well", "another one", "none: the host does not see it"),
        1,
        "Another one. It is the same process, numbered once in each of the two pid namespaces it belongs to.",
    ),
)
