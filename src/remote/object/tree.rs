//! Listing a store that has directories, in the order of its keys: as `dir:` does it, over whatever lists one directory.

use super::Names;
use crate::remote::StoreError;

/// Something in a directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Entry {
    pub(super) name: String,
    pub(super) is_directory: bool,
    pub(super) bytes: u64,
}

/// All files whose path begins with `prefix`, in order; directories that do not matter to it are not listed. What begins
/// with a dot is left out.
pub(super) fn walk<'a>(
    prefix: &str,
    list: impl Fn(&str) -> Result<Vec<Entry>, StoreError> + Send + 'a,
) -> Names<'a> {
    // What is still to be looked at, the next one last. A directory's path ends with a slash.
    let mut pending = vec![(String::new(), 0)];
    let prefix = prefix.to_owned();
    Box::new(std::iter::from_fn(move || {
        while let Some((path, bytes)) = pending.pop() {
            if !(path.is_empty() || path.ends_with('/')) {
                return Some(Ok((path, bytes)));
            }
            let entries = match list(&path) {
                Ok(entries) => entries,
                Err(error) => {
                    pending.clear();
                    return Some(Err(error));
                }
            };
            let first_new = pending.len();
            for entry in entries.into_iter().filter(|entry| !entry.name.starts_with('.')) {
                let slash = if entry.is_directory { "/" } else { "" };
                let below = format!("{path}{}{slash}", entry.name);
                if below.starts_with(&prefix) || (entry.is_directory && prefix.starts_with(&below)) {
                    pending.push((below, entry.bytes));
                }
            }
            // With its slash a directory sorts as the keys below it do.
            pending[first_new..].sort_unstable_by(|a, b| b.cmp(a));
        }
        None
    }))
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;

    use super::*;

    #[test]
    fn a_walk_is_in_the_order_of_keys_and_looks_only_where_it_must() {
        let paths = ["b/1", "a/2", "a/10", "a-b/1", "a/1/x", "ab", "c", ".tmp/x"];
        let list = |directory: &str| {
            let mut entries: Vec<Entry> = Vec::new();
            for path in paths.iter().filter_map(|path| path.strip_prefix(directory)) {
                let (name, is_directory) =
                    path.split_once('/').map_or((path, false), |(name, _)| (name, true));
                if !entries.iter().any(|entry| entry.name == name) {
                    entries.push(Entry { name: name.to_owned(), is_directory, bytes: 0 });
                }
            }
            entries
        };
        let names = |prefix: &str| {
            let looked = std::sync::Mutex::new(RefCell::new(Vec::new()));
            let names: Vec<String> = walk(prefix, |directory| {
                looked.lock().unwrap().borrow_mut().push(directory.to_owned());
                Ok(list(directory))
            })
            .map(|item| item.unwrap().0)
            .collect();
            (names, looked.into_inner().unwrap().into_inner())
        };
        assert_eq!(names("").0, ["a-b/1", "a/1/x", "a/10", "a/2", "ab", "b/1", "c"]);
        assert_eq!(
            names("a/1"),
            (vec!["a/1/x".into(), "a/10".into()], vec![String::new(), "a/".into(), "a/1/".into()])
        );
        assert!(names("d").0.is_empty());
    }
}
