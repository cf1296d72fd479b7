-- What a card says and what a text says are two indexes now: files move and cards are edited every day, texts are long and
-- change with their content only. Both contentless, rowid = document_id; made anew by search/index.rs from what is kept.
DROP TABLE search;

-- terms: what filters ask for, each value one word (search/words.rs).
CREATE VIRTUAL TABLE search_cards USING fts5 (
    title, author, tags, notes, about, path, terms,
    content = '', contentless_delete = 1,
    tokenize = 'unicode61 remove_diacritics 2'
);

CREATE VIRTUAL TABLE search_texts USING fts5 (
    text,
    content = '', contentless_delete = 1,
    tokenize = 'unicode61 remove_diacritics 2'
);

-- One row for each indexed document. text_stamp: of the text that was indexed, 0 where there is none, so that a document
-- which only moved is not read again. Days are written 20200531; null where no date is understood.
CREATE TABLE search_documents (
    document_id INTEGER PRIMARY KEY,
    text_stamp  INTEGER NOT NULL,
    day_from    INTEGER,
    day_until   INTEGER
) STRICT;
CREATE INDEX search_documents_by_day ON search_documents (day_from, day_until) WHERE day_from IS NOT NULL;

-- Words of titles and names of authors, folded, and the same read backwards: a word with one slip has its first or its
-- last half right. A word stays when its last document goes; it leads to nothing then.
CREATE TABLE search_words (
    word      TEXT PRIMARY KEY,
    backwards TEXT NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX search_words_backwards ON search_words (backwards);

-- Of its own: while a disk is away a million documents may wait for enrichment, and every search asks what is not indexed.
CREATE INDEX documents_to_index ON documents (document_id) WHERE search_stale = 1;

-- A document's card shows the places of its files, whoever changes them. A file that is new to a known document is
-- marked by documents.rs: a trigger there would cost every first scan.
CREATE TRIGGER files_place_search AFTER UPDATE OF dir_id, name, document_id ON files
WHEN OLD.dir_id <> NEW.dir_id OR OLD.name <> NEW.name OR OLD.document_id IS NOT NEW.document_id
BEGIN
    UPDATE documents SET search_stale = 1 WHERE document_id IN (OLD.document_id, NEW.document_id) AND search_stale = 0;
END;

CREATE TRIGGER files_gone_search AFTER DELETE ON files WHEN OLD.document_id IS NOT NULL
BEGIN
    UPDATE documents SET search_stale = 1 WHERE document_id = OLD.document_id AND search_stale = 0;
END;

UPDATE documents SET search_stale = 1;
