-- Who sends for this catalogue: one worker at a time. It says so again while it is at it; one that slept past `until` may find
-- that another has taken over, and then its word counts no more.
CREATE TABLE sender (
    one   INTEGER PRIMARY KEY CHECK (one = 1),
    token TEXT NOT NULL,
    owner TEXT NOT NULL,
    until INTEGER NOT NULL
) STRICT;
