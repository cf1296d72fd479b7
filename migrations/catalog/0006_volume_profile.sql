-- What was measured of the volume that carries a library, as the volume room writes it. `volume` says which volume that
-- was: another one is measured anew.
CREATE TABLE volume_profiles (
    library_id  INTEGER PRIMARY KEY REFERENCES libraries ON DELETE CASCADE,
    volume      TEXT NOT NULL,
    profile     TEXT NOT NULL,
    measured_at INTEGER NOT NULL
) STRICT;

-- What this catalogue is known to have left in a library's marker: under the key `catalog`, the id of its last scan. A
-- marker that does not know it any more belongs to an older copy of the disk.
CREATE TABLE marked_scans (
    library_id INTEGER PRIMARY KEY REFERENCES libraries ON DELETE CASCADE,
    catalog    TEXT NOT NULL,
    scan       TEXT NOT NULL,
    marked_at  INTEGER NOT NULL
) STRICT;
