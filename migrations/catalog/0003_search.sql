-- Full text over documents, rowid = document_id. Contentless: texts stand in texts already.
CREATE VIRTUAL TABLE search USING fts5 (
    title, author, tags, notes, path, text,
    content = '', contentless_delete = 1,
    tokenize = 'unicode61 remove_diacritics 2'
);
